"""The floors: what gateway and runtime cost when a function does nothing, but for its answer."""

import json
from typing import Any

_SMALL = '{"detail": "hello"}'
# As large as a page of 100 images with their signed URLs.
_LARGE = json.dumps([{"id": number, "url": "x" * 620} for number in range(100)])


def lambda_handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    return {"statusCode": 200, "body": _LARGE if event["path"] == "/hello/large" else _SMALL}
