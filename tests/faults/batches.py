"""Batches as Lambda hands them to the consumer, made of what was accepted."""

from __future__ import annotations

from typing import Any

from pg8000.native import Connection
from pika import BasicProperties

from image_api.core.change_log import events
from image_api.core.change_log.events import Event
from infra.local.triggers.rabbitmq_event import batch_event, message_record

_LOGGED = """
SELECT change_id::text, type, image_id, sequence, data, correlation_id, rfc3339(accepted_at)
FROM changes
"""
_WAITING = f"{_LOGGED} WHERE published_at IS NULL ORDER BY id"
_OF_IMAGE = f"{_LOGGED} WHERE image_id = :image_id ORDER BY id"


def accepted_events(database: Connection) -> list[Event]:
    """Changes that were accepted while the broker was away, in order."""
    return [Event(*row) for row in database.run(_WAITING)]


def logged_events(database: Connection, image_id: int) -> list[Event]:
    """All changes of an image, in order."""
    return [Event(*row) for row in database.run(_OF_IMAGE, image_id=image_id)]


def latest_event(database: Connection) -> Event | None:
    """The change that was accepted last, if there is one."""
    rows = database.run(f"{_LOGGED} ORDER BY id DESC LIMIT 1")
    return Event(*rows[0]) if rows else None


def record(event: Event, body: bytes | None = None) -> dict[str, Any]:
    """The event as one message of an `aws:rmq` event; `body` replaces its own."""
    body = events.encode(event) if body is None else body
    properties = BasicProperties(
        content_type=events.CONTENT_TYPE,
        delivery_mode=2,
        correlation_id=event.correlation_id,
        message_id=event.id,
        type=event.type,
        app_id="image-api",
    )
    return message_record(properties, body, is_redelivered=False)


def batch(queue: str, records: list[dict[str, Any]]) -> dict[str, Any]:
    arn = "arn:aws:mq:us-east-1:000000000000:broker:images:b-0"
    return batch_event(arn, queue, "/", records)
