"""The table `changes`, as an image's owner and as a service that joins late read it."""

from __future__ import annotations

from typing import Any

import orjson

from image_api.core.change_log.events import Event
from image_api.core.change_log.replay import Position
from image_api.errors import Unauthenticated
from image_api.postgres.database import Database
from image_api.postgres.token_checks import IS_SIGNED_IN, NO_LONGER_SIGNED_IN

_HISTORY = f"""
SELECT {IS_SIGNED_IN},
       EXISTS (SELECT FROM images AS i
               WHERE i.id = :image_id AND i.user_id = :user_id AND i.deleted_at IS NULL),
       (SELECT coalesce(json_agg(json_build_object(
            'version', c.sequence, 'change', split_part(c.type, '.', 2),
            'changes', CASE jsonb_typeof(c.data -> 'changes')
                       WHEN 'object' THEN c.data -> 'changes' ELSE '{{}}' END,
            'accepted_at', rfc3339(c.accepted_at), 'settled_at', rfc3339(c.settled_at),
            'outcome', c.outcome, 'attempts', c.attempts, 'reason', c.reason)
            ORDER BY c.sequence DESC), '[]')::text
        FROM (SELECT c.* FROM changes AS c
              WHERE c.image_id = :image_id AND c.user_id = :user_id
                AND (:kept_days::integer IS NULL
                     OR c.accepted_at > now() - make_interval(days => :kept_days::integer))
              ORDER BY c.sequence DESC LIMIT :row_limit) AS c)
"""

# Requests by when they were accepted and outcomes by when they came, in one order: by the moment,
# then the kind, then the id of the row.
_EVENTS = """
WITH span AS (
    SELECT :since::text::timestamptz AS since, :until::text::timestamptz AS until,
           :after_moment::text::timestamptz AS moment, :after_kind::integer AS kind,
           :after_id::bigint AS id
)
SELECT e.moment::text, e.kind, e.id, e.event_id::text, e.type, e.image_id, e.sequence, e.data,
       e.correlation_id, rfc3339(e.moment), e.traceparent, e.client_correlation_id
FROM (
    (SELECT c.accepted_at AS moment, 0 AS kind, c.id, c.change_id AS event_id, c.type, c.image_id,
            c.sequence, c.data, c.correlation_id, c.traceparent, c.client_correlation_id
     FROM changes AS c
     WHERE c.accepted_at >= (SELECT greatest(s.since, s.moment) FROM span AS s)
       AND c.accepted_at < (SELECT s.until FROM span AS s)
       AND (c.accepted_at, 0, c.id) > (SELECT s.moment, s.kind, s.id FROM span AS s)
     ORDER BY c.accepted_at, c.id LIMIT :batch_size)
    UNION ALL
    (SELECT c.settled_at, 1, c.id, c.outcome_id, c.outcome_type, c.image_id,
            c.sequence, c.outcome_data, c.correlation_id, c.traceparent, c.client_correlation_id
     FROM changes AS c
     WHERE c.outcome_id IS NOT NULL AND c.settled_at IS NOT NULL
       AND c.settled_at >= (SELECT greatest(s.since, s.moment) FROM span AS s)
       AND c.settled_at < (SELECT s.until FROM span AS s)
       AND (c.settled_at, 1, c.id) > (SELECT s.moment, s.kind, s.id FROM span AS s)
     ORDER BY c.settled_at, c.id LIMIT :batch_size)
) AS e
ORDER BY e.moment, e.kind, e.id
LIMIT :batch_size
"""


class PostgresHistory:
    def __init__(self, database: Database) -> None:
        self._database = database

    def history(
        self, user_id: int, image_id: int, kept_days: int | None, limit: int
    ) -> list[dict[str, Any]] | None:
        user_exists, is_own, changes = self._database.only_row(
            _HISTORY, user_id=user_id, image_id=image_id, kept_days=kept_days, row_limit=limit
        )
        if not user_exists:
            raise Unauthenticated(NO_LONGER_SIGNED_IN)
        if not is_own:
            return None
        found: list[dict[str, Any]] = orjson.loads(changes)
        return found

    def now(self) -> str:
        return self._database.now()

    def events(
        self, since: str, until: str, after: Position, batch_size: int
    ) -> list[tuple[Position, Event]]:
        rows = self._database.rows(
            _EVENTS,
            since=since,
            until=until,
            after_moment=after.moment,
            after_kind=after.kind,
            after_id=after.row_id,
            batch_size=batch_size,
        )
        return [(Position(*row[:3]), Event(*row[3:])) for row in rows]
