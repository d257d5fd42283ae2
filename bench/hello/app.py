"""The floors: what gateway and runtime cost when a function does nothing, but for its answer."""

import json
from functools import cache
from typing import Any

_SMALL = '{"detail": "hello"}'
# As a page of images: quotes and what stands between them.
_URL = {"id": 1, "url": "x" * 620}


@cache
def _large(size_bytes: int) -> str:
    return json.dumps([_URL] * (size_bytes // len(json.dumps(_URL))))


def lambda_handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    if event["path"] != "/hello/large":
        return {"statusCode": 200, "body": _SMALL}
    return {"statusCode": 200, "body": _large(int(event["queryStringParameters"]["size_bytes"]))}
