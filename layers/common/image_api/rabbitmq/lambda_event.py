"""The `aws:rmq` event, with which Lambda hands over a batch of messages."""

from __future__ import annotations

import base64
from typing import Any

from image_api.core.messages import ReceivedMessage


def messages_of(event: dict[str, Any]) -> list[ReceivedMessage]:
    """In the order of the queue."""
    return [
        _message(message)
        for messages in event["rmqMessagesByQueue"].values()
        for message in messages
    ]


def _message(message: dict[str, Any]) -> ReceivedMessage:
    properties = message["basicProperties"]
    return ReceivedMessage(
        body=base64.b64decode(message["data"]),
        message_id=properties.get("messageId") or "",
        correlation_id=properties.get("correlationId") or "",
        type=properties.get("type") or "",
        headers={name: _header(value) for name, value in (properties.get("headers") or {}).items()},
    )


def _header(value: Any) -> Any:
    """Lambda hands over a string header as a list of its bytes."""
    if isinstance(value, dict) and set(value) == {"bytes"}:
        return bytes(byte & 0xFF for byte in value["bytes"]).decode("utf-8", "replace")
    return value
