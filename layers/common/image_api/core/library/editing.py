"""What an owner does to an image: change it, remove it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from image_api.core.change_log.events import Event
from image_api.core.library.fields import parse_resolution
from image_api.core.library.idempotency import Answer, KeyRecords, fingerprint, once
from image_api.core.library.images import Accepted, Caller, Changes, EventSink, UpdateAccepted
from image_api.errors import ImageNotFound, InvalidRequest, TooManyPixels
from image_api.imaging import check_rendered_size


class EditRecords(KeyRecords, Protocol):
    """Those that accept raise Unauthenticated when the user is gone, and PreconditionFailed when
    the image's version is none of the `versions`, unless these are None.
    """

    def movement(self, user_id: int, image_id: int) -> tuple[int, str] | None:
        """How many frames the original has, and the content type that is served; None when that is
        not known, or the image not this user's.
        """

    def accept_update(
        self,
        caller: Caller,
        image_id: int,
        changes: Mapping[str, Any],
        versions: Sequence[int] | None = None,
    ) -> Event | None:
        """None for an image that is missing or somebody else's. To hide it, or to put it into the
        trash, takes effect with this, whatever becomes of the rest. Raises QuotaExceeded or
        TooMuchUnderWay.
        """

    def accept_delete(
        self, caller: Caller, image_id: int, versions: Sequence[int] | None = None
    ) -> Event | None:
        """None for an image that is missing or somebody else's."""


def update(
    records: EditRecords,
    sink: EventSink,
    caller: Caller,
    image_id: int,
    changes: Changes,
    versions: Sequence[int] | None = None,
) -> UpdateAccepted:
    """Raises ImageNotFound for a missing image and for somebody else's, PreconditionFailed for one
    that is at none of the `versions`, and InvalidRequest for a size that is too large for an
    animation of so many frames.
    """
    wanted: dict[str, Any] = changes.model_dump(exclude_none=True)

    def accept(claiming: Caller) -> Answer:
        if changes.resolution is not None:
            check_movement(records.movement(caller.user_id, image_id), changes.resolution)
        return _published(sink, records.accept_update(claiming, image_id, wanted, versions))

    accepted = once(records, caller, lambda: fingerprint("update", image_id, wanted), accept)
    return UpdateAccepted(
        detail="Image update request sent to the processing service",
        id=accepted.image_id,
        version=accepted.version,
    )


def delete(
    records: EditRecords,
    sink: EventSink,
    caller: Caller,
    image_id: int,
    versions: Sequence[int] | None = None,
) -> Accepted:
    """Raises ImageNotFound for a missing image and for somebody else's, and PreconditionFailed for
    one that is at none of the `versions`.
    """

    def accept(claiming: Caller) -> Answer:
        return _published(sink, records.accept_delete(claiming, image_id, versions))

    accepted = once(records, caller, lambda: fingerprint("delete", image_id), accept)
    return Accepted(
        detail="Image deletion request sent to the processing service", id=accepted.image_id
    )


def _published(sink: EventSink, event: Event | None) -> Answer:
    if event is None:
        raise ImageNotFound
    sink.publish(event)
    return Answer(event.image_id, event.sequence)


def check_movement(movement: tuple[int, str] | None, resolution: str) -> None:
    """Raises InvalidRequest for a size that so many frames cannot have."""
    if movement is None:
        return
    try:
        check_rendered_size(*parse_resolution(resolution), *movement)
    except TooManyPixels as error:
        raise InvalidRequest("resolution", error.detail) from error
