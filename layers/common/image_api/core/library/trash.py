"""What has been in the trash for long enough is deleted, as if its owner had asked for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from image_api.observability import logger

_STEP = 100
_MIN_REMAINING_MILLISECONDS = 60_000


class TrashRecords(Protocol):
    def delete_trashed(self, trash_days: int, batch_size: int) -> int:
        """Accepts the deletion of as many as that, those first that were trashed first; how many.
        None of which a change is still to be applied: it may bring the image back.
        """


def empty(
    records: TrashRecords, *, trash_days: int, remaining_milliseconds: Callable[[], int]
) -> int:
    """How many images go, while there is time; the next run goes on. 0 days: none ever does."""
    deleted = 0
    while trash_days and remaining_milliseconds() >= _MIN_REMAINING_MILLISECONDS:
        step = records.delete_trashed(trash_days, _STEP)
        deleted += step
        if step < _STEP:
            break
    if deleted:
        logger.info("the trash was emptied", deleted=deleted)
    return deleted
