"""Accounts that were deleted: they are gone at once, and what is left of them goes step by step.

Each step is a transaction of its own, and finds by itself where the one before has stopped: a run
that dies loses nothing, and no other account waits for more than a step.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from image_api.errors import ServiceUnavailable
from image_api.observability import logger

# Fewer than other rows: triggers do much for each.
STEP_IMAGES = 200
STEP_ROWS = 500
# In each run, which comes every minute.
SECONDS_FOR_ALL = 10.0
# Without so much it does not begin: the last statement may take its time-out.
MIN_REMAINING_MILLISECONDS = 19_000


class ClosedAccounts(Protocol):
    """Each raises ServiceUnavailable."""

    def now(self) -> str:
        """The database's time."""

    def next_closed(self, run_started_at: str) -> int | None:
        """The account that this run has not looked at yet and others longest ago."""

    def remove_images(self, user_id: int, batch_size: int) -> int:
        """Accepts the removal of so many images at most; of how many."""

    def forget(self, user_id: int, batch_size: int) -> int:
        """At most so many rows of each other table; how many in all."""

    def finish(self, user_id: int) -> bool:
        """Whether nothing is left. An image is there until its removal is done."""


def remove_closed(records: ClosedAccounts) -> None:
    """What cannot be done now holds up nothing else: the schedule comes again."""
    ends_at = time.monotonic() + SECONDS_FOR_ALL
    try:
        run_started_at = records.now()
        while (
            time.monotonic() < ends_at
            and (user_id := records.next_closed(run_started_at)) is not None
        ):
            _remove(records, user_id, ends_at)
    except ServiceUnavailable as error:
        logger.warning("deleted accounts are left to the next run", reason=error.detail)


def _remove(records: ClosedAccounts, user_id: int, ends_at: float) -> None:
    images = _in_steps(records.remove_images, STEP_IMAGES, user_id, ends_at)
    rows = _in_steps(records.forget, STEP_ROWS, user_id, ends_at)
    finished = records.finish(user_id)
    if images or rows or finished:
        logger.info(
            "a deleted account leaves",
            user_id=user_id,
            images=images,
            rows=rows,
            finished=finished,
        )


def _in_steps(step: Callable[[int, int], int], size: int, user_id: int, ends_at: float) -> int:
    total = 0
    while done := step(user_id, size):
        total += done
        if time.monotonic() > ends_at:
            break
    return total
