"""Moves what others hold signed URLs of when an image is hidden, so that these end now."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from image_api.core import object_keys
from image_api.core.change_log.changes import ImageMoves, ImageState
from image_api.errors import ObjectMissing, ServiceUnavailable
from image_api.observability import logger

# What is left for the rest of the run, and for the image that is moved last.
_MIN_REMAINING_MILLISECONDS = 180_000
# So many that fail one after the other are the storage's own failure.
_MOST_FAILURES = 3


class MovableObjects(Protocol):
    """Each raises ServiceUnavailable."""

    def copy(self, key: str, new_key: str) -> None:
        """Raises ObjectMissing."""

    def delete_folder(self, prefix: str) -> None:
        """Deletes whatever lies below `prefix`, which ends with a slash. Raises StillDeleting when
        there is more than may be deleted at a time: called again, it goes on.
        """


@dataclass(frozen=True, slots=True)
class ExposedImage:
    image_id: int
    image: ImageState


class ExposedImages(ImageMoves, Protocol):
    def next_exposed(self, after_image_id: int) -> ExposedImage | None:
        """The next one that is hidden and has not moved, although no change of it waits."""


def revoke(
    moves: ImageMoves, storage: MovableObjects, image_id: int, image: ImageState, new_folder: str
) -> ImageState | None:
    """The image where it lies now, in `new_folder`, or None when somebody else has moved it or it
    is about to go: what was copied is left. Each step can be repeated.
    """
    exposed_key = image.exposed_key
    if exposed_key is None:
        return image
    moved: ImageState | None = image
    if image.original_key == exposed_key:
        folder = object_keys.image_folder(image.original_key)
        for key in sorted({image.original_key, *image.rendition_keys}):
            # What is missing is as missing under any key.
            with suppress(ObjectMissing):
                storage.copy(key, new_folder + key.removeprefix(folder))
        moved = moves.move(image_id, folder, new_folder)
    if moved is not None:
        storage.delete_folder(object_keys.image_folder(exposed_key))
        moves.unexpose(image_id, exposed_key)
    return moved


def revoke_overdue(
    images: ExposedImages, storage: MovableObjects, remaining_milliseconds: Callable[[], int]
) -> int:
    """The images whose change could not move them, since the storage failed at each of its
    attempts; how many were moved. What fails now is tried again by the next run.
    """
    revoked, failures, image_id = 0, 0, 0
    while failures < _MOST_FAILURES and remaining_milliseconds() >= _MIN_REMAINING_MILLISECONDS:
        try:
            found = images.next_exposed(image_id)
            if found is None:
                break
            image_id = found.image_id
            # Nobody else's: a change that comes meanwhile moves the image to another one.
            new_folder = object_keys.other_image_folder(found.image.original_key)
            if revoke(images, storage, image_id, found.image, new_folder) is None:
                storage.delete_folder(new_folder)
            revoked, failures = revoked + 1, 0
        except ServiceUnavailable as error:
            failures += 1
            logger.warning("not moved yet", image_id=image_id, reason=error.detail)
    if revoked:
        logger.info("moved what was hidden", images=revoked)
    return revoked
