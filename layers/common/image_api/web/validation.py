"""What a request may hold: names that its path knows, each once, in UTF-8."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, cast

from aws_lambda_powertools.event_handler.middlewares.openapi_validation import (
    OpenAPIRequestValidationMiddleware,
)
from aws_lambda_powertools.event_handler.openapi.compat import field_annotation_is_sequence
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.params import File

if TYPE_CHECKING:
    from aws_lambda_powertools.event_handler import Response
    from aws_lambda_powertools.event_handler.middlewares import NextMiddleware
    from aws_lambda_powertools.event_handler.openapi.compat import ModelField
    from aws_lambda_powertools.event_handler.types import EventHandlerInstance

REPLACED = "\ufffd"
"""What gateways put in the place of bytes that are no UTF-8; everybody's are then the same."""
UNKNOWN = "This is not known here; see /docs"
_NUMBER = re.compile(r"0|-?[1-9][0-9]*", re.ASCII)
_SPELLING = "A whole number is needed, in digits alone"


class RequestValidation(OpenAPIRequestValidationMiddleware):
    """Powertools' own, which passes over unknown names, with our reader of forms."""

    def __init__(self, *, serves_pages: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._serves_pages = serves_pages

    def handler(self, app: EventHandlerInstance, next_middleware: NextMiddleware) -> Response[Any]:
        _check_path(app)
        if not self._serves_pages:
            _check_query(app)
        return super().handler(app, next_middleware)

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
        for name, value in values.items():
            if isinstance(value, list) and not _is_list(known[name]):
                once = "Send one file" if name in files else "Send this field once"
                raise invalid("multipart_invalid", f"{once}, not {len(value)}", name)
        return {name: value for name, value in values.items() if not _is_blank(value, known[name])}


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
    known = {field.alias: field for field in app.context["_route"].dependant.query_params}
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
        if all(_is_blank(value, known[name]) for value in values):
            single.pop(name, None)
            several.pop(name, None)


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
        field.field_info.annotation is not int
        or value is None
        or _NUMBER.fullmatch(value) is not None
        or not any(character.isdigit() for character in value)
    )


def _is_list(field: ModelField) -> bool:
    return bool(field_annotation_is_sequence(cast("type[Any]", field.field_info.annotation)))
