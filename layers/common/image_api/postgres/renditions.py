"""The tables `requested_renditions`, `new_renditions` and `forgotten_objects`."""

from __future__ import annotations

import hashlib
from typing import Any

from image_api.core.change_log.changes import StoredRendition
from image_api.core.renditions.on_demand import (
    FAILED_FOR_SECONDS,
    LEASE_SECONDS,
    MAX_FAILURES,
    Asked,
    FoundRendition,
    Making,
    RenditionKey,
    Viewer,
)
from image_api.errors import TooManyRenditions, Unauthenticated
from image_api.postgres.closed_accounts import owner_stays
from image_api.postgres.database import RELAXED, Database
from image_api.postgres.token_checks import IS_SIGNED_IN, NO_LONGER_SIGNED_IN
from image_api.settings import RenditionLimits

_WINDOW_SECONDS = 60

# A claim that was not ended in time is an attempt that failed.
_LAPSED = "(r.claim_id IS NOT NULL AND r.making_until <= now())"
_THIS = "r.image_id = :image_id AND r.width = :width AND r.ratio = :ratio AND r.format = :format"

# A link is good for the image as long as nobody has narrowed who may see it; a public one for
# what is public, and not in the trash.
_FIND = f"""
WITH image AS (
    SELECT i.id, i.title, i.status, i.rendered_at IS NOT NULL AS is_rendered,
           i.visibility = 'shared' AND i.public_secret IS NOT NULL AS is_public, i.object_key,
           greatest(1, least(:width::integer, i.width,
                             i.height * :across::integer / nullif(:down::integer, 0))) AS width,
           CASE WHEN (SELECT s.animated FROM renditions AS s
                      WHERE s.image_id = i.id AND s.name = 'image')
                THEN :moving::text ELSE :still::text END AS format
    FROM images AS i
    WHERE i.id = :image_id AND i.deleted_at IS NULL AND {owner_stays("i")}
      AND (i.visibility = 'shared' AND :user_id::bigint IS NOT NULL
           OR i.user_id = :user_id::bigint
           OR i.link_generation = :generation::integer
           OR i.visibility = 'shared' AND i.public_secret = :public_secret::text)
)
SELECT :user_id::bigint IS NULL OR {IS_SIGNED_IN},
       i.id, i.width, i.format, i.title, i.status, i.is_rendered, i.is_public, i.object_key,
       r.object_key,
       CASE WHEN r.object_key IS NULL THEN r.claim_id::text END,
       extract(epoch FROM now() - r.claimed_at)::float8,
       extract(epoch FROM r.making_until - now())::float8,
       r.failures + {_LAPSED}::integer,
       r.asked_at < now() - interval '10 minutes'
FROM (SELECT 1) AS always
LEFT JOIN image AS i ON true
LEFT JOIN requested_renditions AS r
    ON r.image_id = i.id AND r.width = i.width AND r.ratio = :ratio AND r.format = i.format
   AND r.source_key = i.object_key
"""

_TOUCH = f"UPDATE requested_renditions AS r SET asked_at = now() FROM {RELAXED} WHERE {_THIS}"

_CLAIM = f"""
INSERT INTO requested_renditions AS r (image_id, width, ratio, format, source_key, claim_id,
                                       claimed_at, making_until)
SELECT i.id, :width, :ratio, :format, i.object_key, :claim_id::uuid, now(),
       now() + interval '{LEASE_SECONDS} seconds'
FROM images AS i
WHERE i.id = :image_id AND i.deleted_at IS NULL AND i.object_key = :source_key
FOR KEY SHARE OF i
ON CONFLICT (image_id, width, ratio, format) DO UPDATE SET
    failures = CASE WHEN r.source_key <> excluded.source_key
                      OR r.making_until <= now() - interval '{FAILED_FOR_SECONDS} seconds' THEN 0
                    ELSE r.failures + {_LAPSED}::integer END,
    source_key = excluded.source_key, asked_at = now(), claim_id = excluded.claim_id,
    claimed_at = excluded.claimed_at, making_until = excluded.making_until,
    error = NULL, object_key = NULL
WHERE r.source_key <> excluded.source_key OR (r.object_key IS NULL AND r.making_until <= now())
RETURNING r.claim_id
"""

# Nothing is counted beyond the limit, so that the wait ends with the window.
_COUNT = f"""
WITH counted AS (
    INSERT INTO new_renditions AS n (key) VALUES (:key::bytea)
    ON CONFLICT (key) DO UPDATE SET (begun, window_started_at) = (
        SELECT CASE WHEN w.is_over THEN 1 ELSE n.begun + 1 END,
               CASE WHEN w.is_over THEN now() ELSE n.window_started_at END
        FROM (SELECT n.window_started_at
                     <= now() - interval '{_WINDOW_SECONDS} seconds') AS w (is_over))
    WHERE n.begun < :per_minute::integer
       OR n.window_started_at <= now() - interval '{_WINDOW_SECONDS} seconds'
    RETURNING n.key
)
SELECT EXISTS (SELECT FROM counted),
       (SELECT greatest(1, {_WINDOW_SECONDS} - floor(extract(epoch FROM
                           now() - n.window_started_at)))::integer
        FROM new_renditions AS n WHERE n.key = :key::bytea)
"""

_RELEASE = f"""
UPDATE requested_renditions AS r
SET claim_id = NULL, making_until = now()
WHERE {_THIS} AND r.claim_id = :claim_id::uuid
"""

_FAIL = f"""
UPDATE requested_renditions AS r
SET claim_id = NULL, making_until = now(), error = :reason,
    failures = CASE WHEN :is_final::boolean THEN {MAX_FAILURES} ELSE r.failures + 1 END
WHERE {_THIS} AND r.claim_id = :claim_id::uuid
"""

_FINISH = f"""
WITH finished AS (
    UPDATE requested_renditions AS r
    SET object_key = :object_key, claim_id = NULL, making_until = now(), asked_at = now(),
        failures = 0
    FROM images AS i
    WHERE {_THIS} AND r.claim_id = :claim_id::uuid
      AND i.id = r.image_id AND i.deleted_at IS NULL AND i.object_key = r.source_key
    RETURNING r.image_id
)
SELECT EXISTS (SELECT FROM finished)
    OR EXISTS (SELECT FROM requested_renditions AS r
               WHERE {_THIS} AND r.object_key = :object_key)
"""

_EVICT = """
DELETE FROM requested_renditions AS r
USING (SELECT e.width, e.ratio, e.format
       FROM (SELECT o.width, o.ratio, o.format FROM requested_renditions AS o
             WHERE o.image_id = :image_id AND o.object_key IS NOT NULL
             ORDER BY o.asked_at DESC, o.making_until DESC
             OFFSET :per_image::integer) AS p
       JOIN requested_renditions AS e
           ON e.image_id = :image_id AND e.width = p.width AND e.ratio = p.ratio
          AND e.format = p.format
       FOR UPDATE OF e SKIP LOCKED) AS old
WHERE r.image_id = :image_id AND r.width = old.width AND r.ratio = old.ratio
  AND r.format = old.format
"""

_FORGET_UNMADE = """
WITH forgotten AS (
    DELETE FROM requested_renditions AS r
    USING (SELECT o.image_id, o.width, o.ratio, o.format FROM requested_renditions AS o
           WHERE o.object_key IS NULL AND o.making_until < now() - interval '1 day'
           ORDER BY o.making_until LIMIT :batch_size FOR UPDATE SKIP LOCKED) AS old
    WHERE r.image_id = old.image_id AND r.width = old.width AND r.ratio = old.ratio
      AND r.format = old.format
    RETURNING r.image_id
)
SELECT count(*) FROM forgotten
"""

_FORGET_COUNTS = f"""
WITH forgotten AS (
    DELETE FROM new_renditions WHERE key = ANY(ARRAY(
        SELECT n.key FROM new_renditions AS n
        WHERE n.window_started_at < now() - interval '{_WINDOW_SECONDS} seconds'
        ORDER BY n.window_started_at LIMIT :batch_size FOR UPDATE SKIP LOCKED))
    RETURNING key
)
SELECT count(*) FROM forgotten
"""


class PostgresRenditionRecords:
    def __init__(self, database: Database, limits: RenditionLimits) -> None:
        self._database = database
        self._limits = limits

    def find(self, viewer: Viewer, image_id: int, asked: Asked) -> FoundRendition | None:
        across, down = asked.proportions or (None, None)
        still, moving = asked.formats
        row = self._database.only_row(
            _FIND,
            image_id=image_id,
            user_id=viewer.user_id,
            generation=None if viewer.link is None else viewer.link.generation,
            public_secret=None if viewer.link is None else viewer.link.public_secret,
            width=asked.width,
            across=across,
            down=down,
            ratio=asked.ratio or "",
            still=still,
            moving=moving,
        )
        if not row[0]:
            raise Unauthenticated(NO_LONGER_SIGNED_IN)
        if row[1] is None:
            return None
        width, made_of, title, status, is_rendered, is_public, source_key = row[2:9]
        object_key, claim_id, age_seconds, seconds_left, failures, is_long_unused = row[9:]
        return FoundRendition(
            key=RenditionKey(image_id, width, asked.ratio or "", made_of),
            title=title,
            status=status,
            is_rendered=is_rendered,
            is_public=is_public,
            source_key=source_key,
            object_key=object_key,
            making=None if claim_id is None else Making(claim_id, age_seconds, seconds_left),
            failures=failures or 0,
            failed_seconds_ago=-(seconds_left or 0.0),
            is_long_unused=bool(is_long_unused),
        )

    def touch(self, key: RenditionKey) -> None:
        self._database.rows(_TOUCH, **_of(key))

    def claim(self, viewer: Viewer, found: FoundRendition, claim_id: str) -> bool:
        with self._database.transaction():
            row = self._database.row(
                _CLAIM, **_of(found.key), source_key=found.source_key, claim_id=claim_id
            )
            if row is None:
                return False
            if self._limits.new_per_minute:
                is_counted, wait_seconds = self._database.only_row(
                    _COUNT, key=_key_of(viewer), per_minute=self._limits.new_per_minute
                )
                if not is_counted:
                    # What was claimed is rolled back.
                    raise TooManyRenditions(wait_seconds)
        return True

    def release(self, key: RenditionKey, claim_id: str) -> None:
        self._database.rows(_RELEASE, **_of(key), claim_id=claim_id)

    def fail(self, key: RenditionKey, claim_id: str, reason: str, *, is_final: bool) -> None:
        self._database.rows(_FAIL, **_of(key), claim_id=claim_id, reason=reason, is_final=is_final)

    def finish(self, key: RenditionKey, claim_id: str, made: StoredRendition) -> bool:
        row = self._database.only_row(
            _FINISH, **_of(key), claim_id=claim_id, object_key=made.object_key
        )
        if self._limits.per_image:
            self._database.rows(_EVICT, image_id=key.image_id, per_image=self._limits.per_image)
        return bool(row[0])

    def forget_unmade(self, batch_size: int) -> int:
        """How many rows left: claims and failures of yesterday."""
        return self._database.number(_FORGET_UNMADE, batch_size=batch_size)

    def forget_counts(self, batch_size: int) -> int:
        return self._database.number(_FORGET_COUNTS, batch_size=batch_size)


def _of(key: RenditionKey) -> dict[str, Any]:
    return {
        "image_id": key.image_id,
        "width": key.width,
        "ratio": key.ratio,
        "format": key.format,
    }


def _key_of(viewer: Viewer) -> bytes:
    who = f"address {viewer.address}" if viewer.user_id is None else f"user {viewer.user_id}"
    return hashlib.sha256(who.encode()).digest()
