"""The floor: what gateway and runtime cost when a function does nothing."""

from typing import Any


def lambda_handler(_event: dict[str, Any], _context: object) -> dict[str, Any]:
    return {"statusCode": 200, "body": '{"detail": "hello"}'}
