"""HTTP: the resolver, the one table from error to status, the signed-in user."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

import orjson
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, CORSConfig, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.middlewares.openapi_validation import (
    OpenAPIRequestValidationMiddleware,
)
from aws_lambda_powertools.event_handler.openapi.exceptions import (
    RequestUnsupportedContentType,
    RequestValidationError,
)
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, Field

from image_api import errors, settings
from image_api.observability import logger

if TYPE_CHECKING:
    from aws_lambda_powertools.event_handler.openapi.types import OpenAPIResponse
    from aws_lambda_powertools.event_handler.types import EventHandlerInstance

STATUS_OF: dict[type[errors.ImageApiError], int] = {
    errors.InvalidRequest: 400,
    errors.Unauthenticated: 401,
    errors.WrongCredentials: 401,
    errors.TooManyAttempts: 429,
    errors.ImageNotFound: 404,
    errors.UploadNotFound: 404,
    errors.EmptyFile: 400,
    errors.NotAnImage: 400,
    errors.DamagedImage: 400,
    errors.UnsupportedFormat: 415,
    errors.TooManyPixels: 413,
    errors.FileTooLarge: 413,
    errors.ServiceUnavailable: 503,
}

_ALWAYS = {
    "X-Content-Type-Options": ["nosniff"],
    "Cache-Control": ["no-store"],
    # Nothing but the documentation is a page.
    "Content-Security-Policy": ["default-src 'none'; frame-ancestors 'none'"],
    "Referrer-Policy": ["no-referrer"],
}
MAX_FIELDS_BYTES = 64 * 1024
_FORM = "application/x-www-form-urlencoded"
_NOTHING_HERE = "There is nothing at this path; /docs lists what there is"
_CORRELATION_ID = re.compile(r"[A-Za-z0-9._:=-]{1,128}", re.ASCII)

Handler = Callable[[dict[str, Any], LambdaContext], dict[str, Any]]


class Problem(BaseModel):
    """What is wrong, in words."""

    detail: str


class FieldProblem(BaseModel):
    field: str
    message: str


class InvalidFields(BaseModel):
    """Which fields break which rule."""

    detail: str = Field(default="Validation error", examples=["Validation error"])
    errors: list[FieldProblem]


class _RequestValidation(OpenAPIRequestValidationMiddleware):
    """Powertools' own, but a body that cannot be read is the client's mistake, not a crash."""

    def _parse_multipart_data(self, app: EventHandlerInstance, content_type: str) -> dict[str, Any]:
        # Imported here: only an upload has a form.
        from image_api.web import forms

        event = app.current_event
        body = event.body or ""
        try:
            # Not in base64 it comes from a gateway that does not know forms as binary.
            data = b64decode(body) if event.is_base64_encoded else body.encode("latin-1")
            return dict(forms.parse(data, content_type))
        except ValueError as error:
            raise RequestValidationError(
                [{"loc": ("body",), "type": "multipart_invalid", "msg": "The form is malformed"}]
            ) from error

    def _parse_json_data(self, app: EventHandlerInstance) -> dict[str, Any]:
        try:
            body: dict[str, Any] = super()._parse_json_data(app)
        except (ValueError, RecursionError) as error:
            # Nested too deeply, or a number of thousands of digits: Python's parser gives up.
            raise RequestValidationError(
                [{"loc": ("body",), "type": "json_invalid", "msg": "The body cannot be read"}]
            ) from error
        if body is not None and not isinstance(body, dict):
            raise RequestValidationError(
                [{"loc": ("body",), "type": "object_type", "msg": "The body must be an object"}]
            )
        return body


class Resolver(APIGatewayRestResolver):
    """Powertools' resolver, which knows whether its routes need a signed-in user."""

    authenticated: bool
    check_size: Callable[[int], None]


def check_body_size(size_bytes: int) -> None:
    """What a path takes that expects a few fields."""
    if size_bytes > MAX_FIELDS_BYTES:
        raise errors.FileTooLarge(
            f"The request has {size_bytes} bytes; this path takes at most {MAX_FIELDS_BYTES}"
        )


def resolver(
    *, authenticated: bool = False, check_size: Callable[[int], None] = check_body_size
) -> Resolver:
    """`check_size` gets the size of the body in bytes before any of it is decoded."""
    app = Resolver(
        enable_validation=True,
        cors=CORSConfig(
            allow_origin=settings.allowed_origin(),
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key"],
            expose_headers=["Link", "X-Total-Count", "Retry-After"],
            max_age=600,
        ),
    )
    app.authenticated = authenticated
    app.check_size = check_size
    app._request_validation_middleware = _RequestValidation()  # type: ignore[no-untyped-call]
    app.exception_handler(errors.ImageApiError)(_problem)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(RequestUnsupportedContentType)(_unsupported_content_type)
    app.exception_handler(NotFoundError)(_nothing_here)
    return app


def lambda_handler(app: Resolver) -> Handler:
    """The function's entry point: who asks is settled before anything of the request is read.

    A method that the path does not have is refused to everybody.
    """
    verify: Callable[[str | None], int] | None = None
    if app.authenticated:
        from image_api.core.tokens import verify

        settings.tokens()

    def handle(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
        correlation_id = _correlation_id(event, headers)
        logger.set_correlation_id(correlation_id)
        app.context["correlation_id"] = correlation_id
        method, allowed = event.get("httpMethod"), _methods_of(app, event.get("path") or "")
        if allowed and method not in allowed:
            return _finished(_refusal(app, event, _wrong_method(method, allowed)), correlation_id)
        try:
            if verify is not None:
                app.context["user_id"] = verify(headers.get("authorization"))
            app.check_size(_body_size_bytes(event))
        except (errors.Unauthenticated, errors.FileTooLarge) as error:
            return _finished(_refusal(app, event, _problem(error)), correlation_id)
        if headers.get("content-type", "").lower().startswith(_FORM):
            _read_form_as_json(event)
        return _finished(app.resolve(event, context), correlation_id)

    return handle


def user_id(app: Resolver) -> int:
    """Who sent the request under way."""
    return int(app.context["user_id"])


def correlation_id(app: Resolver) -> str:
    """What ties the request under way to its events and its log lines."""
    return str(app.context["correlation_id"])


def client_address(app: Resolver) -> str:
    return str(app.current_event.request_context.identity.source_ip or "unknown")


def json_response(
    body: object, headers: dict[str, str] | None = None, *, status: int = 200
) -> Response[Any]:
    """A body that needs no validation on its way out, since the use case built it field by field.

    Powertools would walk through a list of 100 images in Python, which takes longer than the query.
    """
    return Response(status, "application/json", orjson.dumps(body).decode(), dict(headers or {}))


def link_to_next(app: Resolver, cursor: str) -> str:
    """A Link header to the same list from `cursor` on (RFC 8288)."""
    event = app.current_event
    query = urlencode({**event.query_string_parameters, "cursor": cursor})
    return f'<{base_url(app)}{event.path}?{query}>; rel="next"'


def base_url(app: Resolver) -> str:
    """Where this API is for the client that asks, without a slash at the end."""
    event = app.current_event
    host = event.headers.get("host", "localhost")
    scheme = event.headers.get("x-forwarded-proto", "https")
    # Only API Gateway's own domain shows the stage to clients.
    stage = f"/{event.request_context.stage}" if ".execute-api." in host else ""
    return f"{scheme}://{host}{stage}"


def documented(
    answer: Any, *statuses: int, headers: dict[str, str] | None = None
) -> dict[int, OpenAPIResponse]:
    """The answers of a route, for its OpenAPI document: the body of a 200, and the errors.

    `headers` are those of a 200, by name: what each one says.
    """
    meanings: dict[int, tuple[str, Any]] = {
        400: ("A rule is broken", InvalidFields | Problem),
        401: ("Not signed in, or not with a token that is good", Problem),
        404: ("There is no such thing for this user", Problem),
        413: ("Larger than a limit; the answer says which", Problem),
        415: ("The format is not accepted", Problem),
        429: ("Too many attempts", Problem),
        503: ("A part is down", Problem),
    }
    responses: dict[int, OpenAPIResponse] = {
        status: {
            "description": meanings[status][0],
            "content": {"application/json": {"model": meanings[status][1]}},
        }
        for status in statuses
    }
    for status in {429, 503} & responses.keys():
        responses[status]["headers"] = {
            "Retry-After": {
                "description": "Seconds until it is worth another try",
                "schema": {"type": "integer"},
            }
        }
    success: OpenAPIResponse = {
        "description": "Success",
        "content": {"application/json": {"model": answer}},
    }
    if headers:
        success["headers"] = {
            name: {"description": description, "schema": {"type": "string"}}
            for name, description in headers.items()
        }
    return {200: success, **responses}


def _correlation_id(event: dict[str, Any], headers: dict[str, str]) -> str:
    sent = headers.get("x-correlation-id", "")
    if _CORRELATION_ID.fullmatch(sent):
        return sent
    return str((event.get("requestContext") or {}).get("requestId") or "")


def _body_size_bytes(event: dict[str, Any]) -> int:
    body = event.get("body") or ""
    return len(body) * 3 // 4 if event.get("isBase64Encoded") else len(body)


def _read_form_as_json(event: dict[str, Any]) -> None:
    """The OAuth2 form, which Swagger's Authorize button sends, is the same fields otherwise put."""
    fields = dict(parse_qsl(event.get("body") or "", keep_blank_values=True))
    event["body"] = json.dumps(fields)
    for name in ("headers", "multiValueHeaders"):
        sent = event.get(name) or {}
        for header in [header for header in sent if header.lower() == "content-type"]:
            sent[header] = "application/json" if name == "headers" else ["application/json"]


def _finished(response: dict[str, Any], correlation_id: str) -> dict[str, Any]:
    headers = response.setdefault("multiValueHeaders", {})
    for name, values in _ALWAYS.items():
        headers.setdefault(name, values)
    headers["X-Correlation-Id"] = [correlation_id]
    return response


def _methods_of(app: Resolver, path: str) -> list[str]:
    routes = [*app._static_routes, *app._dynamic_routes]
    return [str(route.method) for route in routes if route.rule.match(path)]


def _wrong_method(method: str | None, allowed: list[str]) -> Response[dict[str, Any]]:
    """API Gateway answers a known path with a method that it does not have like an unknown path,
    so the template sends every method of a path to its function.
    """
    detail = f"This path takes {' and '.join(allowed)}, not {method}"
    allow = ", ".join([*allowed, "OPTIONS"])
    return Response(405, "application/json", {"detail": detail}, {"Allow": allow})


def _refusal(
    app: Resolver, event: dict[str, Any], response: Response[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "statusCode": response.status_code,
        "multiValueHeaders": {
            name: [str(value)]
            for name, value in {**_cors_headers(app, event), **response.headers}.items()
        },
        "body": json.dumps(response.body),
        "isBase64Encoded": False,
    }


def _cors_headers(app: Resolver, event: dict[str, Any]) -> dict[str, str]:
    """What Powertools adds to the answers of routes; a refusal comes before any of them."""
    headers = event.get("headers") or {}
    origin = next((value for name, value in headers.items() if name.lower() == "origin"), None)
    allowed = app._cors.allowed_origin(origin) if app._cors and origin else None
    return app._cors.to_dict(allowed) if app._cors and allowed else {}


def _problem(error: errors.ImageApiError) -> Response[dict[str, Any]]:
    status = next((STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF), None)
    if status is None:
        raise error
    if isinstance(error, errors.InvalidRequest):
        return _fields_problem([{"field": error.field, "message": error.message}])
    headers: dict[str, str | list[str]] = {}
    if isinstance(error, errors.TooManyAttempts | errors.ServiceUnavailable):
        headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, errors.Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, errors.ServiceUnavailable):
        logger.warning("a part is down", reason=error.detail, cause=type(error.__cause__).__name__)
    return Response(status, "application/json", {"detail": error.detail}, headers)


def _invalid(error: RequestValidationError) -> Response[dict[str, Any]]:
    if any(problem["loc"][0] == "path" for problem in error.errors()):
        return _problem(errors.ImageNotFound())
    return _fields_problem(
        [
            {"field": _field(problem["loc"]), "message": _message(problem)}
            for problem in error.errors()
        ]
    )


def _unsupported_content_type(_: RequestUnsupportedContentType) -> Response[dict[str, Any]]:
    return _fields_problem(
        [{"field": "Content-Type", "message": "This content type is not accepted here"}]
    )


def _nothing_here(_: NotFoundError) -> Response[dict[str, Any]]:
    return Response(404, "application/json", {"detail": _NOTHING_HERE})


def _fields_problem(problems: list[dict[str, str]]) -> Response[dict[str, Any]]:
    return Response(400, "application/json", {"detail": "Validation error", "errors": problems})


def _field(location: tuple[str | int, ...]) -> str:
    """The field as the client wrote it: without where it was found (body, query, path)."""
    inner = [str(part) for part in location[1:] if not isinstance(part, int)]
    return ".".join(inner) or str(location[0])


def _message(problem: dict[str, Any]) -> str:
    """Pydantic's words; those of our own rules without the prefix that it puts before them."""
    if problem["type"] == "missing":
        return "This field is required"
    return str(problem["msg"]).removeprefix("Value error, ")
