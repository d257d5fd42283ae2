"""The table `changes`: what was accepted, and what of it still has to be published."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from image_api.core import metrics
from image_api.core.change_log import events
from image_api.core.change_log.events import Event
from image_api.core.time_left import time_left
from image_api.errors import ServiceUnavailable
from image_api.observability import logger
from image_api.postgres.database import RELAXED, Database
from image_api.postgres.legacy_outbox import BeforeTheLog

if TYPE_CHECKING:
    from image_api.core.change_log.relay import Kind


def locked_changes(which: str) -> str:
    """A step of a WITH that locks rows `c` of the log before they are changed, whoever does it in
    the order of their ids: two that lock the same ones wait for each other in no circle.
    """
    return f"SELECT c.id FROM {which} ORDER BY c.id FOR NO KEY UPDATE OF c"


# What is not known to be published is published again, so these marks may be lost.
_MARK_REQUEST = f"""
UPDATE changes SET published_at = now() FROM {RELAXED} WHERE change_id = :event_id::uuid
"""

_MARK_OUTCOME = f"""
UPDATE changes SET outcome_published_at = now() FROM {RELAXED}
WHERE image_id = :image_id AND sequence = :sequence AND outcome_id = :event_id::uuid
"""

# What is younger is left to the request that wrote it: it is about to publish it itself.
_UNPUBLISHED_REQUESTS = """
SELECT id, change_id::text, type, image_id, sequence, data, correlation_id, rfc3339(accepted_at),
       traceparent, client_correlation_id
FROM changes
WHERE published_at IS NULL AND id > :after_id
  AND accepted_at < now() - make_interval(secs => :grace_seconds::integer)
ORDER BY id
LIMIT :batch_size
"""

_UNPUBLISHED_OUTCOMES = """
SELECT id, outcome_id::text, outcome_type, image_id, sequence, outcome_data, correlation_id,
       rfc3339(settled_at), traceparent, client_correlation_id
FROM changes
WHERE outcome_id IS NOT NULL AND outcome_published_at IS NULL AND id > :after_id
  AND settled_at < now() - make_interval(secs => :grace_seconds::integer)
ORDER BY id
LIMIT :batch_size
"""

# Published long ago, due, and neither applied nor given up: its message may be lost.
_OVERDUE = """
SELECT change_id::text, type, image_id, sequence, data, correlation_id, rfc3339(accepted_at),
       traceparent, client_correlation_id
FROM changes
WHERE settled_at IS NULL
  AND published_at < now() - make_interval(secs => :overdue_seconds::integer)
  AND due_at < now() - make_interval(secs => :overdue_seconds::integer)
ORDER BY id
LIMIT :batch_size
"""

_MARK_REQUESTS = f"""
WITH locked AS ({
    locked_changes("changes AS c WHERE c.change_id = ANY(:event_ids::text[]::uuid[])")
})
UPDATE changes AS c SET published_at = now() FROM locked AS l WHERE c.id = l.id
"""

_MARK_OUTCOMES = f"""
WITH locked AS ({
    locked_changes(
        "unnest(:image_ids::bigint[], :sequences::integer[], :event_ids::text[]) AS p ("
        "image_id, sequence, event_id) JOIN changes AS c ON c.image_id = p.image_id "
        "AND c.sequence = p.sequence AND c.outcome_id = p.event_id::uuid"
    )
})
UPDATE changes AS c SET outcome_published_at = now() FROM locked AS l WHERE c.id = l.id
"""

# What nobody waits for and everybody was told of. What somebody holds has its turn later.
_FORGET_OLD = """
WITH forgotten AS (
    DELETE FROM changes WHERE id = ANY(ARRAY(
        SELECT c.id FROM changes AS c
        WHERE c.settled_at < now() - make_interval(days => :kept_days::integer)
          AND c.published_at IS NOT NULL
          AND (c.outcome_id IS NULL OR c.outcome_published_at IS NOT NULL)
        ORDER BY c.settled_at LIMIT :batch_size
        FOR UPDATE SKIP LOCKED))
    RETURNING id
)
SELECT count(*) FROM forgotten
"""

_OLDEST_UNSETTLED = """
SELECT extract(epoch FROM now() - c.accepted_at)::float8
FROM changes AS c WHERE c.settled_at IS NULL ORDER BY c.id LIMIT 1
"""


# A broker that just does not time out takes so long, a connection to it and one before included;
# and a database so long to write down what became of it. Who waits for an answer has it before.
_PUBLISHING_SECONDS = 12.0
_MARKING_SECONDS = 9.0
# In which so many as may come of one batch are sent.
_OUTCOMES_SECONDS = 5.0
# What a request waits for the confirms of many messages.
_REQUESTS_SECONDS = 2.0


class EventPublisher(Protocol):
    def publish_event(self, event: Event) -> None: ...

    def publish_events(self, events: Sequence[Event], seconds: float) -> list[Event]:
        """Those that were confirmed; as many are begun as can be in about that time."""


class PostgresEventSink:
    """Publishes what is committed, and writes down that it was.

    Raises nothing: what was accepted is answered, and what fails here is left to the relay.
    """

    def __init__(self, database: Database, publisher: EventPublisher) -> None:
        self._database = database
        self._publisher = publisher

    def publish(self, event: Event) -> None:
        about: dict[str, Any] = {
            "event_id": event.id,
            "event_type": event.type,
            "correlation_id": event.correlation_id,
        }
        try:
            self._check_time_left()
            self._publisher.publish_event(event)
            if not time_left.is_enough_for(_MARKING_SECONDS):
                # It is published once more.
                return
            if event.type in events.REQUESTS:
                self._database.rows(_MARK_REQUEST, event_id=event.id)
            else:
                self._database.rows(
                    _MARK_OUTCOME,
                    event_id=event.id,
                    image_id=event.image_id,
                    sequence=event.sequence,
                )
        except ServiceUnavailable as error:
            logger.warning("event left to the relay", **about, reason=error.detail)
        except Exception:
            metrics.publishing_failed()
            logger.exception("an event could not be published", **about)

    def publish_outcomes(self, outcomes: Sequence[Event]) -> None:
        """Without awaiting each confirm before the next is sent."""
        self._publish_many(outcomes, _OUTCOMES_SECONDS, _mark_outcomes)

    def publish_requests(self, accepted: Sequence[Event]) -> None:
        """The same of what one request accepted, which waits for it."""
        self._publish_many(accepted, _REQUESTS_SECONDS, _mark_requests)

    def _publish_many(
        self,
        published: Sequence[Event],
        seconds: float,
        mark: Callable[[Database, Sequence[Event]], None],
    ) -> None:
        if not published:
            return
        try:
            self._check_time_left()
            confirmed = self._publisher.publish_events(published, seconds)
            if time_left.is_enough_for(_MARKING_SECONDS):
                mark(self._database, confirmed)
        except ServiceUnavailable as error:
            logger.warning("events left to the relay", count=len(published), reason=error.detail)
            return
        except Exception:
            metrics.publishing_failed()
            logger.exception("events could not be published", count=len(published))
            return
        if left := len(published) - len(confirmed):
            logger.warning("events left to the relay", count=left, reason="No confirm came")

    def _check_time_left(self) -> None:
        if not time_left.is_enough_for(_PUBLISHING_SECONDS):
            raise ServiceUnavailable("The request has no time left for it")


def _mark_outcomes(database: Database, outcomes: Sequence[Event]) -> None:
    if outcomes:
        database.rows(
            _MARK_OUTCOMES,
            image_ids=[event.image_id for event in outcomes],
            sequences=[event.sequence for event in outcomes],
            event_ids=[event.id for event in outcomes],
        )


def _mark_requests(database: Database, requests: Sequence[Event]) -> None:
    if requests:
        database.rows(_MARK_REQUESTS, event_ids=[event.id for event in requests])


class PostgresRelayRecords:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._before = BeforeTheLog(database)

    def unpublished(
        self, kind: Kind, after_id: int, batch_size: int, grace_seconds: int
    ) -> list[tuple[int, Event]]:
        if kind == "before the log":
            return self._before.unpublished(after_id, batch_size, grace_seconds)
        rows = self._database.rows(
            _UNPUBLISHED_REQUESTS if kind == "requests" else _UNPUBLISHED_OUTCOMES,
            after_id=after_id,
            batch_size=batch_size,
            grace_seconds=grace_seconds,
        )
        return [(row[0], Event(*row[1:])) for row in rows]

    def overdue(self, batch_size: int, overdue_seconds: int) -> list[Event]:
        rows = self._database.rows(_OVERDUE, overdue_seconds=overdue_seconds, batch_size=batch_size)
        return [Event(*row) for row in rows]

    def mark_published(self, published: Sequence[Event]) -> None:
        requests = [event for event in published if event.type in events.REQUESTS]
        outcomes = [event for event in published if event.type not in events.REQUESTS]
        _mark_requests(self._database, requests)
        _mark_outcomes(self._database, outcomes)
        self._before.mark_published(published)

    def forget_old(self, kept_days: int | None, batch_size: int) -> int:
        """Of what is settled and published; how many rows left. None: the log keeps all."""
        return self._database.number(
            _FORGET_OLD, kept_days=kept_days, batch_size=batch_size
        ) + self._before.forget_old(batch_size)

    def oldest_unsettled_age_seconds(self) -> float:
        row = self._database.row(_OLDEST_UNSETTLED)
        return float(row[0]) if row is not None else 0.0
