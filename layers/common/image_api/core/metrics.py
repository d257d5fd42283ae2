"""How much accepted work waits, as metrics that alarms look at.

Amazon MQ publishes no metrics by queue for RabbitMQ 4, and none of a message's age for any version.
"""

from __future__ import annotations

from typing import Protocol

from image_api.core.changes import ChangeTotals
from image_api.core.messages import MessageCounts
from image_api.errors import ServiceUnavailable
from image_api.observability import logger, write_metrics


class Queues(Protocol):
    def message_counts(self) -> MessageCounts:
        """Raises ServiceUnavailable when the broker is away."""


def measure(changes: ChangeTotals, queues: Queues) -> None:
    """Writes OldestWorkAge, and if the broker answers QueueDepth and DeadLetters."""
    age_seconds = changes.oldest_unsettled_age_seconds()
    counts: dict[str, int] = {}
    try:
        found = queues.message_counts()
    except ServiceUnavailable as error:
        logger.warning("the queues cannot be counted", reason=error.detail)
    else:
        counts = {"QueueDepth": found.waiting, "DeadLetters": found.dead}
    write_metrics({"OldestWorkAge": age_seconds}, counts)
