"""What each accepted change does: it is applied once, in order, or it says why not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, cast

from image_api.core import events, images
from image_api.core.events import Event
from image_api.errors import ServiceUnavailable
from image_api.imaging import Fit, Rendition
from image_api.imaging.pixels.rendering import render
from image_api.observability import logger

Outcome = Literal["applied", "failed", "duplicate", "waiting", "retried", "dead"]

_DELETED = "The image was deleted"

_COMPLETED = {
    events.UPLOAD_REQUESTED: events.UPLOAD_COMPLETED,
    events.UPDATE_REQUESTED: events.UPDATE_COMPLETED,
    events.DELETE_REQUESTED: events.DELETE_COMPLETED,
}
_FAILED = {
    events.UPLOAD_REQUESTED: events.UPLOAD_FAILED,
    events.UPDATE_REQUESTED: events.UPDATE_FAILED,
}


@dataclass(frozen=True, slots=True)
class ImageState:
    """What processing needs to know of an image; `rendition_keys` are those served until now."""

    original_key: str
    applied_sequence: int
    rendered: bool
    failed: bool
    deleted: bool
    rendition_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoredRendition:
    name: str
    object_key: str
    content_type: str
    size_bytes: int
    width: int
    height: int
    animated: bool


class ProcessingRecords(Protocol):
    """Each of the four writers applies one event, its inbox row and its outcome in one
    transaction. It returns the outcome to publish, or None when the event was applied meanwhile.
    """

    def state(self, event: Event) -> tuple[bool, ImageState | None]:
        """Whether the event was applied before, and the image it is about."""

    def complete(
        self,
        event: Event,
        outcome_type: str,
        renditions: list[StoredRendition],
        *,
        after_failure: bool = False,
    ) -> Event | None:
        """`after_failure`: this event was given up and must still be the image's last word."""

    def fail(self, event: Event, outcome_type: str, reason: str) -> Event | None:
        """Gives the event up, and with it those before it that never came."""

    def reject(self, event: Event, outcome_type: str | None, reason: str) -> Event | None:
        """For an image that is gone; `outcome_type` is None where nobody is to be told."""

    def remove(self, event: Event, outcome_type: str) -> Event | None: ...

    def publish(self, event: Event) -> None:
        """Publishes an outcome, or leaves it to the relay."""


class RenditionStore(Protocol):
    def get(self, key: str) -> bytes: ...

    def put(self, key: str, data: bytes, content_type: str) -> None: ...

    def delete(self, keys: list[str]) -> None: ...

    def delete_folder(self, prefix: str) -> None:
        """Deletes whatever lies below `prefix`, which ends with a slash."""


class TooEarly(Exception):
    """An earlier change of the same image has not been applied yet."""


class NeverPossible(Exception):
    """No repetition would help; the text says why, for the image's owner."""


class Processor:
    """Applies one change at a time in each thread; threads work on different images."""

    def __init__(
        self, *, records: Callable[[], ProcessingRecords], storage: RenditionStore
    ) -> None:
        """`records` is called once for each thread."""
        self._make_records = records
        self._storage = storage
        self._local = threading.local()

    def apply(self, event: Event, *, redriven: bool) -> Outcome:
        """Raises TooEarly, NeverPossible, InvalidImage, ObjectMissing or ServiceUnavailable.

        `redriven`: somebody sent it back from among the dead letters.
        """
        applied, image = self._records.state(event)
        after_failure = redriven and _is_last_failure(event, image)
        if applied and not after_failure:
            return "duplicate"
        if image is None:
            return self._reject(event, _DELETED)
        if event.sequence <= image.applied_sequence and not after_failure:
            return "duplicate"
        if event.sequence > image.applied_sequence + 1:
            raise TooEarly
        if event.type == events.DELETE_REQUESTED:
            # The whole folder: a render that was given up may have left files no row names.
            self._storage.delete_folder(_folder(image))
            return self._finish(self._records.remove(event, _COMPLETED[event.type]), "applied")
        if image.deleted:
            return self._finish(self._records.fail(event, _FAILED[event.type], _DELETED), "failed")
        return self._change(event, image, after_failure=after_failure)

    def is_settled(self, event: Event, *, redriven: bool) -> bool:
        """Whether nothing is left to be done about the event, not even to give it up."""
        applied, image = self._records.state(event)
        return applied and not (redriven and _is_last_failure(event, image))

    def fail(self, event: Event, reason: str) -> None:
        """Gives the event up, for the image's owner to read why."""
        _, image = self._records.state(event)
        if image is None:
            self._reject(event, reason)
        else:
            self._finish(self._records.fail(event, _FAILED[event.type], reason), "failed")

    def _reject(self, event: Event, reason: str) -> Outcome:
        return self._finish(self._records.reject(event, _FAILED.get(event.type), reason), "failed")

    def _change(self, event: Event, image: ImageState, *, after_failure: bool) -> Outcome:
        renditions = self._render(event, image)
        outcome = self._finish(
            self._records.complete(
                event, _COMPLETED[event.type], renditions, after_failure=after_failure
            ),
            "applied",
        )
        if renditions and outcome == "applied":
            self._delete_superseded(image, renditions)
        return outcome

    def _render(self, event: Event, image: ImageState) -> list[StoredRendition]:
        """Renders what the event asks for and stores it, under keys that a repetition finds again.

        A change of title or visibility renders nothing, but a picture that could not be
        processed before gets another chance.
        """
        size, fit = _wanted_size(event)
        if size is None and image.rendered:
            return []
        original = self._storage.get(image.original_key)
        folder = f"{_folder(image)}{event.sequence}"
        return [
            self._store(rendition, folder, original, image.original_key)
            for rendition in render(original, size=size, fit=fit)
        ]

    def _store(
        self, rendition: Rendition, folder: str, original: bytes, original_key: str
    ) -> StoredRendition:
        if rendition.data == original:
            key = original_key
        else:
            key = f"{folder}/{rendition.name}.{rendition.extension}"
            self._storage.put(key, rendition.data, rendition.content_type)
        return StoredRendition(
            name=rendition.name,
            object_key=key,
            content_type=rendition.content_type,
            size_bytes=len(rendition.data),
            width=rendition.width,
            height=rendition.height,
            animated=rendition.animated,
        )

    def _delete_superseded(self, image: ImageState, renditions: list[StoredRendition]) -> None:
        kept = {image.original_key, *(rendition.object_key for rendition in renditions)}
        superseded = sorted(set(image.rendition_keys) - kept)
        if not superseded:
            return
        try:
            self._storage.delete(superseded)
        except ServiceUnavailable as error:
            # The change is applied and must not be repeated for this.
            logger.warning("superseded objects were left behind", reason=error.detail)

    def _finish(self, outcome_event: Event | None, outcome: Outcome) -> Outcome:
        if outcome_event is None:
            return "duplicate"
        self._records.publish(outcome_event)
        return outcome

    @property
    def _records(self) -> ProcessingRecords:
        records: ProcessingRecords | None = getattr(self._local, "records", None)
        if records is None:
            records = self._local.records = self._make_records()
        return records


def _folder(image: ImageState) -> str:
    """Where everything of one image lies, with a slash at the end."""
    return image.original_key.rpartition("/")[0] + "/"


def _is_last_failure(event: Event, image: ImageState | None) -> bool:
    """Whether the image failed with this event: sent back from among the dead letters, it has
    another chance. Once a later change was applied, the older one never undoes it.
    """
    return (
        image is not None
        and image.failed
        and not image.deleted
        and image.applied_sequence == event.sequence
    )


def _wanted_size(event: Event) -> tuple[tuple[int, int] | None, Fit]:
    changes = event.data.get("changes") or {}
    if not isinstance(changes, dict):
        raise NeverPossible("The requested changes cannot be understood")
    resolution = changes.get("resolution")
    if resolution is None:
        return None, "cover"
    try:
        size = images.parse_resolution(resolution)
    except (ValueError, AttributeError) as error:
        raise NeverPossible("The requested resolution cannot be understood") from error
    fit = changes.get("fit") or "cover"
    if fit not in ("cover", "contain", "stretch"):
        raise NeverPossible("The requested fit is unknown")
    return size, cast(Fit, fit)
