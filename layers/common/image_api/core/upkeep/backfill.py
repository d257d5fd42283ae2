"""Measures originals of which less was written down when they were uploaded than is today."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from image_api.errors import InvalidImage, ObjectMissing, ServiceUnavailable
from image_api.imaging.headers import formats
from image_api.observability import logger

# What is left for the rest of the run, and for the file that is read last.
_MIN_REMAINING_MILLISECONDS = 120_000


@dataclass(frozen=True, slots=True)
class UnmeasuredImage:
    image_id: int
    original_key: str


class UnmeasuredImages(Protocol):
    def next_unmeasured(self) -> UnmeasuredImage | None: ...

    def measured(self, image: UnmeasuredImage, frames: int, size_bytes: int | None) -> None:
        """Also when the image was changed meanwhile: its original never is."""


class Originals(Protocol):
    def get(self, key: str) -> bytes:
        """Raises ObjectMissing or ServiceUnavailable."""


def measure_originals(
    images: UnmeasuredImages, storage: Originals, remaining_milliseconds: Callable[[], int]
) -> int:
    """How many were measured; the next run goes on."""
    measured = 0
    try:
        while remaining_milliseconds() >= _MIN_REMAINING_MILLISECONDS:
            image = images.next_unmeasured()
            if image is None:
                break
            images.measured(image, *_measure(storage, image))
            measured += 1
    except ServiceUnavailable as error:
        logger.warning("originals are not measured yet", reason=error.detail)
    if measured:
        logger.info("originals measured", measured=measured)
    return measured


def _measure(storage: Originals, image: UnmeasuredImage) -> tuple[int, int | None]:
    """Frames, and bytes unless the file is missing. What cannot be read any more counts as one
    frame: whoever renders it finds out.
    """
    try:
        data = storage.get(image.original_key)
    except ObjectMissing:
        return 1, None
    try:
        return formats.header(data).frames, len(data)
    except InvalidImage as error:
        logger.warning("an original cannot be read", image_id=image.image_id, reason=error.detail)
        return 1, len(data)
