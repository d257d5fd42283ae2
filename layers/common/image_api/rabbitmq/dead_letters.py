"""What was given up: looking at it, and sending it back to the work queue."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pika.adapters.blocking_connection import BlockingChannel

from image_api.core.messages import (
    ATTEMPT_HEADER,
    DEATH_HEADERS,
    REASON_HEADER,
    REDRIVEN_HEADER,
    WAITS_HEADER,
    DeadLetter,
)
from image_api.core.queues import dead_queue

# What a quorum queue counts by itself.
_RETURNS_HEADER = "x-delivery-count"


def listed(channel: BlockingChannel, queue: str, limit: int | None = None) -> Iterator[DeadLetter]:
    """The oldest of a work queue's; they are back in their queue when the connection ends."""
    channel.confirm_delivery()
    for delivery_tag, properties, body in _messages(channel, dead_queue(queue), limit):
        headers = properties.headers or {}
        yield DeadLetter(
            event_id=properties.message_id,
            type=properties.type,
            subject=_subject(body),
            given_up_at_seconds=properties.timestamp or 0,
            attempts=headers.get(ATTEMPT_HEADER, 1),
            reason=_reason(headers),
        )
        _leave(channel, dead_queue(queue), delivery_tag, properties, body)


def redrive(
    channel: BlockingChannel,
    queue: str,
    event_id: str | None = None,
    may_go_on: Callable[[], bool] = lambda: True,
) -> int:
    """How many were sent back: each is confirmed in the work queue before it leaves the other."""
    channel.confirm_delivery()
    count = 0
    for delivery_tag, properties, body in _messages(channel, dead_queue(queue), None):
        if event_id is not None and properties.message_id != event_id:
            _leave(channel, dead_queue(queue), delivery_tag, properties, body)
            continue
        # As if it had never been tried, but for the count of its returns.
        headers = {
            name: value
            for name, value in (properties.headers or {}).items()
            if not name.startswith((ATTEMPT_HEADER, WAITS_HEADER, REASON_HEADER, *DEATH_HEADERS))
        }
        headers[REDRIVEN_HEADER] = int(headers.get(REDRIVEN_HEADER, 0)) + 1
        properties.headers = headers
        channel.basic_publish("", queue, body, properties, mandatory=True)
        channel.basic_ack(delivery_tag)
        count += 1
        if not may_go_on():
            break
    return count


def _messages(
    channel: BlockingChannel, queue: str, limit: int | None
) -> Iterator[tuple[int, Any, bytes]]:
    """What is there now; a message that comes back meanwhile is not taken again."""
    present = channel.queue_declare(queue, passive=True).method.message_count
    for _ in range(present if limit is None else min(present, limit)):
        method, properties, body = channel.basic_get(queue)
        if method is None:
            return
        yield method.delivery_tag, properties, body


def _leave(
    channel: BlockingChannel, dead: str, delivery_tag: int, properties: Any, body: bytes
) -> None:
    """What was only looked at returns to its queue when the connection ends.

    Of what was returned before, a copy stays instead: RabbitMQ 4 drops a message that returned 20
    times to a queue which an older version declared.
    """
    headers = properties.headers or {}
    if not headers.get(_RETURNS_HEADER):
        return
    properties.headers = {name: value for name, value in headers.items() if name != _RETURNS_HEADER}
    channel.basic_publish("", dead, body, properties, mandatory=True)
    channel.basic_ack(delivery_tag)


def _reason(headers: Mapping[str, Any]) -> str:
    if reason := headers.get(REASON_HEADER):
        return str(reason)
    return f"dropped by the broker ({headers.get('x-first-death-reason', 'no reason given')})"


def _subject(body: bytes) -> str:
    try:
        return str(json.loads(body)["subject"])
    except (ValueError, KeyError, TypeError):
        return "(no event)"
