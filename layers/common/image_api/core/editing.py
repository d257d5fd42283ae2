"""What an owner does to an image: change it, remove it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from image_api.core.events import Event
from image_api.core.idempotency import KeyRecords, fingerprint, once
from image_api.core.images import Accepted, Caller, Changes, EventSink, parse_resolution
from image_api.errors import ImageNotFound, InvalidRequest, TooManyPixels
from image_api.imaging import check_rendered_size


class EditRecords(KeyRecords, Protocol):
    """Those that accept raise Unauthenticated when the user is gone."""

    def movement(self, user_id: int, image_id: int) -> tuple[int, str] | None:
        """How many frames the original has, and the content type that is served; None when that is
        not known, or the image not this user's.
        """

    def accept_update(
        self, caller: Caller, image_id: int, changes: Mapping[str, str]
    ) -> Event | None:
        """None for an image that is missing or somebody else's. To hide it takes effect with this,
        whatever becomes of the rest. Raises QuotaExceeded or TooMuchUnderWay.
        """

    def accept_delete(self, caller: Caller, image_id: int) -> Event | None:
        """None for an image that is missing or somebody else's."""


def update(
    records: EditRecords,
    sink: EventSink,
    caller: Caller,
    image_id: int,
    changes: Changes,
) -> Accepted:
    """Raises ImageNotFound for a missing image and for somebody else's, and InvalidRequest for a
    size that is too large for an animation of so many frames.
    """
    wanted: dict[str, str] = changes.model_dump(exclude_none=True)

    def accept(claiming: Caller) -> int:
        if changes.resolution is not None:
            _check_movement(records.movement(caller.user_id, image_id), changes.resolution)
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


def _check_movement(movement: tuple[int, str] | None, resolution: str) -> None:
    if movement is None:
        return
    try:
        check_rendered_size(*parse_resolution(resolution), *movement)
    except TooManyPixels as error:
        raise InvalidRequest("resolution", error.detail) from error
