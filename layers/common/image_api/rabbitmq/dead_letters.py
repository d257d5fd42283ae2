"""What was given up: looking at it, and sending it back to the work queue."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pika import BasicProperties
from pika.adapters.blocking_connection import BlockingChannel

from image_api.core.change_log.messages import (
    ATTEMPT_HEADER,
    REASON_HEADER,
    REDRIVEN_HEADER,
    WAITS_HEADER,
    DeadLetter,
    count_of,
    header_text,
    kept_headers,
    property_text,
)
from image_api.core.change_log.queues import dead_queue
from image_api.rabbitmq import field_values

field_values.install()

# What a quorum queue counts by itself.
_RETURNS_HEADER = "x-delivery-count"
# Of the year 9999.
_LAST_SECOND = 253_402_300_799


def listed(channel: BlockingChannel, queue: str, limit: int | None = None) -> Iterator[DeadLetter]:
    """The oldest of a work queue's; they are back in their queue when the connection ends."""
    channel.confirm_delivery()
    for delivery_tag, properties, body in _messages(channel, dead_queue(queue), limit):
        headers = properties.headers or {}
        yield DeadLetter(
            event_id=_known(properties.message_id),
            type=_known(properties.type),
            subject=_subject(body),
            given_up_at_seconds=_moment(properties.timestamp),
            attempts=count_of(headers.get(ATTEMPT_HEADER, 1)),
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
            for name, value in kept_headers(properties.headers or {}).items()
            if not name.startswith((ATTEMPT_HEADER, WAITS_HEADER, REASON_HEADER))
        }
        headers[REDRIVEN_HEADER] = count_of(headers.get(REDRIVEN_HEADER)) + 1
        channel.basic_publish("", queue, body, _again(properties, headers), mandatory=True)
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
    again = _again(properties, _without_returns(headers))
    channel.basic_publish("", dead, body, again, mandatory=True)
    channel.basic_ack(delivery_tag)


def _again(properties: BasicProperties, headers: Mapping[str, Any]) -> BasicProperties:
    """What a message has when it is sent again: not the name of who sent it first, which the broker
    takes from nobody else, nor when it is to expire.
    """
    return BasicProperties(
        content_type=properties.content_type,
        content_encoding=properties.content_encoding,
        delivery_mode=2,
        message_id=properties.message_id,
        correlation_id=properties.correlation_id,
        type=properties.type,
        timestamp=properties.timestamp,
        app_id=properties.app_id,
        headers=dict(headers) or None,
    )


def _without_returns(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Why the broker dropped it goes on to be known, as a reason like any other."""
    return {**kept_headers(headers), REASON_HEADER: _reason(headers)}


def _reason(headers: Mapping[str, Any]) -> str:
    if reason := headers.get(REASON_HEADER):
        return header_text(reason)
    why = header_text(headers.get("x-first-death-reason", "no reason given"))
    return f"dropped by the broker ({why})"


def _subject(body: bytes) -> str:
    try:
        return property_text(str(json.loads(body)["subject"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return "(no event)"


def _known(value: str | bytes | None) -> str | None:
    """pika gives bytes for what is no UTF-8."""
    return None if value is None else property_text(str(value))


def _moment(timestamp: int | None) -> int | None:
    """Anybody may have sent it, in milliseconds too."""
    return timestamp if timestamp is not None and 0 < timestamp <= _LAST_SECOND else None
