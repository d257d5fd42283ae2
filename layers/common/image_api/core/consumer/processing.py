"""What each accepted change does: it is applied once, in order, or it says why not."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Protocol, cast

from image_api.core import object_keys
from image_api.core.change_log import events
from image_api.core.change_log.changes import ChangeLog, ImageState, Outcome, StoredRendition, Work
from image_api.core.change_log.events import Event
from image_api.core.library import fields
from image_api.core.renditions.render_requests import (
    NO_REPORT_SECONDS,
    RENDERER_TIMEOUT_SECONDS,
    Picture,
    RendererFailed,
    Renderings,
    StillRendering,
)
from image_api.core.renditions.revocation import MovableObjects, revoke
from image_api.core.tracing import Origin
from image_api.errors import ObjectMissing, ServiceUnavailable
from image_api.imaging import Fit
from image_api.observability import logger

# How soon somebody looks again for what a slow renderer makes.
_LOOK_SECONDS = 1
# And whether renderers have ended that would store something of an image that has to go.
_BUSY_LOOK_SECONDS = 5

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


class RenditionStore(MovableObjects, Protocol):
    def delete(self, keys: list[str]) -> None: ...

    def versions(self, prefix: str) -> list[tuple[str, str]]:
        """Keys and versions of whatever lies below `prefix`."""

    def delete_versions(self, versions: list[tuple[str, str]]) -> None:
        """For good."""


class NeverPossible(Exception):
    """No repetition would help; the text says why, for the image's owner."""


class Processor:
    """Applies one change at a time in each thread; threads work on different images."""

    def __init__(
        self,
        log: Callable[[], ChangeLog],
        renderings: Renderings,
        storage: RenditionStore,
        now_seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """`log` is called for each use: every thread has one of its own."""
        self._log = log
        self._renderings = renderings
        self._storage = storage
        self._now_seconds = now_seconds

    def apply(self, work: Work) -> Outcome:
        """Raises NeverPossible, RendererBusy, RendererFailed, InvalidImage, ObjectMissing or
        ServiceUnavailable.
        """
        event, image = work.event, work.image
        if event.type == events.DELETE_REQUESTED:
            if image is not None:
                # The whole folder: a render that was given up may have left files no row names.
                for key in {image.original_key, image.exposed_key or image.original_key}:
                    self._storage.delete_folder(object_keys.image_folder(key))
            if work.busy_seconds > 0:
                # What is stored after this would stay.
                # Most have ended long before they must.
                busy_seconds = math.ceil(work.busy_seconds)
                self._log().put_back(work, min(busy_seconds, _BUSY_LOOK_SECONDS))
                return "postponed"
            return self._finish(self._log().remove(work, _COMPLETED[event.type]), "applied")
        if image is None:
            return self.fail(work, _DELETED)
        if image.exposed_key is not None:
            image = self._revoke(work, image)
        begun_at = self._now_seconds()
        try:
            renditions = self._render(work, image)
        except (RendererFailed, ObjectMissing):
            if self._log().is_deleted(work.event.image_id):
                return self._come_too_late(work, image)
            raise
        if renditions is None:
            return "rendering"
        has_more = self._now_seconds() - begun_at > NO_REPORT_SECONDS or _is_repeated(work)
        left_behind = self._left_behind(work, image) if renditions and has_more else []
        completed = self._log().complete(work, _COMPLETED[event.type], renditions)
        if completed is None:
            return self._come_too_late(work, image)
        if renditions:
            self._tidy_up(image, renditions, left_behind)
        return self._finish([completed], "applied")

    def fail(self, work: Work, reason: str, *, owes_letter: bool = False) -> Outcome:
        """Gives the change up, for the image's owner to read why."""
        left_behind = self._left_behind(work, work.image) if work.image is not None else []
        failed = self._log().fail(work, _FAILED[work.event.type], reason, owes_letter=owes_letter)
        if failed is not None and work.image is not None:
            self._tidy_up(work.image, [], left_behind)
        return self._finish([failed] if failed is not None else [], "failed")

    def _revoke(self, work: Work, image: ImageState) -> ImageState:
        """Moves what others hold signed URLs of."""
        new_folder = object_keys.image_folder_after(work.event.id, image.original_key)
        image_id = work.event.image_id
        moved = revoke(self._log(), self._storage, image_id, image, new_folder)
        if moved is not None:
            return moved
        if not self._log().is_deleted(image_id):
            # By somebody else: the next attempt finds where.
            raise ServiceUnavailable("The image has moved meanwhile")
        self._storage.delete_folder(new_folder)
        return image

    def _come_too_late(self, work: Work, image: ImageState) -> Outcome:
        """A removal waits for nothing, so what was stored meanwhile may have to go as well."""
        if self._log().is_deleted(work.event.image_id):
            self._storage.delete_folder(object_keys.image_folder(image.original_key))
            # The removal need not wait for this attempt any more.
            self._log().put_back(work, 0)
        return "duplicate"

    def _render(self, work: Work, image: ImageState) -> list[StoredRendition] | None:
        """What the event asks for, made and stored; None if that takes longer than one waits.

        A change of title or visibility renders nothing, but a picture that could not be
        processed before gets another chance.
        """
        size, fit = _wanted_size(work.event)
        if image.rendered and (size is None or work.is_replaced):
            return []
        origin = Origin(work.event.correlation_id, work.event.traceparent)
        if work.left is not None:
            picture = Picture(image.original_key, work.left.folder, size, fit, origin=origin)
            try:
                renditions = self._renderings.look_for(picture)
            except ServiceUnavailable:
                # As long as it may be at work, nobody may forget it.
                if work.left.seconds_left <= 0:
                    raise
                renditions = None
            if renditions is None:
                self._wait_on(work, picture, work.left.seconds_left)
            return renditions
        folder = object_keys.new_attempt(image.original_key, work.event.sequence)
        picture = Picture(image.original_key, folder, size, fit, origin=origin)
        try:
            return self._renderings.render(picture)
        except StillRendering:
            self._wait_on(work, picture, RENDERER_TIMEOUT_SECONDS)
            return None

    def _wait_on(self, work: Work, picture: Picture, busy_seconds: float) -> None:
        if busy_seconds <= 0:
            raise RendererFailed(f"The renderer did not end within {RENDERER_TIMEOUT_SECONDS} s")
        self._log().leave(work, picture.folder, busy_seconds, _LOOK_SECONDS)

    def _left_behind(self, work: Work, image: ImageState) -> list[tuple[str, str]]:
        """Keys and versions of what this attempt and those before it have stored.

        It is asked before the change is settled. After that the image may be changed or rendered
        anew, and what lies there may be what is served.
        """
        try:
            return self._storage.versions(
                object_keys.attempts(image.original_key, work.event.sequence)
            )
        except ServiceUnavailable as error:
            logger.warning("objects were left behind", reason=error.detail)
            return []

    def _tidy_up(
        self,
        image: ImageState,
        renditions: list[StoredRendition],
        left_behind: list[tuple[str, str]],
    ) -> None:
        """Deletes what the new renditions replace, and what earlier attempts left."""
        made = {rendition.object_key for rendition in renditions}
        replaced = set(image.rendition_keys) - made - {image.original_key} if made else set()
        useless = [(key, version) for key, version in left_behind if key not in made]
        try:
            if replaced:
                self._storage.delete(sorted(replaced))
            if useless:
                self._storage.delete_versions(useless)
        except ServiceUnavailable as error:
            # The change is settled and must not be repeated for this.
            logger.warning("superseded objects were left behind", reason=error.detail)

    def _finish(self, outcomes: list[Event], outcome: Outcome) -> Outcome:
        if not outcomes:
            return "duplicate"
        self._log().publish(outcomes)
        return outcome


def _is_repeated(work: Work) -> bool:
    return bool(work.failures or work.crashes or work.left)


def _wanted_size(event: Event) -> tuple[tuple[int, int] | None, Fit]:
    changes = event.data.get("changes") or {}
    if not isinstance(changes, dict):
        raise NeverPossible("The requested changes cannot be understood")
    resolution = changes.get("resolution")
    if resolution is None:
        return None, "cover"
    try:
        size = fields.parse_resolution(resolution)
    except (ValueError, AttributeError) as error:
        raise NeverPossible("The requested resolution cannot be understood") from error
    fit = changes.get("fit") or "cover"
    if fit not in ("cover", "contain", "stretch"):
        raise NeverPossible("The requested fit is unknown")
    return size, cast(Fit, fit)
