"""The table `owed_letters`: dead letters that the broker is not known to have."""

from __future__ import annotations

from image_api.core.change_log.dead_letters import (
    LETTER_GRACE_SECONDS,
    LETTER_PAUSE_SECONDS,
    Letter,
)
from image_api.core.change_log.events import Event
from image_api.postgres.database import Database

# A step of the statement that gives a change up, after its step `written`, which has a row if it
# does. One that is owed still is the same letter.
OWE_LETTER = f"""
    INSERT INTO owed_letters (change_id, reason, attempts, due_at)
    SELECT :change_id::uuid, :reason, :attempts::integer,
           now() + interval '{LETTER_GRACE_SECONDS} seconds'
    FROM written
    WHERE :owes_letter::boolean
    ON CONFLICT (change_id) DO UPDATE
    SET reason = excluded.reason, attempts = excluded.attempts, due_at = excluded.due_at
"""

# Whoever gets them has some minutes for it. One whose row is held waits, and holds up no other: a
# letter that is sent and not written down would be sent again.
_DUE = f"""
UPDATE owed_letters AS o
SET due_at = now() + interval '{LETTER_PAUSE_SECONDS} seconds'
FROM changes AS c
WHERE o.change_id = ANY(ARRAY(
    SELECT d.change_id FROM owed_letters AS d
    WHERE d.due_at <= now()
    ORDER BY d.due_at LIMIT :most FOR UPDATE SKIP LOCKED))
  AND c.change_id = o.change_id
RETURNING c.change_id::text, c.type, c.image_id, c.sequence, c.data, c.correlation_id,
          rfc3339(c.accepted_at), c.traceparent, c.client_correlation_id, o.reason, o.attempts
"""

_SENT = "DELETE FROM owed_letters WHERE change_id = :event_id::uuid"


class PostgresLetterRecords:
    def __init__(self, database: Database) -> None:
        self._database = database

    def due_letters(self, most: int) -> list[Letter]:
        rows = self._database.rows(_DUE, most=most)
        return [Letter(Event(*row[:9]), row[9], row[10]) for row in rows]

    def letter_sent(self, event: Event) -> None:
        self._database.rows(_SENT, event_id=event.id)
