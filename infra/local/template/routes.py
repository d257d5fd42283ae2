"""What both kinds of API declare alike, in OpenAPI: operations, and the functions behind them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from infra.local.template.model import FunctionIntegration
from infra.local.template.resources import Resources

INTEGRATION = "x-amazon-apigateway-integration"
_METHODS = ("get", "head", "post", "put", "patch", "delete", "options")
_ANY_METHOD = "x-amazon-apigateway-any-method"
_INVOCATION = re.compile(r"/functions/(arn:[^/]+)/invocations")


def read_paths(
    resources: Resources, logical_id: str, properties: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The document that declares an API. Raises TemplateError for one that is not here."""
    body = properties.get("Body")
    if not isinstance(body, dict) or not isinstance(body.get("paths"), dict):
        raise resources.error(f"{logical_id} has no paths")
    return body


def stage_of(resources: Resources, kind: str, key: str, logical_id: str) -> Mapping[str, Any]:
    """The properties of an API's one stage; empty where the template has none.

    `key` is the property of a stage that names its API.
    """
    api = resources.attribute(logical_id, "Ref")
    stages = [
        stage
        for stage_id, stage in resources.of_type(kind)
        if resources.optional(stage_id, stage, key, None) == api
    ]
    if len(stages) > 1:
        raise resources.error(f"the local cloud runs one stage of an API: {logical_id} has more")
    return stages[0] if stages else {}


def operations(
    resources: Resources, logical_id: str, body: Mapping[str, Any]
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method in upper case, or ANY, and what is declared of it."""
    for path, item in body["paths"].items():
        if not isinstance(item, dict):
            continue
        for method, operation in _chosen(resources, f"{logical_id}, {path}", item).items():
            if isinstance(operation, dict) and (method in _METHODS or method == _ANY_METHOD):
                yield path, "ANY" if method == _ANY_METHOD else method.upper(), operation


def _chosen(resources: Resources, where: str, item: dict[str, Any]) -> Mapping[str, Any]:
    """SAM wraps the path items of conditional functions into an `Fn::If`."""
    if set(item) != {"Fn::If"}:
        return item
    name, if_true, if_false = item["Fn::If"]
    chosen = if_true if resources.holds(where, name) else if_false
    return chosen if isinstance(chosen, dict) and "Ref" not in chosen else {}


def read_function_integration(
    resources: Resources,
    where: str,
    integration: Mapping[str, Any],
    *,
    default_timeout_ms: int,
    payload_format: str = "1.0",
) -> FunctionIntegration:
    """Of a Lambda proxy. Raises TemplateError."""
    timeout_ms = resources.number(where, integration, "timeoutInMillis", default_timeout_ms)
    arn = invoked_arn(resources, where, integration.get("uri"))
    return FunctionIntegration(
        resources.function_id(arn), timeout_ms / 1000, qualifier_of(arn), payload_format
    )


def qualifier_of(arn: str) -> str | None:
    """The alias or the version in a function's ARN."""
    return arn.partition(":function:")[2].partition(":")[2] or None


def invoked_arn(resources: Resources, where: str, uri: Any) -> str:
    """The function's, of a URI as API Gateway has it. Raises TemplateError."""
    match = _INVOCATION.search(str(uri))
    if match is None:
        raise resources.error(f"{where} does not name a function")
    return match.group(1)
