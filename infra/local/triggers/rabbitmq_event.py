"""The `aws:rmq` event of Lambda's event source for Amazon MQ, key by key as AWS sends it.

Imports nothing outside the standard library: whoever makes sample events builds them here too.
"""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any


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
            "contentType": properties.content_type,
            "contentEncoding": properties.content_encoding,
            "headers": None if properties.headers is None else _header(properties.headers),
            "deliveryMode": properties.delivery_mode,
            "priority": properties.priority,
            "correlationId": properties.correlation_id,
            "replyTo": properties.reply_to,
            "expiration": properties.expiration,
            "messageId": properties.message_id,
            "timestamp": (
                None
                if properties.timestamp is None
                else _moment(datetime.fromtimestamp(properties.timestamp, UTC))
            ),
            "type": properties.type,
            "userId": properties.user_id,
            "appId": properties.app_id,
            "clusterId": properties.cluster_id,
            "bodySize": len(body),
        },
        "redelivered": is_redelivered,
        "data": base64.b64encode(body).decode(),
    }


def _header(value: Any) -> Any:
    """A header's value: text as its bytes, which Java writes as signed numbers."""
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return {"bytes": [byte - 256 if byte > 127 else byte for byte in value]}
    if isinstance(value, dict):
        return {name: _header(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_header(item) for item in value]
    if isinstance(value, datetime):
        return _moment(value)
    if isinstance(value, Decimal):
        return float(value)
    return value


def _moment(moment: datetime) -> str:
    """`Jan 1, 1970, 12:33:41 AM`."""
    months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    half = "AM" if moment.hour < 12 else "PM"
    return (
        f"{months[moment.month - 1]} {moment.day}, {moment.year}, "
        f"{moment.hour % 12 or 12}:{moment.minute:02}:{moment.second:02} {half}"
    )
