"""The table `changes`: what was accepted, and what of it still has to be published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from image_api.core.change_log import events
from image_api.core.change_log.events import Event
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


class PostgresPublications:
    """Which of the accepted changes and of their outcomes are published."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def mark_one_published(self, event: Event) -> None:
        if event.type in events.REQUESTS:
            self._database.rows(_MARK_REQUEST, event_id=event.id)
        else:
            self._database.rows(
                _MARK_OUTCOME,
                event_id=event.id,
                image_id=event.image_id,
                sequence=event.sequence,
            )

    def mark_published(self, published: Sequence[Event]) -> None:
        requests = [event for event in published if event.type in events.REQUESTS]
        outcomes = [event for event in published if event.type not in events.REQUESTS]
        if requests:
            self._database.rows(_MARK_REQUESTS, event_ids=[event.id for event in requests])
        if outcomes:
            self._database.rows(
                _MARK_OUTCOMES,
                image_ids=[event.image_id for event in outcomes],
                sequences=[event.sequence for event in outcomes],
                event_ids=[event.id for event in outcomes],
            )


class PostgresRelayRecords:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._publications = PostgresPublications(database)
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
        self._publications.mark_published(published)
        self._before.mark_published(published)

    def forget_old(self, kept_days: int | None, batch_size: int) -> int:
        """Of what is settled and published; how many rows left. None: the log keeps all."""
        return self._database.number(
            _FORGET_OLD, kept_days=kept_days, batch_size=batch_size
        ) + self._before.forget_old(batch_size)

    def oldest_unsettled_age_seconds(self) -> float:
        row = self._database.row(_OLDEST_UNSETTLED)
        return float(row[0]) if row is not None else 0.0
