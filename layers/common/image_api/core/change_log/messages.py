"""What travels through the broker: messages out and in, and their headers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from image_api.core.change_log import events
from image_api.core.change_log.events import Event

APP_ID: Final = "image-api"

# How often the message was tried, and how often it came before its turn.
ATTEMPT_HEADER: Final = "x-attempt"
WAITS_HEADER: Final = "x-waits"
# Why it was sent to where it lies.
REASON_HEADER: Final = "x-reason"
# How often somebody sent it back from among the dead letters.
REDRIVEN_HEADER: Final = "x-redriven"
# Sent again for a service that joined late.
REPLAYED_HEADER: Final = "x-replayed"
# What the broker adds when a delay ends. Lambda hands it over in a form of its own: sent back, it
# would grow with every round until the message is too large for its queue.
DEATH_HEADERS: Final = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count")

# To whom else the broker hands a message: once was enough.
_ROUTING_HEADERS = ("CC", "BCC")

_MAX_COUNT = 1_000_000
# What a message that is sent again may carry, far below what a frame holds.
_MAX_HEADERS = 32
_MAX_HEADER_BYTES = 1024
_MAX_NAME_BYTES = 128
_MAX_PROPERTY_BYTES = 255


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it goes over the wire; `timestamp` in seconds since 1970."""

    body: bytes
    message_id: str
    correlation_id: str
    type: str
    timestamp: int
    headers: Mapping[str, Any] = field(default_factory=dict)
    content_type: str = events.CONTENT_TYPE


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message as the event source mapping hands it over."""

    body: bytes
    message_id: str
    correlation_id: str
    type: str
    headers: Mapping[str, Any] = field(default_factory=dict)
    redelivered: bool = False

    @property
    def waits(self) -> int:
        """How often it came before its turn."""
        return count_of(self.headers.get(WAITS_HEADER))

    @property
    def is_redriven(self) -> bool:
        """Whether somebody sent it back from among the dead letters."""
        return count_of(self.headers.get(REDRIVEN_HEADER)) > 0

    def resent(self, headers: Mapping[str, Any]) -> Message:
        """The same message for another queue, with `headers` beside or instead of its own."""
        return Message(
            body=self.body,
            message_id=property_text(self.message_id),
            correlation_id=property_text(self.correlation_id),
            type=property_text(self.type),
            timestamp=int(time.time()),
            headers={**kept_headers(self.headers), **headers},
        )


@dataclass(frozen=True, slots=True)
class MessageCounts:
    """`waiting`: for the consumer, delays included; of these `soon` within half a minute;
    `dead`: given up.
    """

    waiting: int
    soon: int
    dead: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that was given up; what another program sent may lack anything.

    `given_up_at_seconds`: since 1970, within the years that can be written.
    """

    event_id: str | None
    type: str | None
    subject: str
    given_up_at_seconds: int | None
    attempts: int
    reason: str


@dataclass(frozen=True, slots=True)
class OfferedEvents:
    """Of a batch: what every queue has that it went to, and what one of them does not take, which
    the others have. What no queue was there for, or was not sent, is in neither.
    """

    confirmed: list[Event]
    refused: list[Event]


class MessagePublisher(Protocol):
    def publish(self, exchange: str, routing_key: str, message: Message) -> None:
        """Raises ServiceUnavailable when the broker does not confirm it, and of these
        MessageRefused when it answers that no queue takes it.
        """


def message_of(event: Event, headers: Mapping[str, Any] | None = None) -> Message:
    return Message(
        body=events.encode(event),
        message_id=event.id,
        correlation_id=property_text(event.correlation_id),
        type=event.type,
        timestamp=int(time.time()),
        headers={
            **({events.TRACEPARENT: event.traceparent} if event.traceparent else {}),
            **(headers or {}),
        },
    )


def kept_headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a message that is sent again, in a form that can be written."""
    kept: dict[str, Any] = {}
    # pika gives bytes for what is no UTF-8.
    for name, value in ((str(name), value) for name, value in headers.items()):
        if (
            len(kept) < _MAX_HEADERS
            and name not in _ROUTING_HEADERS
            and not name.startswith(DEATH_HEADERS)
        ):
            kept[_text(name, _MAX_NAME_BYTES)] = _writable(value)
    return kept


def property_text(value: str) -> str:
    return _text(value, _MAX_PROPERTY_BYTES)


def header_text(value: object) -> str:
    """Of a header of any type, whoever has written it."""
    return str(_writable(value))


def count_of(value: object) -> int:
    """What a header counts that anybody may have written."""
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return value if 0 <= value <= _MAX_COUNT else 0


def _writable(value: Any) -> Any:
    """What a client of another kind has sent may have no form here; text always has."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 2**63:
        return value
    try:
        return _text(str(value), _MAX_HEADER_BYTES)
    except (RecursionError, ValueError):
        # Nested deeper, or a number longer, than Python writes.
        return "?"


def _text(value: str, max_bytes: int) -> str:
    return value.encode("utf-8", "replace")[:max_bytes].decode("utf-8", "ignore")
