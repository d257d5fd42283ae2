"""The `aws:rmq` event of Lambda's event source for Amazon MQ, key by key as AWS sends it.

Imports nothing outside the standard library: whoever makes sample events builds them here too.
"""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CALENDAR_YEARS = 400
_CALENDAR_SECONDS = 146_097 * 86_400


class FarTime(int):
    """A time that `datetime` cannot hold, in seconds since 1970."""


def batch_event(
    broker_arn: str, queue: str, virtual_host: str, records: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """What a function is invoked with: the messages of one queue, in order."""
    return {
        "eventSource": "aws:rmq",
        "eventSourceArn": broker_arn,
        "rmqMessagesByQueue": {f"{queue}::{virtual_host}": records},
    }


def message_record(properties: Any, body: bytes, *, is_redelivered: bool) -> dict[str, Any]:
    """One message as Lambda hands it over: everything but routing key, exchange and tags.

    `properties` are pika's, or have the same names.
    """
    return {
        "basicProperties": {
            "contentType": _text(properties.content_type),
            "contentEncoding": _text(properties.content_encoding),
            "headers": None if properties.headers is None else _header(properties.headers),
            "deliveryMode": properties.delivery_mode,
            "priority": properties.priority,
            "correlationId": _text(properties.correlation_id),
            "replyTo": _text(properties.reply_to),
            "expiration": _text(properties.expiration),
            "messageId": _text(properties.message_id),
            "timestamp": None if properties.timestamp is None else _moment(properties.timestamp),
            "type": _text(properties.type),
            "userId": _text(properties.user_id),
            "appId": _text(properties.app_id),
            "clusterId": _text(properties.cluster_id),
            "bodySize": len(body),
        },
        "redelivered": is_redelivered,
        "data": base64.b64encode(body).decode(),
    }


def _text(value: Any) -> Any:
    """A short text, which need not be UTF-8: Java puts a mark for what it cannot read."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _header(value: Any) -> Any:
    """A header's value: text as its bytes, which Java writes as signed numbers."""
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return {"bytes": [byte - 256 if byte > 127 else byte for byte in value]}
    if isinstance(value, dict):
        return {_text(name): _header(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_header(item) for item in value]
    if isinstance(value, datetime):
        return _moment(int(value.timestamp()))
    if isinstance(value, FarTime):
        return _moment(value)
    if isinstance(value, Decimal):
        return float(value)
    return value


def _moment(seconds: int) -> str:
    """`Jan 1, 1970, 12:33:41 AM`, of seconds since 1970.

    Any that a message can hold: Java counts milliseconds in 64 bits with a sign, and begins again
    at the other end.
    """
    wrapped = (seconds * 1000 + 2**63) % 2**64 - 2**63
    # The calendar repeats itself; `datetime` knows the years from 1 to 9999 alone.
    cycles, rest = divmod(wrapped // 1000, _CALENDAR_SECONDS)
    moment = _EPOCH + timedelta(seconds=rest)
    year = moment.year + cycles * _CALENDAR_YEARS
    months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    half = "AM" if moment.hour < 12 else "PM"
    return (
        # Before the year 1 years are counted back.
        f"{months[moment.month - 1]} {moment.day}, {year if year > 0 else 1 - year}, "
        f"{moment.hour % 12 or 12}:{moment.minute:02}:{moment.second:02} {half}"
    )
