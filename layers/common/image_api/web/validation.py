"""What a request may hold: names that its path knows, each once, in UTF-8."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Callable, Collection, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from aws_lambda_powertools.event_handler.middlewares import openapi_validation
from aws_lambda_powertools.event_handler.openapi.compat import (
    field_annotation_is_sequence,
    is_scalar_field,
)
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.params import File
from pydantic import BaseModel

if TYPE_CHECKING:
    from aws_lambda_powertools.event_handler import Response
    from aws_lambda_powertools.event_handler.api_gateway import Route
    from aws_lambda_powertools.event_handler.middlewares import NextMiddleware
    from aws_lambda_powertools.event_handler.openapi.compat import ModelField
    from aws_lambda_powertools.event_handler.types import EventHandlerInstance

REPLACED = "\ufffd"
"""What gateways put in the place of bytes that are not UTF-8; everybody's are then the same."""
UNKNOWN = "Unknown field or parameter; see /docs"
ONCE = "Send this once, not {} times"
_NUMBER = re.compile(r"0|-?[1-9][0-9]*", re.ASCII)
_SPELLING = "A whole number is needed, in digits alone"

# Powertools looks at the annotations of all fields of a path with each request: of a list that is a
# quarter of the time until its statement.
openapi_validation.is_scalar_field = cache(is_scalar_field)  # type: ignore[attr-defined]


class RequestValidation(openapi_validation.OpenAPIRequestValidationMiddleware):
    """Powertools' own, which passes over unknown names, with our reader of forms.

    It lacks a public way to say how a body is read, hence its two private methods here; and one to
    learn what the path of a request knows, hence `_route` and `_route_args` of its context.
    """

    def __init__(self, *, serves_pages: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._serves_pages = serves_pages

    def handler(self, app: EventHandlerInstance, next_middleware: NextMiddleware) -> Response[Any]:
        _check_path(app)
        if not self._serves_pages:
            _check_query(app)
            _check_that_body_is_expected(app)
        return super().handler(app, next_middleware)

    def _parse_json_data(self, app: EventHandlerInstance) -> dict[str, Any]:
        # No body is one without fields: each that is required is then named.
        return super()._parse_json_data(app) or {}

    def _parse_multipart_data(self, app: EventHandlerInstance, content_type: str) -> dict[str, Any]:
        # Imported here: only an upload has a form.
        from image_api.web import forms

        known = {field.alias: field for field in app.context["_route"].dependant.body_params}
        files = {name for name, field in known.items() if isinstance(field.field_info, File)}
        event = app.current_event
        body = event.body or ""
        try:
            # Not in base64 it comes from a gateway that does not know forms as binary.
            data = b64decode(body) if event.is_base64_encoded else body.encode("latin-1")
        except ValueError as error:
            raise invalid("multipart_invalid", "The form cannot be read") from error
        try:
            values = forms.parse(data, content_type, files, known)
        except forms.MalformedForm as error:
            raise invalid("multipart_invalid", error.message, error.field) from error
        _refuse_unknown("body", values, known)
        given: dict[str, Any] = {}
        for name, value in values.items():
            if _is_list(known[name]):
                each = value if isinstance(value, list) else [value]
                value = [item for item in each if not _is_blank(item, known[name])]
            elif isinstance(value, list):
                words = f"Send one file, not {len(value)}"
                raise invalid(
                    "multipart_invalid", words if name in files else ONCE.format(len(value)), name
                )
            if value != [] and not _is_blank(value, known[name]):
                given[name] = value
        return given


def refuse_open_models(handler: Callable[..., Any]) -> None:
    """Raises TypeError for a handler that lets unknown fields through at any depth of its body."""
    hints = get_type_hints(handler, include_extras=True)
    for name, annotation in hints.items():
        if name != "return":
            for model in _models(annotation):
                if model.model_config.get("extra") != "forbid":
                    raise TypeError(f"{model.__name__} takes unknown fields: set extra='forbid'")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from _models(field.annotation)
    for argument in get_args(annotation):
        yield from _models(argument)


def invalid(kind: str, message: str, field: str | None = None) -> RequestValidationError:
    if field is not None:
        return _invalid_in("body", field, kind, message)
    return RequestValidationError([{"loc": ("body",), "type": kind, "msg": message}])


def _invalid_in(where: str, field: str, kind: str, message: str) -> RequestValidationError:
    return RequestValidationError([{"loc": (where, field), "type": kind, "msg": message}])


def _check_path(app: EventHandlerInstance) -> None:
    for field in app.context["_route"].dependant.path_params:
        if not _is_spelled_right(app.context["_route_args"].get(field.alias), field):
            raise _invalid_in("path", field.alias, "int_parsing", _SPELLING)


def _check_query(app: EventHandlerInstance) -> None:
    known = _query_fields(app.context["_route"])
    event = app.current_event.raw_event
    single = event.get("queryStringParameters") or {}
    several = event.get("multiValueQueryStringParameters") or {}
    _refuse_unknown("query", {**single, **several}, known)
    for name in list({**single, **several}):
        values = several.get(name) or [single.get(name)]
        if any(REPLACED in (value or "") for value in values):
            raise _invalid_in("query", name, "not_utf8", "This is not UTF-8")
        if not all(_is_spelled_right(value, known[name]) for value in values):
            raise _invalid_in("query", name, "int_parsing", _SPELLING)
        if len(values) > 1 and not _is_list(known[name]):
            raise _invalid_in("query", name, "repeated", ONCE.format(len(values)))
        if all(_is_blank(value, known[name]) for value in values):
            single.pop(name, None)
            several.pop(name, None)


@cache
def _query_fields(route: Route) -> dict[str, ModelField]:
    return {field.alias: field for field in route.dependant.query_params}


def _check_that_body_is_expected(app: EventHandlerInstance) -> None:
    """A field is unknown where there are none at all; an empty object says nothing."""
    if app.context["_route"].dependant.body_params:
        return
    body = (app.current_event.body or "").strip()
    if body in ("", "null"):
        return
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError):
        sent = None
    if not isinstance(sent, dict):
        raise invalid("extra_forbidden", "This path takes no body")
    _refuse_unknown("body", sent, {})


def _refuse_unknown(where: str, names: Collection[str], known: dict[str, ModelField]) -> None:
    """Names what is missing as well: it may be there under the wrong name."""
    unknown = [name for name in names if name not in known]
    if unknown:
        missing = [name for name, field in known.items() if field.required and name not in names]
        raise RequestValidationError(
            [
                *({"loc": (where, name), "type": "extra_forbidden", "msg": ""} for name in unknown),
                *({"loc": (where, name), "type": "missing", "msg": ""} for name in missing),
            ]
        )


def _is_blank(value: object, field: ModelField) -> bool:
    """Browsers and Swagger's page send optional fields that nobody filled in."""
    return not field.required and isinstance(value, str) and not value.strip()


def _is_spelled_right(value: str | None, field: ModelField) -> bool:
    """A whole number has one spelling; Pydantic takes 01, +1, 1_0 and 1.0 as well."""
    return (
        field.field_info.annotation not in (int, int | None)
        or value is None
        or _NUMBER.fullmatch(value) is not None
        or not any(character.isdigit() for character in value)
    )


def _is_list(field: ModelField) -> bool:
    return _may_be_list(field.field_info.annotation)


def _may_be_list(annotation: Any) -> bool:
    """Also among others, as in a field that may be left out."""
    return bool(field_annotation_is_sequence(annotation)) or any(
        _may_be_list(choice) for choice in get_args(annotation)
    )
