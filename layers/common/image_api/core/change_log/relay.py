"""Publishes what is not known to be published, and again what is overdue, while there is time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Protocol

from image_api.core.change_log import events
from image_api.core.change_log.events import Event
from image_api.core.change_log.messages import MessageCounts, OfferedEvents
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
# What one of its queues refuses is offered again in each run for so long, and then counts as
# published: all others have it, and that queue can have it by `replay`.
REFUSED_FOR_SECONDS = 600

Kind = Literal["requests", "outcomes", "before the log"]


class RelayRecords(Protocol):
    def unpublished(
        self, kind: Kind, after_id: int, batch_size: int, grace_seconds: int
    ) -> list[tuple[int, Event]]:
        """The oldest of those behind `after_id`, each with its id."""

    def overdue(self, batch_size: int, overdue_seconds: int) -> list[Event]:
        """Published so long ago, due so long, and not settled."""

    def mark_published(self, published: Sequence[Event]) -> None: ...


class RelayBroker(Protocol):
    """As many are begun as can be confirmed in about the time that is given. Everything raises
    ServiceUnavailable when the broker is away.
    """

    def offer_events(
        self, events: Sequence[Event], seconds: float, *, until_refused: bool
    ) -> OfferedEvents:
        """To whoever listens. With `until_refused` no more are begun as soon as a queue is known
        to take no more.
        """

    def wake_consumer(self, events: Sequence[Event], seconds: float) -> list[Event]:
        """To the work queue alone; those that it has safely. The same, as soon as it takes no
        more.
        """

    def message_counts(self) -> MessageCounts: ...

    def bind_work_queue(self) -> None: ...

    def declare_topology(self) -> None: ...


@dataclass(slots=True)
class _Walk:
    """Through all that waits of a kind, once a run: what is refused is not offered again at once.

    `until_refused`: as long as the queue that takes no more may be the work queue. Then there are
    messages enough to wake the consumer, and each more would only come again to whoever listens.
    """

    kind: Kind
    until_refused: bool = True
    after_id: int = 0


def relay_all(
    records: RelayRecords, broker: RelayBroker, remaining_milliseconds: Callable[[], int]
) -> dict[str, int]:
    """How many were published, and how many of these again. Raises ServiceUnavailable when the
    broker is away: the schedule comes again.
    """
    counts = _counts(broker)
    published = 0
    # Neither holds up the other.
    walks = deque((_Walk("requests"), _Walk("outcomes", False), _Walk("before the log", False)))
    while walks and (seconds := _seconds_left(remaining_milliseconds)) > 0:
        walk = walks.popleft()
        waiting = records.unpublished(walk.kind, walk.after_id, BATCH_SIZE, GRACE_SECONDS)
        if not waiting:
            continue
        offered = _offer(broker, [event for _, event in waiting], seconds, walk.until_refused)
        records.mark_published(offered.confirmed)
        published += len(offered.confirmed)
        tried = {event.id for event in (*offered.confirmed, *offered.refused)}
        if not tried:
            break
        walk.after_id = max(number for number, event in waiting if event.id in tried)
        if not offered.refused or _go_on(records, broker, walk, offered.refused, seconds):
            walks.append(walk)
    repeated = _repeat(records, broker, counts, _seconds_left(remaining_milliseconds))
    if published or repeated:
        logger.info("waiting events published", published=published, repeated=repeated)
    return {"published": published, "repeated": repeated}


def _counts(broker: RelayBroker) -> MessageCounts:
    """A broker that lost its queues, or their binding, gets them back before anything is sent."""
    try:
        broker.bind_work_queue()
        return broker.message_counts()
    except ServiceUnavailable:
        broker.declare_topology()
        return broker.message_counts()


def _go_on(
    records: RelayRecords, broker: RelayBroker, walk: _Walk, refused: list[Event], seconds: float
) -> bool:
    """Whether more can be published of a kind, now that a queue has refused these."""
    requests = [event for event in refused if event.type in events.REQUESTS]
    taken = broker.wake_consumer(requests, seconds) if requests else []
    is_work_queue = len(taken) < len(requests)
    logger.warning("a queue takes no more", refused=len(refused), is_work_queue=is_work_queue)
    if is_work_queue:
        return False
    walk.until_refused = False
    records.mark_published(
        [event for event in refused if _age_seconds(event) > REFUSED_FOR_SECONDS]
    )
    return True


def _age_seconds(event: Event) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(event.occurred_at)).total_seconds()


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
    broker.declare_topology()
    woken = broker.wake_consumer(overdue, seconds)
    records.mark_published(woken)
    return len(woken)


def _offer(
    broker: RelayBroker, waiting: Sequence[Event], seconds: float, until_refused: bool
) -> OfferedEvents:
    try:
        offered = broker.offer_events(waiting, seconds, until_refused=until_refused)
    except ServiceUnavailable:
        offered = OfferedEvents([], [])
    if offered.confirmed or offered.refused:
        return offered
    # No exchange, or no queue at all.
    broker.declare_topology()
    return broker.offer_events(waiting, seconds, until_refused=until_refused)


def _seconds_left(remaining_milliseconds: Callable[[], int]) -> float:
    """For the next step, which may have to be tried twice, and once more past the exchange."""
    left = (remaining_milliseconds() - _MIN_REMAINING_MILLISECONDS) / 1000
    return min(_MAX_STEP_SECONDS, left / 3)
