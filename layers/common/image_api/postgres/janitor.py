"""What the janitor reads and settles in Postgres."""

from __future__ import annotations

from image_api.core import events
from image_api.postgres.database import Database
from image_api.postgres.outbox import INSERT_EVENT

# A deleted row still owns its objects until the consumer removed both.
_EXPECTED_KEYS = """
SELECT k.key,
       CASE WHEN i.deleted_at IS NULL AND i.status = 'ready'
                 AND i.updated_at < now() - make_interval(secs => :min_age_seconds::integer)
            THEN i.id END
FROM (SELECT o.original_key AS key, o.id AS image_id
      FROM images AS o WHERE o.original_key > :after AND o.original_key <= :until
      UNION
      SELECT r.object_key, r.image_id
      FROM renditions AS r WHERE r.object_key > :after AND r.object_key <= :until) AS k
JOIN images AS i ON i.id = k.image_id
"""

_FAIL = """
UPDATE images
SET status = 'failed', error = 'A stored file of this image is missing; upload it again',
    updated_at = now()
WHERE id = :image_id AND status = 'ready' AND deleted_at IS NULL
"""

_OVERDUE_REMOVALS = """
FROM images AS i
WHERE i.deleted_at < now() - make_interval(secs => :min_age_seconds::integer)
  AND NOT EXISTS (SELECT FROM outbox AS o WHERE o.image_id = i.id)
"""

_COUNT_OVERDUE_REMOVALS = f"SELECT count(*) {_OVERDUE_REMOVALS}"

# As a new event: the one before may lie among the dead letters, and both may arrive.
_RESUME_REMOVALS = f"""
WITH changed AS (
    SELECT i.id AS image_id, i.accepted_sequence AS sequence,
           jsonb_build_object('user_id', i.user_id) AS data
    {_OVERDUE_REMOVALS}
    LIMIT 1000
), event AS ({INSERT_EVENT})
SELECT count(*) FROM event
"""

_FORGET_OLD_EVENTS = """
WITH forgotten AS (
    DELETE FROM inbox WHERE event_id IN (
        SELECT b.event_id FROM inbox AS b
        WHERE b.applied_at < now() - interval '30 days' ORDER BY b.applied_at LIMIT 10000)
    RETURNING event_id
)
SELECT count(*) FROM forgotten
"""


class PostgresJanitorRecords:
    def __init__(self, database: Database) -> None:
        self._database = database

    def expected_keys(self, after: str, until: str, min_age_seconds: int) -> dict[str, int | None]:
        rows = self._database.rows(
            _EXPECTED_KEYS, after=after, until=until, min_age_seconds=min_age_seconds
        )
        return {row[0]: row[1] for row in rows}

    def fail_for_missing_file(self, image_id: int) -> None:
        self._database.rows(_FAIL, image_id=image_id)

    def resume_removals(self, min_age_seconds: int, dry_run: bool) -> int:
        if dry_run:
            row = self._database.row(_COUNT_OVERDUE_REMOVALS, min_age_seconds=min_age_seconds)
        else:
            row = self._database.row(
                _RESUME_REMOVALS,
                min_age_seconds=min_age_seconds,
                event_id=None,
                event_type=events.DELETE_REQUESTED,
                correlation_id="janitor",
            )
        assert row is not None
        return int(row[0])

    def forget_old_events(self) -> int:
        row = self._database.row(_FORGET_OLD_EVENTS)
        assert row is not None
        return int(row[0])
