"""Publishes what is not known to be published, and again what is overdue, while there is time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from image_api.core.events import Event
from image_api.core.messages import MessageCounts
from image_api.errors import ServiceUnavailable
from image_api.observability import logger

# Left to the request that wrote them: it is about to publish them itself.
GRACE_SECONDS = 10
# A message that is not there after so long may be lost.
OVERDUE_SECONDS = 60
BATCH_SIZE = 500
# What a step may take, and what is left for the statements that write it down.
_MAX_STEP_SECONDS = 10.0
_MIN_REMAINING_MILLISECONDS = 15_000


class RelayRecords(Protocol):
    def unpublished(self, batch_size: int, grace_seconds: int) -> list[Event]:
        """The oldest, requests first."""

    def overdue(self, batch_size: int, overdue_seconds: int) -> list[Event]:
        """Published so long ago, due so long, and not settled."""

    def mark_published(self, published: Sequence[Event]) -> None: ...


class RelayBroker(Protocol):
    def publish_events(self, events: Sequence[Event], seconds: float) -> list[Event]:
        """Those that were confirmed; as many are begun as can be in about that time. Raises
        ServiceUnavailable when the broker is away.
        """

    def message_counts(self) -> MessageCounts: ...

    def declare_topology(self) -> None: ...


def relay_all(
    records: RelayRecords, broker: RelayBroker, remaining_milliseconds: Callable[[], int]
) -> dict[str, int]:
    """How many were published, and how many of these again. Raises ServiceUnavailable when the
    broker is away: the schedule comes again.
    """
    counts = _counts(broker)
    published = 0
    while (seconds := _seconds_left(remaining_milliseconds)) > 0:
        waiting = records.unpublished(BATCH_SIZE, GRACE_SECONDS)
        if not waiting or not (confirmed := _publish(records, broker, waiting, seconds)):
            break
        published += confirmed
    repeated = _repeat(records, broker, counts, _seconds_left(remaining_milliseconds))
    if published or repeated:
        logger.info("waiting events published", published=published, repeated=repeated)
    return {"published": published, "repeated": repeated}


def _counts(broker: RelayBroker) -> MessageCounts:
    """A broker that lost its queues gets them back before anything is sent to it."""
    try:
        return broker.message_counts()
    except ServiceUnavailable:
        broker.declare_topology()
        return broker.message_counts()


def _repeat(
    records: RelayRecords, broker: RelayBroker, counts: MessageCounts, seconds: float
) -> int:
    """Any message wakes the consumer. As long as one for each change is about, none is lost that
    would be missed: the changes only wait for their turn.
    """
    if seconds <= 0:
        return 0
    overdue = records.overdue(BATCH_SIZE, OVERDUE_SECONDS)
    if counts.soon >= len(overdue):
        return 0
    # Without a binding they would be lost again.
    broker.declare_topology()
    return _publish(records, broker, overdue, seconds)


def _publish(
    records: RelayRecords, broker: RelayBroker, events: Sequence[Event], seconds: float
) -> int:
    try:
        confirmed = broker.publish_events(events, seconds)
    except ServiceUnavailable:
        confirmed = []
    if not confirmed:
        # No exchange, or none of its queues takes them.
        broker.declare_topology()
        confirmed = broker.publish_events(events, seconds)
    records.mark_published(confirmed)
    return len(confirmed)


def _seconds_left(remaining_milliseconds: Callable[[], int]) -> float:
    """For the next step, which may have to be tried twice."""
    left = (remaining_milliseconds() - _MIN_REMAINING_MILLISECONDS) / 1000
    return min(_MAX_STEP_SECONDS, left / 2)
