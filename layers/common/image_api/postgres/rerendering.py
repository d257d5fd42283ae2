"""What an older renderer made, and what takes its place."""

from __future__ import annotations

import json
from dataclasses import asdict

from image_api.core.change_log.changes import StoredRendition
from image_api.core.upkeep.rerendering import OutdatedImage
from image_api.postgres.database import Database

# Written before it begins: the last attempt that may be is the end of it, unless it succeeds.
_BEGIN = """
WITH picked AS (
    SELECT r.image_id
    FROM renditions AS r JOIN images AS i ON i.id = r.image_id
    WHERE r.name = 'image' AND r.considered_version < :version::integer
      AND i.deleted_at IS NULL AND i.applied_sequence = i.accepted_sequence
      AND i.exposed_key IS NULL
    ORDER BY r.considered_version, r.image_id
    LIMIT 1
    FOR UPDATE OF r SKIP LOCKED
), begun AS (
    UPDATE renditions AS r
    SET rerender_attempts = CASE WHEN r.rerender_attempts + 1 < :max_attempts::integer
                                 THEN r.rerender_attempts + 1 ELSE 0 END,
        considered_version = CASE WHEN r.rerender_attempts + 1 < :max_attempts::integer
                                  THEN r.considered_version ELSE :version::integer END
    FROM picked AS p
    WHERE r.image_id = p.image_id AND r.name = 'image'
    RETURNING r.image_id
)
SELECT i.id, i.applied_sequence, i.original_key, i.asked_width, i.asked_height, i.asked_fit,
       i.width, i.height,
       (SELECT json_agg(r.object_key) FROM renditions AS r WHERE r.image_id = i.id)::text
FROM begun AS b JOIN images AS i ON i.id = b.image_id
"""

# What was made on demand is as old, also where the image itself has stayed the same file.
_REPLACE = """
WITH changed AS (
    UPDATE images AS i
    SET object_key = n.object_key, content_type = n.content_type, size_bytes = n.size_bytes,
        width = n.width, height = n.height, updated_at = now(),
        taken_at = coalesce(i.taken_at, :taken_at::text::timestamp),
        placeholder = coalesce(
            (SELECT t.placeholder FROM json_to_recordset(:renditions::json) AS t (placeholder text)
             WHERE t.placeholder IS NOT NULL),
            i.placeholder)
    FROM json_to_recordset(:renditions::json) AS n (
        name text, object_key text, content_type text, size_bytes bigint,
        width integer, height integer)
    WHERE n.name = 'image' AND i.id = :image_id AND i.deleted_at IS NULL
      AND i.applied_sequence = :sequence AND i.accepted_sequence = :sequence
    RETURNING i.id
), rendered AS (
    UPDATE renditions AS r
    SET object_key = n.object_key, content_type = n.content_type, size_bytes = n.size_bytes,
        width = n.width, height = n.height, animated = n.animated,
        renderer_version = n.renderer_version, considered_version = n.renderer_version,
        rerender_attempts = 0
    FROM changed AS c, json_to_recordset(:renditions::json) AS n (
        name text, object_key text, content_type text, size_bytes bigint,
        width integer, height integer, animated boolean, renderer_version integer)
    WHERE r.image_id = c.id AND r.name = n.name
), forgotten AS (
    DELETE FROM requested_renditions AS d USING changed AS c WHERE d.image_id = c.id
)
SELECT id FROM changed
"""

# An image from before previews has none yet.
_ADD = """
INSERT INTO renditions (image_id, name, object_key, content_type, size_bytes, width, height,
                        animated, renderer_version, considered_version)
SELECT i.id, n.name, n.object_key, n.content_type, n.size_bytes, n.width, n.height, n.animated,
       n.renderer_version, n.renderer_version
FROM json_to_recordset(:renditions::json) AS n (
    name text, object_key text, content_type text, size_bytes bigint,
    width integer, height integer, animated boolean, renderer_version integer)
JOIN images AS i ON i.id = :image_id
ON CONFLICT (image_id, name) DO NOTHING
"""


class PostgresRerenderRecords:
    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, version: int, max_attempts: int) -> OutdatedImage | None:
        row = self._database.row(_BEGIN, version=version, max_attempts=max_attempts)
        if row is None:
            return None
        image_id, sequence, original_key, asked_width, asked_height, asked_fit = row[:6]
        width, height, keys = row[6:]
        asked = None if asked_fit is None else ((asked_width, asked_height), asked_fit)
        return OutdatedImage(
            image_id, sequence, original_key, asked, (width, height), tuple(json.loads(keys))
        )

    def replace(
        self, image: OutdatedImage, renditions: list[StoredRendition], taken_at: str | None
    ) -> bool:
        made = json.dumps([asdict(rendition) for rendition in renditions])
        with self._database.transaction():
            row = self._database.row(
                _REPLACE,
                image_id=image.image_id,
                sequence=image.sequence,
                renditions=made,
                taken_at=taken_at,
            )
            if row is None:
                return False
            self._database.rows(_ADD, image_id=image.image_id, renditions=made)
        return True
