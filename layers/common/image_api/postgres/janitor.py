"""What the janitor reads and settles in Postgres."""

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
