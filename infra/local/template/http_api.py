"""The HTTP APIs that a template declares: their routes, and what they tell other origins."""

from collections.abc import Iterator, Mapping
from typing import Any

from infra.local.template.authorizers import payload_format, read_authorizer
from infra.local.template.model import Cors, HttpApi, Route
from infra.local.template.resources import Resources
from infra.local.template.routes import (
    INTEGRATION,
    operations,
    read_function_integration,
    read_paths,
    stage_of,
)

_CORS = "x-amazon-apigateway-cors"
_DEFAULT_PATH = "$default"
_DEFAULT_TIMEOUT_MS = 30_000


def read_http_apis(resources: Resources) -> Iterator[HttpApi]:
    """Raises TemplateError."""
    for logical_id, properties in resources.of_type("AWS::ApiGatewayV2::Api"):
        protocol = resources.optional(logical_id, properties, "ProtocolType", "HTTP")
        if protocol != "HTTP":
            raise resources.error(f"{logical_id}: the local cloud does not run {protocol} APIs")
        body = read_paths(resources, logical_id, properties)
        stage = stage_of(resources, "AWS::ApiGatewayV2::Stage", "ApiId", logical_id)
        routes = tuple(_routes(resources, logical_id, body))
        yield HttpApi(
            logical_id=logical_id,
            stage=str(resources.optional(logical_id, stage, "StageName", _DEFAULT_PATH)),
            stage_variables=resources.optional(logical_id, stage, "StageVariables", {}),
            routes=tuple(route for route in routes if route.path != _DEFAULT_PATH),
            default_route=next((route for route in routes if route.path == _DEFAULT_PATH), None),
            cors=_cors(resources, logical_id, body),
        )


def _routes(resources: Resources, logical_id: str, body: Mapping[str, Any]) -> Iterator[Route]:
    for path, method, operation in operations(resources, logical_id, body):
        where = f"{logical_id}, {method} {path}"
        integration = resources.required(where, operation, INTEGRATION)
        kind = str(integration.get("type", "")).lower()
        if kind != "aws_proxy" or "integrationSubtype" in integration:
            raise resources.error(f"{where}: the local cloud does not run {kind} integrations")
        for mapping in ("requestParameters", "responseParameters"):
            if integration.get(mapping):
                raise resources.error(f"{where}: the local cloud does not map parameters")
        yield Route(
            _DEFAULT_PATH if path.strip("/") == _DEFAULT_PATH else path,
            method,
            read_function_integration(
                resources,
                where,
                integration,
                default_timeout_ms=_DEFAULT_TIMEOUT_MS,
                payload_format=payload_format(
                    resources, where, integration.get("payloadFormatVersion", "1.0")
                ),
            ),
            authorizer=read_authorizer(resources, where, body, operation, is_http_api=True),
        )


def _cors(resources: Resources, logical_id: str, body: Mapping[str, Any]) -> Cors | None:
    declared = resources.optional(logical_id, body, _CORS, None)
    if declared is None:
        return None
    where = f"{logical_id}, CorsConfiguration"
    max_age = declared.get("maxAge")
    return Cors(
        allow_origins=_texts(declared, "allowOrigins"),
        allow_methods=_texts(declared, "allowMethods"),
        allow_headers=_texts(declared, "allowHeaders"),
        expose_headers=_texts(declared, "exposeHeaders"),
        max_age_seconds=(
            None if max_age is None else int(resources.number(where, declared, "maxAge", 0))
        ),
        allow_credentials=str(declared.get("allowCredentials")).lower() == "true",
    )


def _texts(declared: Mapping[str, Any], key: str) -> tuple[str, ...]:
    return tuple(map(str, declared.get(key) or ()))
