"""Old rows leave in steps that keep up with more than 100 changes a second."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping

from image_api.core import metrics
from image_api.errors import ServiceUnavailable
from image_api.observability import logger

STEP_ROWS = 1_000
# In each run, which comes every minute: a step of theirs takes some 20 ms.
SECONDS_FOR_EACH = 2.0
# What a table may take, and the last statement of it that nobody answers.
_MIN_REMAINING_MILLISECONDS = 11_000


def forget_old(
    tables: Mapping[str, Callable[[int], int]], remaining_milliseconds: Callable[[], int]
) -> None:
    """Each forgets at most so many rows at once and says how many. What cannot be forgotten now
    holds up nothing else; whose turn does not come now has it in the next run.
    """
    # Not always the same ones go without.
    names = random.sample(list(tables), len(tables))
    for name in names:
        if remaining_milliseconds() < _MIN_REMAINING_MILLISECONDS:
            logger.warning("old rows are left to the next run", table=name)
            continue
        forget = tables[name]
        forgotten, is_over = 0, False
        ends_at = time.monotonic() + SECONDS_FOR_EACH
        while not is_over:
            try:
                step = forget(STEP_ROWS)
            except ServiceUnavailable as error:
                logger.warning("old rows were not forgotten", table=name, reason=error.detail)
                break
            except Exception:
                metrics.forgetting_failed()
                logger.exception("old rows could not be forgotten", table=name)
                break
            forgotten += step
            is_over = step == 0 or time.monotonic() > ends_at
        if forgotten:
            logger.info("old rows forgotten", table=name, rows=forgotten)
