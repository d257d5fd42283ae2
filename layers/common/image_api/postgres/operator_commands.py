"""What operators look at in the database, and what they do to accounts."""

from __future__ import annotations

from typing import Any

from image_api.core.upkeep.operator_commands import Backlog
from image_api.postgres import users
from image_api.postgres.closed_accounts import CLOSE_FOR_OPERATOR
from image_api.postgres.database import Database

_BACKLOG = """
SELECT (SELECT a.version_num FROM alembic_version AS a),
       (SELECT count(*) FROM (
            SELECT FROM changes AS c WHERE c.settled_at IS NULL LIMIT 10000) AS unsettled),
       coalesce((SELECT extract(epoch FROM now() - c.accepted_at)
                 FROM changes AS c WHERE c.settled_at IS NULL ORDER BY c.id LIMIT 1), 0)::float8
"""

# An account that was deleted keeps its row, and has this generation of tokens no more.
_IS_THERE = "u.token_generation >= 0"

_ACCOUNT = f"""
SELECT json_build_object(
    'id', u.id, 'username', u.username, 'created_at', rfc3339(u.created_at),
    'locked_at', rfc3339(u.locked_at), 'images', coalesce(a.images, 0),
    'bytes', coalesce(a.bytes, 0), 'unfinished_changes', coalesce(a.unfinished_changes, 0))
FROM users AS u LEFT JOIN account_usage AS a ON a.user_id = u.id
WHERE u.id = :user_id AND {_IS_THERE}
"""

_USER_ID = """
SELECT u.id FROM users AS u WHERE u.username_key IN (:username_key, :typed_key)
ORDER BY u.username_key = :typed_key DESC LIMIT 1
"""

# All tokens end with it, as when somebody changes their password.
_LOCK = f"""
UPDATE users AS u
SET locked_at = coalesce(u.locked_at, now()), token_generation = u.token_generation + 1
WHERE u.id = :user_id AND {_IS_THERE}
RETURNING u.id
"""

_UNLOCK = (
    f"UPDATE users AS u SET locked_at = NULL WHERE u.id = :user_id AND {_IS_THERE} RETURNING u.id"
)

_END_TOKENS = f"""
UPDATE users AS u SET token_generation = u.token_generation + 1
WHERE u.id = :user_id AND {_IS_THERE}
RETURNING u.id
"""

_SET_PASSWORD = f"""
UPDATE users AS u
SET password_hash = :password_hash, token_generation = u.token_generation + 1
WHERE u.id = :user_id AND {_IS_THERE}
RETURNING u.id
"""


class PostgresOperatorRecords:
    def __init__(self, database: Database) -> None:
        self._database = database

    def backlog(self) -> Backlog:
        return Backlog(*self._database.only_row(_BACKLOG))

    def user_id(self, username_key: str, typed_key: str) -> int | None:
        row = self._database.row(_USER_ID, username_key=username_key, typed_key=typed_key)
        return None if row is None else int(row[0])

    def account(self, user_id: int) -> dict[str, Any] | None:
        row = self._database.row(_ACCOUNT, user_id=user_id)
        return None if row is None else dict(row[0])

    def lock(self, user_id: int) -> bool:
        return self._database.row(_LOCK, user_id=user_id) is not None

    def unlock(self, user_id: int) -> bool:
        return self._database.row(_UNLOCK, user_id=user_id) is not None

    def end_tokens(self, user_id: int) -> bool:
        return self._database.row(_END_TOKENS, user_id=user_id) is not None

    def set_password(self, user_id: int, password_hash: str) -> bool:
        row = self._database.row(_SET_PASSWORD, user_id=user_id, password_hash=password_hash)
        return row is not None

    def close(self, user_id: int, correlation_id: str) -> bool:
        return bool(
            self._database.number(
                CLOSE_FOR_OPERATOR, user_id=user_id, correlation_id=correlation_id
            )
        )

    def forget_failures(self, username_key: str) -> None:
        users.forget_failures(self._database, username_key)
