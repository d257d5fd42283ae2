"""Request validators: what API Gateway looks at before it invokes anything."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jsonschema import Draft4Validator

from infra.local.gateway.request import Request
from infra.local.gateway.rest_api.gateway_responses import Failure
from infra.local.template.model import Validation


def invalid_request(request: Request, validation: Validation, body: bytes) -> Failure | None:
    """None for a request that the validator lets pass."""
    given: Mapping[str, Any] = {
        "header": {name.lower() for name in request.headers},
        "path": request.path_parameters or {},
        "querystring": request.query,
    }
    missing = [
        name
        for place, name in sorted(validation.required)
        if (name.lower() if place == "header" else name) not in given[place]
    ]
    if missing:
        words = f"Missing required request parameters: [{', '.join(missing)}]"
        return Failure("BAD_REQUEST_PARAMETERS", 400, words)
    media_type = request.content_type.split(";")[0].strip().lower()
    schema = validation.schemas.get(media_type)
    if schema is not None and not _is_valid(body, schema):
        return Failure("BAD_REQUEST_BODY", 400, "Invalid request body")
    return None


def _is_valid(body: bytes, schema: str) -> bool:
    try:
        value = json.loads(body or b"{}")
    except ValueError:
        return False
    return bool(_validator(schema).is_valid(value))


@lru_cache(256)
def _validator(schema: str) -> Draft4Validator:
    return Draft4Validator(json.loads(schema))
