"""What the janitor reads and settles in Postgres, and what it notes in `objects_without_row`."""

from __future__ import annotations

from image_api.postgres.database import Database

_JUDGED_ID = """CASE WHEN i.deleted_at IS NULL AND i.status = 'ready'
          AND i.updated_at < now() - make_interval(secs => :min_age_seconds::integer)
     THEN i.id END"""

# A deleted row still owns its objects until the consumer removed both. The image of a rendition is
# looked up one by one: a join would read all images.
_EXPECTED_KEYS = f"""
SELECT i.original_key, {_JUDGED_ID}
FROM images AS i WHERE i.original_key > :after AND i.original_key <= :until
UNION ALL
SELECT r.object_key, (SELECT {_JUDGED_ID} FROM images AS i WHERE i.id = r.image_id)
FROM renditions AS r WHERE r.object_key > :after AND r.object_key <= :until
UNION ALL
SELECT d.object_key, NULL FROM requested_renditions AS d
WHERE d.object_key > :after AND d.object_key <= :until
UNION ALL
SELECT f.object_key, NULL FROM forgotten_objects AS f
WHERE f.object_key > :after AND f.object_key <= :until
"""

_FAIL = """
UPDATE images
SET status = 'failed', error = 'A stored file of this image is missing; upload it again',
    updated_at = now()
WHERE id = :image_id AND status = 'ready' AND deleted_at IS NULL
"""

_NOTE = """
WITH seen AS (
    INSERT INTO objects_without_row AS o (key) SELECT unnest(:keys::text[])
    ON CONFLICT (key) DO UPDATE SET last_seen_at = now()
)
DELETE FROM objects_without_row AS o
WHERE o.key > :after AND o.key <= :until AND o.key <> ALL(:keys::text[])
"""

# Whether there is a row is asked again, one by one: a join would read all images.
_NOTED = """
SELECT o.key FROM objects_without_row AS o
WHERE o.first_seen_at <= now() - make_interval(secs => :min_age_seconds::integer)
  AND o.first_seen_at < :run_started_at::text::timestamptz
  AND o.last_seen_at >= :run_started_at::text::timestamptz
  AND (SELECT count(*) FROM images AS i WHERE i.original_key = o.key) = 0
  AND (SELECT count(*) FROM renditions AS r WHERE r.object_key = o.key) = 0
  AND (SELECT count(*) FROM requested_renditions AS d WHERE d.object_key = o.key) = 0
ORDER BY o.first_seen_at
LIMIT :batch_size
"""

_FORGOTTEN = """
SELECT f.object_key FROM forgotten_objects AS f
WHERE f.delete_after <= now() ORDER BY f.delete_after LIMIT :batch_size
"""
_DROP_FORGOTTEN = "DELETE FROM forgotten_objects WHERE object_key = ANY(:keys::text[])"

# One that is asked for again is made again.
_FORGET_LOST = """
DELETE FROM requested_renditions AS d
WHERE d.object_key = ANY(:keys::text[])
  AND d.making_until < now() - make_interval(secs => :min_age_seconds::integer)
"""

_FORGET_NOTED = "DELETE FROM objects_without_row WHERE key = ANY(:keys::text[])"


class PostgresJanitorRecords:
    def __init__(self, database: Database) -> None:
        self._database = database

    def expected_keys(self, after: str, until: str, min_age_seconds: int) -> dict[str, int | None]:
        rows = self._database.rows(
            _EXPECTED_KEYS, after=after, until=until, min_age_seconds=min_age_seconds
        )
        return {row[0]: row[1] for row in rows}

    def now(self) -> str:
        return self._database.now()

    def note(self, after: str, until: str, without_row: list[str]) -> None:
        self._database.rows(_NOTE, after=after, until=until, keys=without_row)

    def noted(self, run_started_at: str, min_age_seconds: int, batch_size: int) -> list[str]:
        rows = self._database.rows(
            _NOTED,
            run_started_at=run_started_at,
            min_age_seconds=min_age_seconds,
            batch_size=batch_size,
        )
        return [row[0] for row in rows]

    def forget_noted(self, keys: list[str]) -> None:
        self._database.rows(_FORGET_NOTED, keys=keys)

    def forgotten(self, batch_size: int) -> list[str]:
        return [row[0] for row in self._database.rows(_FORGOTTEN, batch_size=batch_size)]

    def drop_forgotten(self, keys: list[str]) -> None:
        self._database.rows(_DROP_FORGOTTEN, keys=keys)

    def forget_lost(self, keys: list[str], min_age_seconds: int) -> None:
        self._database.rows(_FORGET_LOST, keys=keys, min_age_seconds=min_age_seconds)

    def fail_for_missing_file(self, image_id: int) -> None:
        self._database.rows(_FAIL, image_id=image_id)
