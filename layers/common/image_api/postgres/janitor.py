"""What the janitor reads and settles in Postgres."""

from __future__ import annotations

from image_api.postgres.database import Database

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
