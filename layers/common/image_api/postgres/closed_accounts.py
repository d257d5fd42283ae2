"""The table `closed_accounts`: what is left of accounts that were deleted leaves step by step."""

from __future__ import annotations

from image_api.core.change_log import events
from image_api.postgres.acceptance import insert_removals
from image_api.postgres.database import Database


def owner_stays(image: str) -> str:
    """Part of every statement that shows images of others, by the alias of what has `user_id`: from
    the deletion of an account on nobody sees one of its images, however many there are.
    """
    return f"{image}.user_id NOT IN (SELECT c.user_id FROM closed_accounts AS c)"


# The name is free, and no token or password is good: there is none of this generation, nor a hash
# that is none. A name's key never has a control character. The number stays, and is nobody's.
# Whoever uploads for the account holds its row: this waits for them, and then there are no more.
def _close(who_may: str) -> str:
    return f"""
WITH closed AS (
    UPDATE users AS u
    SET username = 'deleted', username_key = chr(1) || u.id, password_hash = '',
        token_generation = -1
    WHERE u.id = :user_id AND {who_may}
    RETURNING u.id
), noted AS (
    INSERT INTO closed_accounts (user_id, correlation_id)
    SELECT c.id, :correlation_id::text FROM closed AS c
)
SELECT count(*) FROM closed
"""


CLOSE = _close("u.token_generation = :token_generation AND u.password_hash = :password_hash")
CLOSE_FOR_OPERATOR = _close("u.token_generation >= 0")

# Whoever is looked at longest ago. Runs side by side take different ones.
_NEXT = """
UPDATE closed_accounts AS c SET looked_at = clock_timestamp()
WHERE c.user_id = (
    SELECT l.user_id FROM closed_accounts AS l
    WHERE l.looked_at < :run_started_at::text::timestamptz
    ORDER BY l.looked_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING c.user_id
"""

# As if the owner had deleted one after the other: each is gone from the lists, and the log has a
# change that removes it. Rows are locked in the order of ids, and in the order of tables in which
# everybody locks them.
_REMOVE_IMAGES = f"""
WITH chosen AS (
    SELECT i.id FROM images AS i
    WHERE i.user_id = :user_id AND i.deleted_at IS NULL
      AND i.user_id IN (SELECT c.user_id FROM closed_accounts AS c)
    ORDER BY i.id LIMIT :batch_size
    FOR NO KEY UPDATE
), hidden AS (
    UPDATE images AS i
    SET deleted_at = now(), updated_at = now(), accepted_sequence = i.accepted_sequence + 1
    FROM chosen AS c WHERE i.id = c.id
    RETURNING i.user_id, i.id AS image_id, i.accepted_sequence AS sequence
), accepted AS ({
    insert_removals(
        "hidden AS c ORDER BY c.image_id",
        "(SELECT a.correlation_id FROM closed_accounts AS a WHERE a.user_id = :user_id)",
    )
})
SELECT count(*) FROM accepted
"""

# Not with `=`, and ordered by both: in a log of few accounts the planner takes any account for
# most of it, and would read it all.
_OF_ACCOUNT = f"""changes AS l
        WHERE l.user_id >= :user_id AND l.user_id <= :user_id
          AND l.type <> '{events.DELETE_REQUESTED}'"""

# Whatever the account has beside its images. What is accepted and not done, or not told, stays
# until it is; and so does what was removed, which whoever hears of the account's images from the
# log has to learn, and which names nobody.
_FORGET = f"""
WITH keys AS (
    DELETE FROM idempotency_keys WHERE (user_id, key) IN (
        SELECT k.user_id, k.key FROM idempotency_keys AS k
        WHERE k.user_id = :user_id LIMIT :batch_size)
    RETURNING user_id
), offers AS (
    DELETE FROM direct_uploads WHERE (user_id, upload_id) IN (
        SELECT d.user_id, d.upload_id FROM direct_uploads AS d
        WHERE d.user_id = :user_id LIMIT :batch_size)
    RETURNING user_id
), networks AS (
    DELETE FROM sign_in_networks WHERE (user_id, network) IN (
        SELECT n.user_id, n.network FROM sign_in_networks AS n
        WHERE n.user_id = :user_id LIMIT :batch_size)
    RETURNING user_id
), families AS (
    DELETE FROM refresh_families WHERE family_id = ANY(ARRAY(
        SELECT f.family_id FROM refresh_families AS f
        WHERE f.user_id = :user_id LIMIT :batch_size))
    RETURNING user_id
), past AS (
    DELETE FROM changes WHERE id = ANY(ARRAY(
        SELECT l.id FROM {_OF_ACCOUNT}
          AND l.settled_at IS NOT NULL AND l.published_at IS NOT NULL
          AND (l.outcome_id IS NULL OR l.outcome_published_at IS NOT NULL)
        ORDER BY l.user_id, l.id LIMIT :batch_size
        FOR UPDATE SKIP LOCKED))
    RETURNING user_id
)
SELECT (SELECT count(*) FROM keys) + (SELECT count(*) FROM offers)
     + (SELECT count(*) FROM networks) + (SELECT count(*) FROM families)
     + (SELECT count(*) FROM past)
"""

# An image that is not removed yet has a change that is not finished.
_FINISH = f"""
WITH finished AS (
    DELETE FROM closed_accounts AS c USING account_usage AS a
    WHERE c.user_id = :user_id AND a.user_id = c.user_id
      AND a.images = 0 AND a.unfinished_changes = 0
      AND (SELECT count(*) FROM (SELECT FROM {_OF_ACCOUNT}
                                 ORDER BY l.user_id, l.id LIMIT 1) AS one) = 0
    RETURNING c.user_id
), totals AS (
    DELETE FROM image_totals AS t USING finished AS f WHERE t.user_id = f.user_id AND t.images = 0
)
SELECT count(*) FROM finished
"""


class PostgresClosedAccounts:
    def __init__(self, database: Database) -> None:
        self._database = database

    def now(self) -> str:
        return self._database.now()

    def next_closed(self, run_started_at: str) -> int | None:
        row = self._database.row(_NEXT, run_started_at=run_started_at)
        return int(row[0]) if row is not None else None

    def remove_images(self, user_id: int, batch_size: int) -> int:
        return self._database.number(_REMOVE_IMAGES, user_id=user_id, batch_size=batch_size)

    def forget(self, user_id: int, batch_size: int) -> int:
        return self._database.number(_FORGET, user_id=user_id, batch_size=batch_size)

    def finish(self, user_id: int) -> bool:
        return bool(self._database.number(_FINISH, user_id=user_id))
