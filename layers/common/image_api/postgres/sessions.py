"""The tables `refresh_families` and `used_refresh_tokens`."""

from __future__ import annotations

from image_api.core.accounts.sessions import REFRESH_TOKEN_TTL_SECONDS, REPEAT_SECONDS, Rotation
from image_api.postgres.database import RELAXED, Database

# What a crash of the server takes with it, here and below, signs somebody out.
_BEGIN = f"""
INSERT INTO refresh_families (family_id, user_id, token_generation, current_hash, expires_at)
SELECT :family_id::uuid, :user_id::bigint, :generation::integer, :token_hash::bytea,
       now() + make_interval(secs => :ttl_seconds::integer)
FROM {RELAXED}
"""

# A family's row is locked, so that of many who present its token at once one gets the successor
# made, and the others find it.
_ROTATE = f"""
WITH family AS (
    SELECT f.family_id, f.user_id, f.token_generation
    FROM refresh_families AS f JOIN users AS u ON u.id = f.user_id
    WHERE f.family_id = :family_id::uuid AND f.current_hash = :token_hash::bytea
      AND f.expires_at > now() AND f.token_generation = u.token_generation
    FOR NO KEY UPDATE OF f
), rotated AS (
    UPDATE refresh_families AS f
    SET current_hash = :successor_hash::bytea,
        expires_at = now() + make_interval(secs => :ttl_seconds::integer)
    FROM family AS h, {RELAXED} WHERE f.family_id = h.family_id
    RETURNING f.family_id, f.user_id, f.token_generation
), used AS (
    INSERT INTO used_refresh_tokens (token_hash, family_id, sealed_successor)
    SELECT :token_hash::bytea, r.family_id, :sealed_successor::bytea FROM rotated AS r
)
SELECT r.user_id, r.token_generation FROM rotated AS r
"""

# A statement of its own: it sees what those have written for whom the one before has waited.
_REPEAT = """
WITH family AS (
    SELECT f.family_id, f.user_id, f.token_generation
    FROM refresh_families AS f JOIN users AS u ON u.id = f.user_id
    WHERE f.family_id = :family_id::uuid
      AND f.expires_at > now() AND f.token_generation = u.token_generation
), used AS (
    SELECT t.sealed_successor FROM used_refresh_tokens AS t JOIN family AS h USING (family_id)
    WHERE t.token_hash = :token_hash::bytea
      AND t.used_at > now() - make_interval(secs => :repeat_seconds::integer)
), ended AS (
    DELETE FROM refresh_families AS f USING family AS h
    WHERE f.family_id = h.family_id AND NOT EXISTS (SELECT FROM used)
)
SELECT h.user_id, h.token_generation, (SELECT t.sealed_successor FROM used AS t)
FROM family AS h
"""

_END = "DELETE FROM refresh_families WHERE family_id = :family_id::uuid"

_FORGET_USED = """
WITH forgotten AS (
    DELETE FROM used_refresh_tokens WHERE token_hash = ANY(ARRAY(
        SELECT t.token_hash FROM used_refresh_tokens AS t
        WHERE t.used_at < now() - make_interval(secs => :repeat_seconds::integer)
        ORDER BY t.used_at LIMIT :batch_size))
    RETURNING token_hash
)
SELECT count(*) FROM forgotten
"""

_FORGET_EXPIRED = """
WITH forgotten AS (
    DELETE FROM refresh_families
    WHERE family_id = ANY(ARRAY(
        SELECT f.family_id FROM refresh_families AS f
        WHERE f.expires_at < now() ORDER BY f.expires_at LIMIT :batch_size))
      AND expires_at < now()
    RETURNING family_id
)
SELECT count(*) FROM forgotten
"""


class PostgresSessionRecords:
    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, user_id: int, generation: int, family_id: str, token_hash: bytes) -> None:
        self._database.rows(
            _BEGIN,
            user_id=user_id,
            generation=generation,
            family_id=family_id,
            token_hash=token_hash,
            ttl_seconds=REFRESH_TOKEN_TTL_SECONDS,
        )

    def rotate(
        self, family_id: str, token_hash: bytes, successor_hash: bytes, sealed_successor: bytes
    ) -> Rotation | None:
        row = self._database.row(
            _ROTATE,
            family_id=family_id,
            token_hash=token_hash,
            successor_hash=successor_hash,
            sealed_successor=sealed_successor,
            ttl_seconds=REFRESH_TOKEN_TTL_SECONDS,
        )
        if row is not None:
            return Rotation("rotated", *row)
        row = self._database.row(
            _REPEAT, family_id=family_id, token_hash=token_hash, repeat_seconds=REPEAT_SECONDS
        )
        if row is None:
            return None
        return Rotation("reused" if row[2] is None else "repeated", *row)

    def end(self, family_id: str) -> None:
        self._database.rows(_END, family_id=family_id)

    def forget_used(self, batch_size: int) -> int:
        """Those that can no longer be repeated; how many rows left."""
        return self._database.number(
            _FORGET_USED, repeat_seconds=REPEAT_SECONDS, batch_size=batch_size
        )

    def forget_expired(self, batch_size: int) -> int:
        """How many families left."""
        return self._database.number(_FORGET_EXPIRED, batch_size=batch_size)
