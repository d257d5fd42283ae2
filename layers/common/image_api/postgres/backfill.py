"""Images from before their originals' frames and bytes were written down."""

from __future__ import annotations

from image_api.core.upkeep.backfill import UnmeasuredImage
from image_api.postgres.database import Database

_NEXT = """
SELECT i.id, i.original_key FROM images AS i
WHERE i.frames IS NULL AND i.deleted_at IS NULL
ORDER BY i.id
LIMIT 1
"""

_MEASURED = """
UPDATE images SET frames = :frames, original_bytes = coalesce(:size_bytes, original_bytes)
WHERE id = :image_id AND frames IS NULL
"""


class PostgresUnmeasuredImages:
    def __init__(self, database: Database) -> None:
        self._database = database

    def next_unmeasured(self) -> UnmeasuredImage | None:
        row = self._database.row(_NEXT)
        return UnmeasuredImage(*row) if row is not None else None

    def measured(self, image: UnmeasuredImage, frames: int, size_bytes: int | None) -> None:
        self._database.rows(
            _MEASURED, image_id=image.image_id, frames=frames, size_bytes=size_bytes
        )
