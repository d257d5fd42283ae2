"""The answers that a template writes: bodies and headers with variables to fill in.

Both gateway responses and mock integrations are written so. Of the mapping language there are the
variables alone: a template that has more is refused when it is read.
"""

import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from infra.local.gateway.request import Request

_VARIABLE = re.compile(r"\$(\{)?((?:context|stageVariables)(?:\.[A-Za-z]\w*)+)(?(1)\})")
_HEADER = "method.request.header."
_QUERY = "method.request.querystring."
_PATH = "method.request.path."


def mapped_response(
    request: Request,
    status: int,
    headers: Mapping[str, str],
    templates: Mapping[str, str],
    *,
    default_template: str = "",
    error: Mapping[str, str] | None = None,
) -> web.Response:
    """`templates` are by content type; `error` are the values below `$context.error`."""
    values = {"error": error, **request.context()}
    content_type, template = _choose(request.accepted_type, templates, default_template)
    body = _VARIABLE.sub(lambda match: _variable(request, values, match.group(2)), template)
    mapped = CIMultiDict({"Content-Type": content_type})
    for name, mapping in headers.items():
        mapped[name] = _header_value(request, values, mapping)
    mapped["x-amzn-RequestId"] = request.request_id
    mapped["x-amz-apigw-id"] = request.extended_request_id
    return web.Response(status=status, headers=mapped, body=body.encode())


def _choose(accepted_type: str, templates: Mapping[str, str], default: str) -> tuple[str, str]:
    """Content type and template: the one that the client asks for, else JSON, else any."""
    for content_type in (accepted_type.split(";")[0].strip(), "application/json"):
        if content_type in templates:
            return content_type, templates[content_type]
    return next(iter(templates.items()), ("application/json", default))


def _header_value(request: Request, values: Mapping[str, Any], mapping: str) -> str:
    """A mapped header: a literal in quotes, a context variable, or a request's own value."""
    if mapping.startswith("'") and mapping.endswith("'"):
        return mapping[1:-1]
    if mapping.startswith(_HEADER):
        wanted = mapping.removeprefix(_HEADER).lower()
        found = (sent[-1] for name, sent in request.headers.items() if name.lower() == wanted)
        return next(found, "")
    if mapping.startswith(_QUERY):
        return request.query.get(mapping.removeprefix(_QUERY), [""])[-1]
    if mapping.startswith(_PATH):
        return (request.path_parameters or {}).get(mapping.removeprefix(_PATH), "")
    return _variable(request, values, mapping)


def _variable(request: Request, values: Mapping[str, Any], name: str) -> str:
    scope, _, rest = name.partition(".")
    if scope == "stageVariables":
        return (request.deployment.stage_variables or {}).get(rest, "")
    value: Any = values
    for part in rest.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return "" if value is None else str(value)
