"""What operators look at in the database."""

from __future__ import annotations

from typing import Any

from image_api.core.operating import Backlog
from image_api.postgres.database import Database

_BACKLOG = """
SELECT (SELECT a.version_num FROM alembic_version AS a),
       (SELECT count(*) FROM (
            SELECT FROM changes AS c WHERE c.settled_at IS NULL LIMIT 10000) AS unsettled),
       coalesce((SELECT extract(epoch FROM now() - c.accepted_at)
                 FROM changes AS c WHERE c.settled_at IS NULL ORDER BY c.id LIMIT 1), 0)::float8
"""

_ACCOUNT = """
SELECT json_build_object(
    'id', u.id, 'username', u.username, 'created_at', rfc3339(u.created_at),
    'images', a.images, 'bytes', a.bytes, 'unfinished_changes', a.unfinished_changes)
FROM users AS u LEFT JOIN account_usage AS a ON a.user_id = u.id
WHERE u.username_key = :username_key
"""


class PostgresOperatorRecords:
    def __init__(self, database: Database) -> None:
        self._database = database

    def backlog(self) -> Backlog:
        return Backlog(*self._database.only_row(_BACKLOG))

    def account(self, username_key: str) -> dict[str, Any] | None:
        row = self._database.row(_ACCOUNT, username_key=username_key)
        return None if row is None else dict(row[0])
