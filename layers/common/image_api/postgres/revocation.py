"""Images that are hidden and still lie where others know them, and where they lie next."""

from __future__ import annotations

import json

from image_api.core.change_log.changes import ImageState
from image_api.core.renditions.revocation import ExposedImage
from image_api.postgres.database import Database, Row

IMAGE_STATE = """i.original_key, i.rendered_at IS NOT NULL,
       (SELECT json_agg(r.object_key) FROM renditions AS r WHERE r.image_id = i.id)::text,
       i.exposed_key"""

# Those that nothing is about to change: a change moves its image itself.
_NEXT_EXPOSED = f"""
SELECT i.id, {IMAGE_STATE} FROM images AS i
WHERE i.exposed_key IS NOT NULL AND i.deleted_at IS NULL
  AND i.applied_sequence = i.accepted_sequence AND i.id > :after_image_id
ORDER BY i.id
LIMIT 1
"""

# The keys that it answers are those of its own step `renditions`, not of the table.
_MOVE = f"""
WITH moved AS (
    UPDATE images AS i
    SET original_key = :new_folder || substr(i.original_key, length(:folder) + 1),
        object_key = :new_folder || substr(i.object_key, length(:folder) + 1)
    WHERE i.id = :image_id AND i.deleted_at IS NULL
      AND starts_with(i.original_key, :folder) AND starts_with(i.object_key, :folder)
    RETURNING i.id, i.original_key, i.rendered_at, i.exposed_key
), renditions AS (
    UPDATE renditions AS r
    SET object_key = :new_folder || substr(r.object_key, length(:folder) + 1)
    FROM moved AS i WHERE r.image_id = i.id AND starts_with(r.object_key, :folder)
    RETURNING r.image_id, r.object_key
)
SELECT {IMAGE_STATE} FROM moved AS i
"""

_UNEXPOSE = """
UPDATE images SET exposed_key = NULL WHERE id = :image_id AND exposed_key = :exposed_key
"""


class PostgresImageMoves:
    def __init__(self, database: Database) -> None:
        self._database = database

    def next_exposed(self, after_image_id: int) -> ExposedImage | None:
        row = self._database.row(_NEXT_EXPOSED, after_image_id=after_image_id)
        return ExposedImage(row[0], image_state(row[1:])) if row is not None else None

    def move(self, image_id: int, folder: str, new_folder: str) -> ImageState | None:
        row = self._database.row(_MOVE, image_id=image_id, folder=folder, new_folder=new_folder)
        return image_state(row) if row is not None else None

    def unexpose(self, image_id: int, exposed_key: str) -> None:
        self._database.rows(_UNEXPOSE, image_id=image_id, exposed_key=exposed_key)


def image_state(columns: Row) -> ImageState:
    """From what IMAGE_STATE selects."""
    original_key, rendered, keys, exposed_key = columns
    return ImageState(original_key, rendered, tuple(json.loads(keys or "[]")), exposed_key)
