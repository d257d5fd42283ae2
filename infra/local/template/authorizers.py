"""Who is asked before a request may go on: the Lambda authorizers of both kinds of API."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from infra.local.template.model import LambdaAuthorizer
from infra.local.template.resources import Resources
from infra.local.template.routes import invoked_arn, qualifier_of

_AUTHORIZER = "x-amazon-apigateway-authorizer"
_AUTH_TYPE = "x-amazon-apigateway-authtype"
_NOT_RUN = {
    "awssigv4": "IAM authorization",
    "cognito_user_pools": "Cognito authorizers",
    "jwt": "JWT authorizers",
    "oauth2": "JWT authorizers",
}
_DEFAULT_TTL_SECONDS = 300
_MAX_TTL_SECONDS = 3600
_REST_TIMEOUT_SECONDS = 29.0
_HTTP_TIMEOUT_SECONDS = 10.0
# As REST APIs and as HTTP APIs write it.
_SOURCE = re.compile(
    r"(?:method\.|\$)?(?:request\.)?(?P<place>header|querystring|stageVariables|context)"
    r"\.(?P<name>\S+)"
)


def read_authorizer(
    resources: Resources,
    where: str,
    body: Mapping[str, Any],
    operation: Mapping[str, Any],
    *,
    is_http_api: bool = False,
) -> LambdaAuthorizer | None:
    """None for a route that is open to all. Raises TemplateError."""
    security = operation.get("security", body.get("security"))
    if not security or security == [{"NONE": []}]:
        return None
    names = [name for requirement in security for name in requirement]
    if len(names) != 1:
        raise resources.error(
            f"{where}: the local cloud runs one authorizer for a route, not {' and '.join(names)}"
        )
    name = names[0]
    schemes = body.get("securityDefinitions") or (body.get("components") or {}).get(
        "securitySchemes"
    )
    scheme = resources.required(where, schemes or {}, name)
    declared = scheme.get(_AUTHORIZER) or {}
    kind = str(declared.get("type") or scheme.get(_AUTH_TYPE) or scheme.get("type")).lower()
    if kind not in ("token", "request"):
        what = _NOT_RUN.get(kind, "API keys" if kind == "apikey" else f"{kind} authorizers")
        raise resources.error(f"{where}, {name}: the local cloud does not run {what}")
    arn = invoked_arn(resources, f"{where}, {name}", declared.get("authorizerUri"))
    sources = tuple(_identity_sources(resources, where, name, scheme, declared))
    return LambdaAuthorizer(
        name=name,
        kind=kind.upper(),
        function_id=resources.function_id(arn),
        region=resources.region,
        identity_sources=sources,
        ttl_seconds=_ttl_seconds(resources, f"{where}, {name}", declared) if sources else 0,
        timeout_seconds=_HTTP_TIMEOUT_SECONDS if is_http_api else _REST_TIMEOUT_SECONDS,
        validation_expression=_expression(resources, f"{where}, {name}", declared),
        payload_format=payload_format(
            resources, f"{where}, {name}", declared.get("authorizerPayloadFormatVersion", "1.0")
        ),
        is_simple=str(declared.get("enableSimpleResponses")).lower() == "true",
        qualifier=qualifier_of(arn),
    )


def payload_format(resources: Resources, where: str, value: Any) -> str:
    """1.0 or 2.0, however the template spells it."""
    text = {"1": "1.0", "2": "2.0"}.get(str(value), str(value))
    if text not in ("1.0", "2.0"):
        raise resources.error(f"{where}: the payload format version is {value!r}, not 1.0 or 2.0")
    return text


def _ttl_seconds(resources: Resources, where: str, declared: Mapping[str, Any]) -> int:
    ttl = int(
        resources.number(where, declared, "authorizerResultTtlInSeconds", _DEFAULT_TTL_SECONDS)
    )
    if not 0 <= ttl <= _MAX_TTL_SECONDS:
        raise resources.error(f"{where}: ReauthorizeEvery is {ttl}, not 0 to {_MAX_TTL_SECONDS}")
    return ttl


def _expression(resources: Resources, where: str, declared: Mapping[str, Any]) -> str | None:
    expression = declared.get("identityValidationExpression")
    if expression is None:
        return None
    try:
        re.compile(str(expression))
    except re.error as error:
        raise resources.error(f"{where}: ValidationExpression cannot be read: {error}") from error
    return str(expression)


def _identity_sources(
    resources: Resources,
    where: str,
    name: str,
    scheme: Mapping[str, Any],
    declared: Mapping[str, Any],
) -> Iterator[tuple[str, str]]:
    given = declared.get("identitySource") or []
    if isinstance(given, str):
        given = given.split(",")
    if declared.get("type") == "token" and not given:
        yield "header", str(scheme.get("name", "Authorization"))
    for text in given:
        found = _SOURCE.fullmatch(str(text).strip())
        if found is None:
            raise resources.error(f"{where}, {name}: {text} is not a supported identity source")
        yield found["place"], found["name"]
