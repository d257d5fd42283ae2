"""The events of the API: CloudEvents 1.0, one for each accepted change and each outcome."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4

SOURCE: Final = "/image-management-api"
CONTENT_TYPE: Final = "application/cloudevents+json"
EXCHANGE: Final = "image.events"
REQUESTS_BINDING: Final = "image.*.requested"
# The extension of CloudEvents for W3C Trace Context, and the header of a message.
TRACEPARENT: Final = "traceparent"

UPLOAD_REQUESTED: Final = "image.upload.requested"
UPDATE_REQUESTED: Final = "image.update.requested"
DELETE_REQUESTED: Final = "image.delete.requested"
UPLOAD_COMPLETED: Final = "image.upload.completed"
UPLOAD_FAILED: Final = "image.upload.failed"
UPDATE_COMPLETED: Final = "image.update.completed"
UPDATE_FAILED: Final = "image.update.failed"
DELETE_COMPLETED: Final = "image.delete.completed"

REQUESTS: Final = frozenset({UPLOAD_REQUESTED, UPDATE_REQUESTED, DELETE_REQUESTED})


class MalformedEvent(Exception):
    """The message is not an event of this API and never will be."""


@dataclass(frozen=True, slots=True)
class Event:
    """`sequence` counts the accepted changes of one image from 1; `occurred_at` is RFC 3339."""

    id: str
    type: str
    image_id: int
    sequence: int
    data: dict[str, Any]
    correlation_id: str
    occurred_at: str
    # Of the request, or empty: the trace, and what the client calls it.
    traceparent: str = ""
    client_correlation_id: str = ""


def new_id() -> str:
    return str(uuid4())


def encode(event: Event) -> bytes:
    extensions = {
        TRACEPARENT: event.traceparent,
        "clientcorrelationid": event.client_correlation_id,
    }
    return json.dumps(
        {
            "specversion": "1.0",
            "id": event.id,
            "source": SOURCE,
            "type": event.type,
            "subject": f"images/{event.image_id}",
            "time": event.occurred_at,
            "datacontenttype": "application/json",
            "correlationid": event.correlation_id,
            **{name: value for name, value in extensions.items() if value},
            "data": {"image_id": event.image_id, "sequence": event.sequence, **event.data},
        },
        separators=(",", ":"),
    ).encode()


def decode(body: bytes) -> Event:
    """Raises MalformedEvent with a reason that quotes nothing of the body."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedEvent("The message is not JSON") from error
    if not isinstance(document, dict) or document.get("specversion") != "1.0":
        raise MalformedEvent("The message is not a CloudEvents 1.0 document")
    data = document.get("data")
    if not isinstance(data, dict):
        raise MalformedEvent("The event has no data")
    try:
        return Event(
            id=str(UUID(document["id"])),
            type=_text(document["type"]),
            image_id=_positive(data.pop("image_id"), 2**63),
            sequence=_positive(data.pop("sequence"), 2**31),
            data=data,
            correlation_id=_text(document.get("correlationid", "")),
            occurred_at=_text(document["time"]),
            traceparent=_text(document.get(TRACEPARENT, "")),
            client_correlation_id=_text(document.get("clientcorrelationid", "")),
        )
    except KeyError as error:
        raise MalformedEvent(f"The event lacks {error.args[0]}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise MalformedEvent("An attribute of the event has the wrong form") from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a string")
    # Neither can be kept in Postgres, nor a lone surrogate be sent on.
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("a character that is not one")
    return value


def _positive(value: object, limit: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < limit:
        raise TypeError("not a positive number")
    return value
