"""The API that a template declares: its routes, what answers them, its gateway responses."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from infra.local.template.model import (
    Api,
    FunctionIntegration,
    GatewayResponse,
    MockIntegration,
    MockResponse,
    Route,
)
from infra.local.template.resources import Resources
from infra.local.template.validators import read_validation

_METHODS = ("get", "head", "post", "put", "patch", "delete", "options")
_ANY_METHOD = "x-amazon-apigateway-any-method"
_INTEGRATION = "x-amazon-apigateway-integration"
# What API Gateway takes for it at most.
_MAX_MINIMUM_COMPRESSION_BYTES = 10 * 1024 * 1024
_BINARY_TYPES = "x-amazon-apigateway-binary-media-types"
_GATEWAY_RESPONSES = "x-amazon-apigateway-gateway-responses"
_DEFAULT_TIMEOUT_MS = 29_000
_TEMPLATE_LANGUAGE = re.compile(r"#(set|if|foreach|macro|evaluate)\b|\$input|\$util")


def read_api(resources: Resources) -> Api | None:
    """None where the template has none. Raises TemplateError."""
    apis = list(resources.of_type("AWS::ApiGateway::RestApi"))
    if len(apis) > 1:
        names = ", ".join(logical_id for logical_id, _ in apis)
        raise resources.error(f"the local cloud serves one API, and there are {names}")
    for logical_id, properties in apis:
        body = properties.get("Body")
        if not isinstance(body, dict) or not isinstance(body.get("paths"), dict):
            raise resources.error(f"{logical_id} has no paths")
        stage: dict[str, Any] = next(
            (found for _, found in resources.of_type("AWS::ApiGateway::Stage")), {}
        )
        binary = {
            *resources.optional(logical_id, properties, "BinaryMediaTypes", []),
            *resources.optional(logical_id, body, _BINARY_TYPES, []),
        }
        return Api(
            logical_id=logical_id,
            stage=str(resources.optional(logical_id, stage, "StageName", "Prod")),
            stage_variables=resources.optional(logical_id, stage, "Variables", {}),
            binary_media_types=tuple(sorted({kind.replace("~1", "/") for kind in binary})),
            minimum_compression_bytes=_minimum_compression_bytes(resources, logical_id, properties),
            routes=tuple(_routes(resources, logical_id, body)),
            gateway_responses=_gateway_responses(resources, logical_id, body),
        )
    return None


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
    for path, item in body["paths"].items():
        if not isinstance(item, dict):
            continue
        for method, operation in _operations(resources, f"{logical_id}, {path}", item):
            where = f"{logical_id}, {method.upper()} {path}"
            security = operation.get("security", body.get("security"))
            if security and security != [{"NONE": []}]:
                raise resources.error(f"{where}: the local cloud does not run authorizers")
            integration = resources.required(where, operation, _INTEGRATION)
            yield Route(
                path,
                "ANY" if method == _ANY_METHOD else method.upper(),
                _integration(resources, where, integration),
                read_validation(resources, where, body, operation),
            )


def _operations(
    resources: Resources, where: str, item: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """SAM wraps the path items of conditional functions into an `Fn::If`."""
    if set(item) == {"Fn::If"}:
        name, if_true, if_false = item["Fn::If"]
        chosen = if_true if resources.holds(where, name) else if_false
        item = chosen if isinstance(chosen, dict) and "Ref" not in chosen else {}
    for method, operation in item.items():
        if isinstance(operation, dict) and (method in _METHODS or method == _ANY_METHOD):
            yield method, operation


def _integration(
    resources: Resources, where: str, integration: Mapping[str, Any]
) -> FunctionIntegration | MockIntegration:
    kind = str(integration.get("type", "")).lower()
    if kind == "aws_proxy":
        match = re.search(r"/functions/(arn:[^/]+)/invocations", integration.get("uri", ""))
        if match is None:
            raise resources.error(f"{where} does not name a function")
        timeout_ms = resources.number(where, integration, "timeoutInMillis", _DEFAULT_TIMEOUT_MS)
        arn = match.group(1)
        qualifier = arn.partition(":function:")[2].partition(":")[2]
        return FunctionIntegration(resources.function_id(arn), timeout_ms / 1000, qualifier or None)
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
