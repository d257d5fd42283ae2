"""The request validators of an API, and the models that they go by."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft4Validator
from jsonschema.exceptions import SchemaError

from infra.local.template.model import Validation
from infra.local.template.resources import Resources

_VALIDATOR = "x-amazon-apigateway-request-validator"
# OpenAPI's names of where a parameter is, and API Gateway's.
_PLACES = {"header": "header", "path": "path", "query": "querystring"}


def read_validation(
    resources: Resources, where: str, body: Mapping[str, Any], operation: Mapping[str, Any]
) -> Validation | None:
    """None where nothing is looked at. Raises TemplateError."""
    name = operation.get(_VALIDATOR, body.get(_VALIDATOR))
    if name is None:
        return None
    declared = resources.optional(where, body, f"{_VALIDATOR}s", {})
    if name not in declared:
        raise resources.error(f"{where}: there is no request validator {name}")
    validator = declared[name]
    parameters = resources.optional(where, operation, "parameters", [])
    required = frozenset(
        (_PLACES[parameter["in"]], str(parameter["name"]))
        for parameter in parameters
        if parameter.get("required") and parameter.get("in") in _PLACES
    )
    schemas = dict(_schemas(resources, where, body, operation))
    return Validation(
        required=required if validator.get("validateRequestParameters") else frozenset(),
        schemas=schemas if validator.get("validateRequestBody") else {},
    )


def _schemas(
    resources: Resources, where: str, body: Mapping[str, Any], operation: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """By media type; of OpenAPI 2 all have one model."""
    shared = {
        "definitions": resources.optional(where, body, "definitions", {}),
        "components": resources.optional(where, body, "components", {}),
    }
    for parameter in resources.optional(where, operation, "parameters", []):
        if parameter.get("in") == "body":
            for media_type in operation.get("consumes") or ["application/json"]:
                yield media_type, _schema(resources, where, parameter.get("schema"), shared)
    content = resources.optional(where, operation, "requestBody", {}).get("content") or {}
    for media_type, model in content.items():
        yield media_type, _schema(resources, where, model.get("schema"), shared)


def _schema(resources: Resources, where: str, schema: Any, shared: Mapping[str, Any]) -> str:
    # With what it refers to beside it.
    whole = {**shared, **(schema or {})}
    if "$ref" in whole:
        whole = {**shared, "allOf": [{"$ref": whole["$ref"]}]}
    try:
        Draft4Validator.check_schema(whole)
        Draft4Validator(whole).is_valid({})
    except SchemaError as error:
        raise resources.error(
            f"{where}: its model is not a JSON Schema: {error.message}"
        ) from error
    except Exception as error:
        raise resources.error(f"{where}: its model cannot be read: {error}") from error
    return json.dumps(whole)
