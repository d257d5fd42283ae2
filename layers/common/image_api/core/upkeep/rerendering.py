"""Renders anew what an older version of the renderer made, and disturbs nobody."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from image_api.core import object_keys
from image_api.core.change_log.changes import StoredRendition
from image_api.core.renditions.render_requests import (
    RENDERER_TIMEOUT_SECONDS,
    Picture,
    RendererBusy,
    RendererFailed,
    Renderings,
    StillRendering,
)
from image_api.errors import InvalidImage, ObjectMissing, ServiceUnavailable
from image_api.imaging import RENDERER_VERSION, Fit
from image_api.imaging.headers import formats
from image_api.imaging.model import StoredPicture
from image_api.observability import logger

# So often may rendering a picture anew fail, before what is served stays as it is.
MAX_ATTEMPTS = 3
# A picture, and the rows of it.
_MIN_REMAINING_MILLISECONDS = (RENDERER_TIMEOUT_SECONDS + 20) * 1000
# After each picture, as a multiple of what it took: at most half of a renderer's time is taken.
_PAUSE = 1.0


@dataclass(frozen=True, slots=True)
class OutdatedImage:
    """`asked`: the size and fit that its owner asked for, if that is known; `shown`: the size in
    which it is served. It is replaced only as long as `sequence` is its last accepted change.
    """

    image_id: int
    sequence: int
    original_key: str
    asked: tuple[tuple[int, int], Fit] | None
    shown: tuple[int, int]
    rendition_keys: tuple[str, ...]


class RerenderRecords(Protocol):
    def begin(self, version: int, max_attempts: int) -> OutdatedImage | None:
        """The next image of a renderer before `version` that nothing is about to change; it is
        written down that an attempt begins.
        """

    def replace(
        self, image: OutdatedImage, renditions: list[StoredRendition], taken_at: str | None
    ) -> bool:
        """In one transaction; False if the image was changed or deleted meanwhile. `taken_at` as
        in `imaging.Header`: uploads did not always read it.
        """


class RerenderStore(Protocol):
    def get(self, key: str) -> bytes: ...

    def delete(self, keys: list[str]) -> None: ...

    def delete_folder(self, prefix: str) -> None: ...


def rerender(
    records: RerenderRecords,
    renderings: Renderings,
    storage: RerenderStore,
    *,
    remaining_milliseconds: Callable[[], int],
    pause: Callable[[float], None] = time.sleep,
) -> dict[str, int | bool]:
    """As many as there is time for; the next run goes on. An update or a removal that comes
    meanwhile wins.
    """
    counts = {"replaced": 0, "overtaken": 0, "failed": 0}
    is_finished = False
    while remaining_milliseconds() >= _MIN_REMAINING_MILLISECONDS:
        started_at = time.monotonic()
        try:
            image = records.begin(RENDERER_VERSION, MAX_ATTEMPTS)
            if image is None:
                is_finished = True
                break
            counts[_replace(records, renderings, storage, image)] += 1
        except (RendererBusy, ServiceUnavailable):
            # There is no hurry: whoever has more comes first.
            break
        pause(_PAUSE * (time.monotonic() - started_at))
    if any(counts.values()):
        logger.info(
            "rendered anew",
            replaced=counts["replaced"],
            overtaken=counts["overtaken"],
            failed=counts["failed"],
        )
    return {**counts, "finished": is_finished}


def _replace(
    records: RerenderRecords, renderings: Renderings, storage: RerenderStore, image: OutdatedImage
) -> str:
    folder = object_keys.new_attempt(image.original_key, image.sequence)
    try:
        original = formats.header(storage.get(image.original_key))
        asked = image.asked or _guessed(image, original)
        size, fit = asked or (None, "cover")
        picture = Picture(image.original_key, folder, size, fit)
        renditions = renderings.render(picture, patience_seconds=RENDERER_TIMEOUT_SECONDS)
    except (RendererFailed, StillRendering, InvalidImage, ObjectMissing) as error:
        logger.warning(
            "not rendered anew", image_id=image.image_id, reason=str(error) or type(error).__name__
        )
        storage.delete_folder(f"{folder}/")
        return "failed"
    if not records.replace(image, renditions, original.taken_at):
        storage.delete_folder(f"{folder}/")
        return "overtaken"
    kept = {image.original_key, *(rendition.object_key for rendition in renditions)}
    if superseded := sorted(set(image.rendition_keys) - kept):
        storage.delete(superseded)
    return "replaced"


def _guessed(image: OutdatedImage, original: StoredPicture) -> tuple[tuple[int, int], Fit] | None:
    """Of what was asked for before that was kept: another size than the original's is one."""
    return None if original.upright_size == image.shown else (image.shown, "cover")
