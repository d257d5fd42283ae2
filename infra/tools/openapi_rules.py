"""What holds for every operation and schema of the OpenAPI document, whoever wrote it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

_SCHEMAS = "#/components/schemas/"
_UNUSED_SCHEMAS = ("HTTPValidationError", "ValidationError", "ResponseValidationError")
_CORRELATION_ID = "X-Correlation-Id"
# What the gateway answers by itself, to any request.
_GATEWAY_RESPONSES = {
    "500": "Something went wrong in the gateway",
    "502": "Something went wrong here",
    "503": "Something is down or busy, and nothing was accepted",
    "504": "It took too long; a change may have been accepted all the same",
}


def applied(document: Json) -> Json:
    """The document, changed in place."""
    for name in _UNUSED_SCHEMAS:
        document["components"]["schemas"].pop(name, None)
    for operation in _operations(document):
        _add_not_modified(operation)
        _describe_answers(operation)
        _add_gateway_responses(operation)
        _describe_form(operation, document["components"]["schemas"])
        _describe_body(operation, document["components"]["schemas"])
        for parameter in operation.get("parameters", []):
            _describe_parameter(parameter)
    _add_components(document)
    sent, answered = _schemas_by_use(document)
    for name in answered - sent:
        _require_what_is_always_there(document["components"]["schemas"][name])
    for name in sent:
        _leave_out_defaults(document["components"]["schemas"][name])
    _name_formats(document)
    whole: Json = _with_whole_numbers(document)
    return whole


def with_references(response: Any) -> Json:
    """A documented answer, whose model is named as Powertools writes it."""
    model = response["content"]["application/json"]["model"]
    choices = [{"$ref": _SCHEMAS + each.__name__} for each in getattr(model, "__args__", (model,))]
    schema = choices[0] if len(choices) == 1 else {"anyOf": choices}
    return {**response, "content": {"application/json": {"schema": schema}}}


def _operations(document: Json) -> Iterator[Json]:
    for operations in document["paths"].values():
        yield from operations.values()


def _add_not_modified(operation: Json) -> None:
    """To whoever says what they know already."""
    names = [parameter["name"].lower() for parameter in operation.get("parameters", [])]
    if "if-none-match" in names:
        operation["responses"]["304"] = {
            "description": "Not modified: an ETag in If-None-Match is current",
            "headers": {**operation["responses"]["200"]["headers"]},
        }


def _add_gateway_responses(operation: Json) -> None:
    for status in _GATEWAY_RESPONSES:
        reference = {"$ref": f"#/components/responses/{status}"}
        operation["responses"].setdefault(status, reference)
    operation["responses"] = dict(sorted(operation["responses"].items()))


def _describe_answers(operation: Json) -> None:
    for response in operation["responses"].values():
        headers = response.setdefault("headers", {})
        for name, header in headers.items():
            if name.endswith("-Count"):
                header["schema"] = {"type": "integer", "minimum": 0}
        headers[_CORRELATION_ID] = {"$ref": f"#/components/headers/{_CORRELATION_ID}"}
        for content in response.get("content", {}).values():
            # Powertools' name for what a handler returns.
            content["schema"].pop("title", None)


def _add_components(document: Json) -> None:
    document["components"]["headers"] = {
        _CORRELATION_ID: {
            "description": "Names the request, in the log and in the events that come of it",
            "schema": {"type": "string"},
        }
    }
    document["components"]["responses"] = {
        status: {
            "description": description,
            "content": {"application/json": {"schema": {"$ref": f"{_SCHEMAS}Problem"}}},
        }
        for status, description in _GATEWAY_RESPONSES.items()
    }
    for status in ("503", "504"):
        document["components"]["responses"][status]["headers"] = {
            "Retry-After": {
                "description": "Seconds until it is worth another try",
                "schema": {"type": "integer"},
            }
        }


def _describe_form(operation: Json, schemas: Json) -> None:
    """Powertools makes a model of a form's fields, which says less than web.validation asks for."""
    form = operation.get("requestBody", {}).get("content", {}).get("multipart/form-data")
    if form is None:
        return
    schema = schemas.pop(form["schema"]["$ref"].removeprefix(_SCHEMAS))
    name = f"{operation['operationId'][0].upper()}{operation['operationId'][1:]}Form"
    form["schema"]["$ref"] = _SCHEMAS + name
    schemas[name] = {**schema, "title": name, "additionalProperties": False}
    for field_name, field in schema["properties"].items():
        _without_null(field)
        if field_name not in schema["required"]:
            _allow_blank(field)


def _describe_body(operation: Json, schemas: Json) -> None:
    """No body is one without fields, which will do where none is required."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = schemas.get(content["schema"].get("$ref", "").removeprefix(_SCHEMAS), {})
        if schema and not schema.get("required") and not schema.get("minProperties"):
            operation["requestBody"]["required"] = False


def _without_null(schema: Json) -> None:
    """Forms and queries have a field or they have not: it cannot be null, as its Python type is."""
    if "anyOf" not in schema:
        return
    choices = [choice for choice in schema["anyOf"] if choice != {"type": "null"}]
    if len(choices) == 1:
        del schema["anyOf"]
        schema.update(choices[0])


def _allow_blank(field: Json) -> None:
    """A blank field is one that is not given; Swagger's page is filled with the first example."""
    if field.get("type") == "array":
        field["examples"] = [[]]
        # Blank ones do not count.
        field.pop("maxItems", None)
        return
    field["examples"] = [""]
    field.pop("minLength", None)
    field.pop("pattern", None)
    if "enum" in field:
        field["enum"] = [*field["enum"], ""]


def _describe_parameter(parameter: Json) -> None:
    schema = parameter["schema"]
    _without_null(schema)
    # A blank parameter is one that is not given.
    if parameter["in"] == "query" and not parameter["required"]:
        if "pattern" in schema:
            schema["pattern"] = f"^$|{schema['pattern']}"
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], ""]
    # Pages show what there is to choose of an enum only. It is a page's own, and never blank.
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    # It stands with the parameter.
    schema.pop("description", None)
    if parameter["in"] == "header":
        parameter["name"] = schema.pop("title")
    else:
        schema.pop("title", None)


def _schemas_by_use(document: Json) -> tuple[set[str], set[str]]:
    """The names of those that are in requests, and of those that are in answers."""
    schemas = document["components"]["schemas"]
    sent = set(_references([operation.get("requestBody") for operation in _operations(document)]))
    answered = set(_references([operation["responses"] for operation in _operations(document)]))
    for names in (sent, answered):
        waiting = [*names]
        while waiting:
            found = set(_references(schemas[waiting.pop()])) - names
            names |= found
            waiting += found
    return sent, answered


def _references(part: Any) -> Iterator[str]:
    """The names of the schemas that a part of the document refers to."""
    if isinstance(part, dict):
        reference = part.get("$ref")
        if isinstance(reference, str) and reference.startswith(_SCHEMAS):
            yield reference.removeprefix(_SCHEMAS)
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)


def _require_what_is_always_there(schema: Json) -> None:
    """What has a default here has it in every answer, and clients need not ask whether it is."""
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    always = [name for name, field in properties.items() if field.pop("default", None) is not None]
    if required or always:
        schema["required"] = [name for name in properties if name in {*required, *always}]


def _leave_out_defaults(schema: Json) -> None:
    """Generators take a field with a default for one that is always there."""
    for field in schema.get("properties", {}).values():
        field.pop("default", None)


def _name_formats(part: Any) -> None:
    """What a name says of its values, everywhere."""
    if isinstance(part, list):
        for value in part:
            _name_formats(value)
    if not isinstance(part, dict):
        return
    for name, value in part.items():
        if name == "properties":
            for field, schema in value.items():
                # Pydantic's, which is the name once more.
                schema.pop("title", None)
                _name_format(field, schema)
        _name_formats(value)
    if "in" in part and "schema" in part:
        _name_format(part["name"], part["schema"])


def _name_format(name: str, schema: Json) -> None:
    for choice in (schema, *schema.get("anyOf", [])):
        kind = choice.get("type")
        # The camera's clock has no zone.
        if kind == "string" and name.endswith("_at") and name != "taken_at":
            choice["format"] = "date-time"
        elif kind == "string" and (name == "url" or name.endswith("_url")):
            choice["format"] = "uri"
        elif kind == "integer" and (name in ("id", "size") or name.endswith("_id")):
            choice["format"] = "int64"


def _with_whole_numbers(part: Any) -> Any:
    """Powertools keeps bounds as floats."""
    if isinstance(part, dict):
        return {name: _with_whole_numbers(value) for name, value in part.items()}
    if isinstance(part, list):
        return [_with_whole_numbers(value) for value in part]
    if isinstance(part, float) and part.is_integer():
        return int(part)
    return part
