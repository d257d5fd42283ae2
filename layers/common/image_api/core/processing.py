"""What each accepted change does: it is applied once, in order, or it says why not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, cast

from image_api.core import events, images
from image_api.core.changes import ChangeLog, ImageState, Outcome, StoredRendition, Work
from image_api.core.events import Event
from image_api.errors import ObjectMissing, ServiceUnavailable
from image_api.imaging import Fit, Rendition
from image_api.imaging.pixels.rendering import render
from image_api.observability import logger

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


class RenditionStore(Protocol):
    def get(self, key: str) -> bytes: ...

    def put(self, key: str, data: bytes, content_type: str) -> None: ...

    def copy(self, key: str, new_key: str) -> None:
        """Raises ObjectMissing."""

    def delete(self, keys: list[str]) -> None: ...

    def delete_folder(self, prefix: str) -> None:
        """Deletes whatever lies below `prefix`, which ends with a slash."""


class NeverPossible(Exception):
    """No repetition would help; the text says why, for the image's owner."""


class Processor:
    """Applies one change at a time in each thread; threads work on different images."""

    def __init__(self, log: Callable[[], ChangeLog], storage: RenditionStore) -> None:
        """`log` is called for each use: every thread has one of its own."""
        self._log = log
        self._storage = storage

    def apply(self, work: Work) -> Outcome:
        """Raises NeverPossible, InvalidImage, ObjectMissing or ServiceUnavailable."""
        event, image = work.event, work.image
        if event.type == events.DELETE_REQUESTED:
            if image is not None:
                # The whole folder: a render that was given up may have left files no row names.
                for key in {image.original_key, image.exposed_key or image.original_key}:
                    self._storage.delete_folder(_folder_of(key))
            return self._finish(self._log().remove(work, _COMPLETED[event.type]), "applied")
        if image is None:
            return self.fail(work, _DELETED)
        if image.exposed_key is not None:
            image = self._withdraw(work, image, image.exposed_key)
        renditions = self._render(work, image)
        completed = self._log().complete(work, _COMPLETED[event.type], renditions)
        if completed is None:
            return self._come_too_late(work, image)
        if renditions:
            self._delete_superseded(image, renditions)
        return self._finish([completed], "applied")

    def fail(self, work: Work, reason: str) -> Outcome:
        """Gives the change up, for the image's owner to read why."""
        failed = self._log().fail(work, _FAILED[work.event.type], reason)
        return self._finish([failed] if failed is not None else [], "failed")

    def _withdraw(self, work: Work, image: ImageState, exposed_key: str) -> ImageState:
        """Moves what others hold signed URLs of, so that these end now.

        Each step can be repeated: the new folder follows from the change.
        """
        image_id = work.event.image_id
        if image.original_key == exposed_key:
            folder, new_folder = _folder(image), _moved_folder(exposed_key, work.event.id)
            for key in sorted({image.original_key, *image.rendition_keys}):
                # What is missing is as missing under any key.
                with suppress(ObjectMissing):
                    self._storage.copy(key, new_folder + key.removeprefix(folder))
            moved = self._log().move(image_id, folder, new_folder)
            if moved is None:
                if self._log().is_deleted(image_id):
                    self._storage.delete_folder(new_folder)
                return image
            image = moved
        self._storage.delete_folder(_folder_of(exposed_key))
        self._log().unexpose(image_id, exposed_key)
        return image

    def _come_too_late(self, work: Work, image: ImageState) -> Outcome:
        """A removal waits for nothing, so what was stored meanwhile may have to go as well."""
        if self._log().is_deleted(work.event.image_id):
            self._storage.delete_folder(_folder(image))
        return "duplicate"

    def _render(self, work: Work, image: ImageState) -> list[StoredRendition]:
        """Renders what the event asks for and stores it, under keys that a repetition finds again.

        A change of title or visibility renders nothing, but a picture that could not be
        processed before gets another chance.
        """
        event = work.event
        size, fit = _wanted_size(event)
        if image.rendered and (size is None or work.is_replaced):
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

    def _finish(self, outcomes: list[Event], outcome: Outcome) -> Outcome:
        if not outcomes:
            return "duplicate"
        self._log().publish(outcomes)
        return outcome


def _folder(image: ImageState) -> str:
    """Where everything of one image lies, with a slash at the end."""
    return _folder_of(image.original_key)


def _folder_of(original_key: str) -> str:
    return original_key.rpartition("/")[0] + "/"


def _moved_folder(original_key: str, event_id: str) -> str:
    """Beside the old one; nobody can tell it from what they know of that."""
    name = hashlib.sha256(f"{original_key} {event_id}".encode()).hexdigest()[:32]
    return f"{_folder_of(original_key)[:-1].rpartition('/')[0]}/{name}/"


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
