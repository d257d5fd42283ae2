"""What the release before the log left behind, or still does while a deployment replaces it.

The next release drops this module with the tables `outbox`, `inbox` and `changes_in_broker`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from image_api.core.change_log.events import Event
from image_api.postgres.database import Database, StatementFailed

# Of what was accepted before and not applied, only the broker knows what it says: a message is
# believed once. Where the change is known under another id, or void, it counts as applied.
_BELIEVE = """
WITH believed AS (
    DELETE FROM changes_in_broker WHERE image_id = :image_id AND sequence = :sequence
    RETURNING image_id, sequence
), added AS (
    INSERT INTO changes (change_id, user_id, image_id, sequence, type, data, correlation_id,
                         published_at)
    SELECT :event_id::uuid, i.user_id, b.image_id, b.sequence, :event_type::text, :data::jsonb,
           left(:correlation_id, 128), now()
    FROM believed AS b JOIN images AS i ON i.id = b.image_id
    ON CONFLICT DO NOTHING
    RETURNING change_id
), known AS (
    INSERT INTO inbox (event_id)
    SELECT :event_id::uuid FROM believed WHERE NOT EXISTS (SELECT FROM added)
    ON CONFLICT DO NOTHING
)
SELECT count(*) FROM believed
"""

_WAS_APPLIED = "SELECT EXISTS (SELECT FROM inbox AS b WHERE b.event_id = :event_id::uuid)"

# What had failed before and is sent back from among the dead letters: as the log's own, by its row.
_REOPEN = """
WITH image AS (
    UPDATE images AS i
    SET applied_sequence = :sequence - 1, status = 'processing', error = NULL, updated_at = now()
    WHERE i.id = :image_id AND i.applied_sequence = :sequence AND i.status = 'failed'
      AND i.deleted_at IS NULL
      AND NOT EXISTS (SELECT FROM changes AS c
                      WHERE c.image_id = :image_id AND c.sequence >= :sequence)
      AND EXISTS (SELECT FROM inbox AS b WHERE b.event_id = :event_id::uuid)
    RETURNING i.id, i.user_id
)
INSERT INTO changes (change_id, user_id, image_id, sequence, type, data, correlation_id,
                     published_at)
SELECT :event_id::uuid, i.user_id, i.id, :sequence, :event_type::text, :data::jsonb,
       left(:correlation_id, 128), now()
FROM image AS i
RETURNING change_id
"""

# Outcomes, and requests whose rows the log has as well: those of code that still runs.
_OUTBOX = """
SELECT id, event_id::text, type, image_id, sequence, data, correlation_id, rfc3339(created_at)
FROM outbox
WHERE created_at < now() - make_interval(secs => :grace_seconds::integer) AND id > :after_id
ORDER BY id
LIMIT :batch_size
"""

_EMPTY_OUTBOX = "DELETE FROM outbox WHERE event_id = ANY(:event_ids::text[]::uuid[])"

# What no message told of within a day was lost before there was a log. Of an upload the stored file
# says enough; of an update nobody knows what it was, so it fails.
_GIVE_UP_LOST = """
WITH lost AS (
    DELETE FROM changes_in_broker AS b
    USING images AS i
    WHERE i.id = b.image_id AND b.sequence = i.applied_sequence + 1
      AND b.noticed_at < now() - interval '1 day'
    RETURNING i.user_id, b.image_id, b.sequence
)
INSERT INTO changes (change_id, user_id, image_id, sequence, type, data, correlation_id,
                     published_at)
SELECT gen_random_uuid(), l.user_id, l.image_id, l.sequence,
       CASE WHEN l.sequence = 1 THEN 'image.upload.requested' ELSE 'image.update.requested' END,
       CASE WHEN l.sequence = 1 THEN jsonb_build_object('user_id', l.user_id)
            ELSE jsonb_build_object('user_id', l.user_id, 'changes', 'lost') END,
       '', now()
FROM lost AS l
ON CONFLICT DO NOTHING
"""

_FORGET_INBOX = """
WITH forgotten AS (
    DELETE FROM inbox WHERE event_id = ANY(ARRAY(
        SELECT b.event_id FROM inbox AS b
        WHERE b.applied_at < now() - interval '30 days' ORDER BY b.applied_at LIMIT :batch_size))
    RETURNING event_id
)
SELECT count(*) FROM forgotten
"""


class BeforeTheLog:
    def __init__(self, database: Database) -> None:
        self._database = database

    def believe(self, event: Event) -> bool:
        """Whether the log knows the change now, under this id or another."""
        try:
            row = self._database.row(_BELIEVE, **_parameters(event))
        except StatementFailed:
            # It says what no row can hold, so it was never accepted.
            return False
        return row is not None and bool(row[0])

    def was_applied(self, event: Event) -> bool:
        row = self._database.row(_WAS_APPLIED, event_id=event.id)
        return row is not None and bool(row[0])

    def reopen(self, event: Event) -> bool:
        try:
            return self._database.row(_REOPEN, **_parameters(event)) is not None
        except StatementFailed:
            return False

    def unpublished(
        self, after_id: int, batch_size: int, grace_seconds: int
    ) -> list[tuple[int, Event]]:
        rows = self._database.rows(
            _OUTBOX, after_id=after_id, batch_size=batch_size, grace_seconds=grace_seconds
        )
        return [(row[0], Event(*row[1:])) for row in rows]

    def mark_published(self, published: Sequence[Event]) -> None:
        self._database.rows(_EMPTY_OUTBOX, event_ids=[event.id for event in published])

    def forget_old(self, batch_size: int) -> int:
        self._database.rows(_GIVE_UP_LOST)
        return self._database.number(_FORGET_INBOX, batch_size=batch_size)


def _parameters(event: Event) -> dict[str, Any]:
    return {
        "event_id": event.id,
        "event_type": event.type,
        "image_id": event.image_id,
        "sequence": event.sequence,
        "data": json.dumps(event.data),
        "correlation_id": event.correlation_id,
    }
