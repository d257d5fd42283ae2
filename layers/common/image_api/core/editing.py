"""What an owner does to an image: change it, remove it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from image_api.core.events import Event
from image_api.core.idempotency import KeyRecords, fingerprint, once
from image_api.core.images import Accepted, Caller, Changes, EventSink
from image_api.errors import ImageNotFound


class EditRecords(KeyRecords, Protocol):
    """Each method raises Unauthenticated when the user is gone."""

    def accept_update(
        self, caller: Caller, image_id: int, changes: Mapping[str, str]
    ) -> Event | None:
        """None for an image that is missing or somebody else's."""

    def accept_delete(self, caller: Caller, image_id: int) -> Event | None:
        """None for an image that is missing or somebody else's."""


def update(
    records: EditRecords,
    sink: EventSink,
    caller: Caller,
    image_id: int,
    changes: Changes,
) -> Accepted:
    """Raises ImageNotFound for a missing image and for somebody else's."""
    wanted: dict[str, str] = changes.model_dump(exclude_none=True)

    def accept(claiming: Caller) -> int:
        return _published(sink, records.accept_update(claiming, image_id, wanted))

    accepted_id = once(records, caller, fingerprint("update", image_id, wanted), accept)
    return Accepted(detail="Image update request sent to the processing service", id=accepted_id)


def delete(records: EditRecords, sink: EventSink, caller: Caller, image_id: int) -> Accepted:
    """Raises ImageNotFound for a missing image and for somebody else's."""

    def accept(claiming: Caller) -> int:
        return _published(sink, records.accept_delete(claiming, image_id))

    accepted_id = once(records, caller, fingerprint("delete", image_id), accept)
    return Accepted(detail="Image deletion request sent to the processing service", id=accepted_id)


def _published(sink: EventSink, event: Event | None) -> int:
    if event is None:
        raise ImageNotFound
    sink.publish(event)
    return event.image_id
