"""Old rows leave in steps that keep up with more than 100 changes a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from image_api.errors import ServiceUnavailable
from image_api.observability import logger

STEP_ROWS = 1_000
# In each run, which comes every minute: a step of theirs takes some 20 ms.
SECONDS_FOR_EACH = 2.0


def forget_old(tables: Mapping[str, Callable[[int], int]]) -> None:
    """Each forgets at most so many rows at once and says how many. What cannot be forgotten now
    holds up nothing else.
    """
    for name, forget in tables.items():
        forgotten, is_over = 0, False
        ends_at = time.monotonic() + SECONDS_FOR_EACH
        while not is_over:
            try:
                step = forget(STEP_ROWS)
            except ServiceUnavailable as error:
                logger.warning("old rows were not forgotten", table=name, reason=error.detail)
                break
            forgotten += step
            is_over = step == 0 or time.monotonic() > ends_at
        if forgotten:
            logger.info("old rows forgotten", table=name, rows=forgotten)
