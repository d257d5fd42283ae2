"""The `aws:rmq` event, with which Lambda hands over a batch of messages."""

from __future__ import annotations

import base64
from typing import Any

from image_api.core.change_log.messages import ReceivedMessage


def messages_of(event: dict[str, Any]) -> list[ReceivedMessage]:
    """In the order of the queue."""
    return [
        _message(message)
        for messages in event["rmqMessagesByQueue"].values()
        for message in messages
    ]


def _message(message: dict[str, Any]) -> ReceivedMessage:
    """Whatever a stranger has sent: what cannot be read is left as it is, or empty."""
    properties = message.get("basicProperties") or {}
    headers = properties.get("headers") or {}
    return ReceivedMessage(
        body=_body(message.get("data") or ""),
        message_id=_text(properties.get("messageId")),
        correlation_id=_text(properties.get("correlationId")),
        type=_text(properties.get("type")),
        headers={name: _header(value) for name, value in headers.items()},
        redelivered=bool(message.get("redelivered")),
    )


def _body(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except ValueError:
        return data.encode("utf-8", "replace")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _header(value: Any) -> Any:
    """Lambda hands over a string header as a list of its bytes, which Java counts with a sign."""
    if isinstance(value, dict) and set(value) == {"bytes"}:
        try:
            return bytes(byte & 0xFF for byte in value["bytes"]).decode("utf-8", "replace")
        except TypeError:
            # A table of somebody's own, with a field of this name.
            return value
    return value
