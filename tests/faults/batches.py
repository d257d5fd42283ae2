"""Batches as Lambda hands them to the consumer, made of what was accepted."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

from pg8000.native import Connection

from image_api.core import events
from image_api.core.events import Event

_WAITING = """
SELECT change_id::text, type, image_id, sequence, data, correlation_id, rfc3339(accepted_at)
FROM changes WHERE published_at IS NULL ORDER BY id
"""


def accepted_events(database: Connection) -> list[Event]:
    """Changes that were accepted while the broker was away, in order."""
    return [Event(*row) for row in database.run(_WAITING)]


def record(event: Event, body: bytes | None = None) -> dict[str, Any]:
    """The event as one message of an `aws:rmq` event; `body` replaces its own."""
    body = events.encode(event) if body is None else body
    return {
        "basicProperties": {
            "contentType": events.CONTENT_TYPE,
            "contentEncoding": None,
            "headers": None,
            "deliveryMode": 2,
            "priority": None,
            "correlationId": event.correlation_id,
            "replyTo": None,
            "expiration": None,
            "messageId": event.id,
            "timestamp": "Nov 23, 2026, 10:00:00 AM",
            "type": event.type,
            "userId": None,
            "appId": "image-api",
            "clusterId": None,
            "bodySize": len(body),
        },
        "redelivered": False,
        "data": base64.b64encode(body).decode(),
    }


def batch(queue: str, records: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {
        "eventSource": "aws:rmq",
        "eventSourceArn": "arn:aws:mq:us-east-1:000000000000:broker:images:b-0",
        "rmqMessagesByQueue": {f"{queue}::/": list(records)},
    }
