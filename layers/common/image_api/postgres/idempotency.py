"""The table `idempotency_keys`."""

from __future__ import annotations

from collections.abc import Sequence

from image_api.core.library.idempotency import KEPT_SECONDS, Answer
from image_api.errors import KeyReused, RequestInProgress, Unauthenticated
from image_api.postgres.database import Database
from image_api.postgres.token_checks import IS_SIGNED_IN, NO_LONGER_SIGNED_IN

# Longer than a function may run: a claim whose process died is taken over after that.
LEASE_SECONDS = 60

# Old enough to be forgotten, or of a process that died.
_MAY_BE_TAKEN_OVER = """
    (k.claimed_at < now() - interval '24 hours'
     OR (k.image_id IS NULL AND k.leased_until < now()))
"""

# One that holds is read and not locked: who accepts something has it locked, perhaps while waiting
# for others, and whoever comes meanwhile is not to wait behind them.
_CLAIM = f"""
WITH claimed AS (
    INSERT INTO idempotency_keys AS k (user_id, key, request_hash, claim_id, claimed_at,
                                       leased_until)
    SELECT u.id, :key, :request_hash::bytea, :claim_id::uuid,
           -- All leave a day after this: what is kept longer counts as claimed later.
           now() + make_interval(secs => :kept_seconds::integer) - interval '24 hours',
           now() + make_interval(secs => :lease_seconds::integer)
    FROM users AS u WHERE u.id = :user_id AND u.token_generation = :token_generation
      AND NOT EXISTS (
          SELECT FROM idempotency_keys AS k
          WHERE k.user_id = :user_id AND k.key = :key AND NOT {_MAY_BE_TAKEN_OVER})
    ON CONFLICT (user_id, key) DO UPDATE SET
        (request_hash, claim_id, claimed_at, leased_until, image_id, version, results)
        = (excluded.request_hash, excluded.claim_id, excluded.claimed_at, excluded.leased_until,
           NULL, NULL, NULL)
    WHERE {_MAY_BE_TAKEN_OVER}
    RETURNING k.claim_id
)
SELECT {IS_SIGNED_IN}, EXISTS (SELECT FROM claimed),
       k.request_hash = :request_hash::bytea, k.image_id,
       -- The release before this one kept none.
       coalesce(k.version,
                (SELECT i.accepted_sequence FROM images AS i WHERE i.id = k.image_id), 1),
       k.results
FROM (SELECT 1) AS always
LEFT JOIN idempotency_keys AS k ON k.user_id = :user_id AND k.key = :key
"""

# What was answered before, under another key.
_ANSWER_AS_BEFORE = """
UPDATE idempotency_keys AS k SET image_id = :image_id::bigint, version = :version::integer
WHERE k.claim_id = ANY(:claim_ids::text[]::uuid[]) AND k.image_id IS NULL
"""

_RELEASE = """
DELETE FROM idempotency_keys WHERE claim_id = :claim_id::uuid AND image_id IS NULL
"""

_FORGET_OLD = """
WITH forgotten AS (
    DELETE FROM idempotency_keys WHERE claim_id = ANY(ARRAY(
        SELECT k.claim_id FROM idempotency_keys AS k
        WHERE k.claimed_at < now() - interval '24 hours' ORDER BY k.claimed_at LIMIT :batch_size))
    RETURNING claim_id
)
SELECT count(*) FROM forgotten
"""

# The first step of every statement that accepts something: whoever took the claim over meanwhile
# waits for its end.
HOLD_CLAIMS = """
    SELECT k.claim_id FROM idempotency_keys AS k
    WHERE k.claim_id = ANY(:claim_ids::text[]::uuid[])
    FOR UPDATE
"""

HOLDS_CLAIMS = """
    (SELECT count(*) FROM claim) = cardinality(:claim_ids::text[])
"""

# One of the last, after `changed`.
ANSWER_CLAIMS = """
    UPDATE idempotency_keys AS k SET image_id = c.image_id, version = c.sequence
    FROM changed AS c WHERE k.claim_id = ANY(:claim_ids::text[]::uuid[])
"""


class PostgresKeyRecords:
    def __init__(self, database: Database) -> None:
        self._database = database

    def claim_key(
        self,
        user_id: int,
        key: str,
        request_hash: bytes,
        claim_id: str,
        kept_seconds: int = KEPT_SECONDS,
    ) -> Answer | None:
        exists, is_claimed, is_same, image_id, version, results = self._database.only_row(
            _CLAIM,
            user_id=user_id,
            key=key,
            request_hash=request_hash,
            claim_id=claim_id,
            kept_seconds=kept_seconds,
            lease_seconds=LEASE_SECONDS,
        )
        if not exists:
            raise Unauthenticated(NO_LONGER_SIGNED_IN)
        if is_claimed:
            return None
        if is_same is False:
            raise KeyReused
        # Without an answer, or not even to be seen yet, the first one is still running.
        if image_id is None:
            raise RequestInProgress
        return Answer(int(image_id), int(version), results)

    def answer_claims(self, claim_ids: Sequence[str], answer: Answer) -> None:
        self._database.rows(
            _ANSWER_AS_BEFORE,
            claim_ids=list(claim_ids),
            image_id=answer.image_id,
            version=answer.version,
        )

    def release_key(self, claim_id: str) -> None:
        self._database.rows(_RELEASE, claim_id=claim_id)

    def forget_old_keys(self, batch_size: int) -> int:
        """How many left."""
        return self._database.number(_FORGET_OLD, batch_size=batch_size)
