"""The REST APIs that a template declares: its routes, what answers them, its gateway responses."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from infra.local.template.authorizers import read_authorizer
from infra.local.template.model import (
    Api,
    FunctionIntegration,
    GatewayResponse,
    MockIntegration,
    MockResponse,
    Route,
)
from infra.local.template.resources import Resources
from infra.local.template.routes import (
    INTEGRATION,
    operations,
    read_function_integration,
    read_paths,
    stage_of,
)
from infra.local.template.validators import read_validation

# What API Gateway takes for it at most.
_MAX_MINIMUM_COMPRESSION_BYTES = 10 * 1024 * 1024
_BINARY_TYPES = "x-amazon-apigateway-binary-media-types"
_GATEWAY_RESPONSES = "x-amazon-apigateway-gateway-responses"
_DEFAULT_TIMEOUT_MS = 29_000
_TEMPLATE_LANGUAGE = re.compile(r"#(set|if|foreach|macro|evaluate)\b|\$input|\$util")


def read_rest_apis(resources: Resources) -> Iterator[Api]:
    """Raises TemplateError."""
    for logical_id, properties in resources.of_type("AWS::ApiGateway::RestApi"):
        body = read_paths(resources, logical_id, properties)
        stage = stage_of(resources, "AWS::ApiGateway::Stage", "RestApiId", logical_id)
        binary = {
            *resources.optional(logical_id, properties, "BinaryMediaTypes", []),
            *resources.optional(logical_id, body, _BINARY_TYPES, []),
        }
        yield Api(
            logical_id=logical_id,
            stage=str(resources.optional(logical_id, stage, "StageName", "Prod")),
            stage_variables=resources.optional(logical_id, stage, "Variables", {}),
            binary_media_types=tuple(sorted({kind.replace("~1", "/") for kind in binary})),
            minimum_compression_bytes=_minimum_compression_bytes(resources, logical_id, properties),
            routes=tuple(_routes(resources, logical_id, body)),
            gateway_responses=_gateway_responses(resources, logical_id, body),
        )


def _minimum_compression_bytes(
    resources: Resources, logical_id: str, properties: Mapping[str, Any]
) -> int | None:
    value = properties.get("MinimumCompressionSize")
    if value is None:
        return None
    try:
        size_bytes = int(value)
    except (TypeError, ValueError) as error:
        raise resources.error(f"{logical_id}: MinimumCompressionSize is {value!r}") from error
    if not 0 <= size_bytes <= _MAX_MINIMUM_COMPRESSION_BYTES:
        raise resources.error(f"{logical_id}: MinimumCompressionSize is {value!r}, not 0 to 10 MB")
    return size_bytes


def _routes(resources: Resources, logical_id: str, body: Mapping[str, Any]) -> Iterator[Route]:
    for path, method, operation in operations(resources, logical_id, body):
        where = f"{logical_id}, {method} {path}"
        integration = resources.required(where, operation, INTEGRATION)
        yield Route(
            path,
            method,
            _integration(resources, where, integration),
            read_validation(resources, where, body, operation),
            read_authorizer(resources, where, body, operation),
        )


def _integration(
    resources: Resources, where: str, integration: Mapping[str, Any]
) -> FunctionIntegration | MockIntegration:
    kind = str(integration.get("type", "")).lower()
    if kind == "aws_proxy":
        return read_function_integration(
            resources, where, integration, default_timeout_ms=_DEFAULT_TIMEOUT_MS
        )
    if kind != "mock":
        raise resources.error(
            f"{where}: the local cloud does not run {kind or 'such'} integrations"
        )
    if any(map(_TEMPLATE_LANGUAGE.search, _templates(integration))):
        raise resources.error(
            f"{where}: the local cloud does not run the mapping template language"
        )
    return _mock(resources, where, integration)


def _templates(integration: Mapping[str, Any]) -> Iterator[str]:
    yield from (integration.get("requestTemplates") or {}).values()
    for response in (integration.get("responses") or {}).values():
        yield from (response.get("responseTemplates") or {}).values()


def _mock(resources: Resources, where: str, integration: Mapping[str, Any]) -> MockIntegration:
    text = next(iter((integration.get("requestTemplates") or {}).values()), "{}")
    try:
        status = int(json.loads(text)["statusCode"])
    except (ValueError, KeyError, TypeError) as error:
        raise resources.error(
            f'{where}: a mock\'s request template must be {{"statusCode": ...}}, not ' + repr(text)
        ) from error
    responses = [
        MockResponse(
            pattern=pattern,
            status=int(response["statusCode"]),
            headers=_headers(response, "method.response.header."),
            templates=response.get("responseTemplates") or {},
        )
        for pattern, response in (integration.get("responses") or {}).items()
    ]
    # `default` answers what no other pattern matches.
    responses.sort(key=lambda response: response.pattern == "default")
    behaviour = str(integration.get("passthroughBehavior", "when_no_match")).lower()
    content_types = (
        None
        if behaviour == "when_no_match"
        else frozenset(map(str.lower, integration.get("requestTemplates") or {}))
    )
    return MockIntegration(status, content_types, tuple(responses))


def _gateway_responses(
    resources: Resources, logical_id: str, body: Mapping[str, Any]
) -> dict[str, GatewayResponse]:
    declared = resources.optional(logical_id, body, _GATEWAY_RESPONSES, {})
    return {
        kind: GatewayResponse(
            status=int(response["statusCode"]) if response.get("statusCode") else None,
            headers=_headers(response, "gatewayresponse.header."),
            templates=response.get("responseTemplates") or {},
        )
        for kind, response in declared.items()
    }


def _headers(response: Mapping[str, Any], prefix: str) -> dict[str, str]:
    return {
        name.removeprefix(prefix): str(value)
        for name, value in (response.get("responseParameters") or {}).items()
        if name.startswith(prefix)
    }
