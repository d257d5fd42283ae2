"""Gateway responses: what API Gateway answers where no integration does, or where one failed."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from aiohttp import web

from infra.local.gateway.request import MAX_BODY_BYTES, MAX_HEADER_BYTES, Request
from infra.local.gateway.rest_api.mapping import mapped_response
from infra.local.template.model import GatewayResponse

_DEFAULT_TEMPLATE = '{"%s":$context.error.messageString}'
# As recorded of what an integration did: with a space, unlike all others.
_DEFAULT_TEMPLATE_OF_502 = '{"message": $context.error.messageString}'


@dataclass(frozen=True)
class Failure:
    """A gateway response's type, and what it is when the template does not change it."""

    kind: str
    status: int
    message: str | None
    error_type: str = "BadRequestException"
    # What the message is called in the body.
    key: str = "message"


def _internal(kind: str, status: int, message: str | None = "Internal server error") -> Failure:
    return Failure(kind, status, message, "InternalServerErrorException")


UNKNOWN_PATH = Failure(
    "MISSING_AUTHENTICATION_TOKEN",
    403,
    "Missing Authentication Token",
    "MissingAuthenticationTokenException",
)
EVENT_TOO_LARGE = Failure("REQUEST_TOO_LARGE", 413, "Request Too Long")
HEADERS_TOO_LARGE = Failure(
    "DEFAULT_4XX", 431, f"Request line and headers exceeded {MAX_HEADER_BYTES} bytes"
)
UNSUPPORTED_MEDIA_TYPE = Failure("UNSUPPORTED_MEDIA_TYPE", 415, "Unsupported Media Type")
FUNCTION_FAILED = _internal("INTEGRATION_FAILURE", 502)
MALFORMED_ANSWER = _internal("DEFAULT_5XX", 502)
NOT_BASE64 = _internal("API_CONFIGURATION_ERROR", 500)
UNAUTHORIZED = Failure("UNAUTHORIZED", 401, "Unauthorized", "UnauthorizedException")
ACCESS_DENIED = Failure(
    "ACCESS_DENIED",
    403,
    "User is not authorized to access this resource",
    "AccessDeniedException",
    "Message",
)
ACCESS_DENIED_EXPLICITLY = replace(
    ACCESS_DENIED, message=f"{ACCESS_DENIED.message} with an explicit deny"
)
AUTHORIZER_FAILED = Failure("AUTHORIZER_FAILURE", 500, None, "AuthorizerFailureException")
AUTHORIZER_MALFORMED = Failure(
    "AUTHORIZER_CONFIGURATION_ERROR", 500, None, "AuthorizerConfigurationException"
)
NO_MOCK_ANSWER = _internal("DEFAULT_5XX", 500)
TIMED_OUT = _internal("INTEGRATION_TIMEOUT", 504, "Endpoint request timed out")


def unknown_path(authorization: str | None) -> Failure:
    """What has no route is taken for a call of AWS's own, so the header for a signature."""
    if not authorization:
        return UNKNOWN_PATH
    digest = base64.b64encode(hashlib.sha256(authorization.encode()).digest()).decode()
    return Failure(
        "INVALID_SIGNATURE",
        403,
        "Invalid key=value pair (missing equal-sign) in Authorization header "
        f"(hashed with SHA-256 and encoded with Base64): '{digest}'.",
        "IncompleteSignatureException",
    )


def throttled(declared: Mapping[str, GatewayResponse]) -> Failure:
    """A throttled function shows as INTEGRATION_FAILURE, 504, once that is customised."""
    if "INTEGRATION_FAILURE" in declared:
        return _internal("INTEGRATION_FAILURE", 504)
    return _internal("DEFAULT_5XX", 500)


def gateway_response(
    request: Request, failure: Failure, declared: Mapping[str, GatewayResponse]
) -> web.Response:
    """The answer that the template declares for the failure, or for its family, or AWS's own."""
    family = "DEFAULT_4XX" if failure.status < 500 else "DEFAULT_5XX"
    chosen = declared.get(failure.kind) or declared.get(family) or GatewayResponse(None, {}, {})
    response = mapped_response(
        request,
        chosen.status or failure.status,
        chosen.headers,
        chosen.templates,
        default_template=(
            _DEFAULT_TEMPLATE_OF_502 if failure.status == 502 else _DEFAULT_TEMPLATE % failure.key
        ),
        error={
            "message": failure.message or "",
            "messageString": json.dumps(failure.message),
            "responseType": failure.kind,
        },
    )
    response.headers["x-amzn-ErrorType"] = failure.error_type
    return response


def body_too_large() -> web.Response:
    """Refused before it is known whose request it is: no gateway response changes this."""
    return web.Response(
        status=413,
        headers={"Content-Type": "text; charset=utf-8"},
        body=f"HTTP content length exceeded {MAX_BODY_BYTES} bytes.".encode(),
    )
