"""Publishes what the outbox still holds, batch by batch, while the function has time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from image_api.observability import logger

# A batch waits for a confirm of each message; this leaves it time to end.
_MIN_REMAINING_MILLISECONDS = 15_000


class WaitingEvents(Protocol):
    def relay_batch(self) -> int:
        """Publishes the oldest; returns how many, 0 when none is left."""


def relay_all(outbox: WaitingEvents, remaining_milliseconds: Callable[[], int]) -> dict[str, int]:
    """How many were published. Raises ServiceUnavailable when the broker is away: the schedule
    comes again.
    """
    published = 0
    while remaining_milliseconds() > _MIN_REMAINING_MILLISECONDS:
        batch = outbox.relay_batch()
        if batch == 0:
            break
        published += batch
    if published:
        logger.info("waiting events published", published=published)
    return {"published": published}
