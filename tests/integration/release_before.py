"""What the release before the log did in the database, by its own statements, word for word.

It may still run while a deployment replaces it, and runs again after one that is rolled back.
"""

from __future__ import annotations

import json
from itertools import count
from typing import Any

from image_api.core.change_log import events
from image_api.core.change_log.events import Event
from image_api.postgres.database import Database

_ACCEPT_UPLOAD = """
WITH added AS (
    INSERT INTO images (user_id, title, visibility, original_key, object_key,
                        content_type, size_bytes, width, height)
    SELECT u.id, :title, :visibility, :original_key, :original_key,
           :content_type, :size_bytes, :width, :height
    FROM users AS u WHERE u.id = :user_id
    RETURNING id, accepted_sequence
), event AS (
    INSERT INTO outbox (event_id, type, image_id, sequence, data, correlation_id)
    SELECT :event_id, 'image.upload.requested', a.id, a.accepted_sequence, :data, :correlation_id
    FROM added AS a
    RETURNING image_id, sequence, rfc3339(created_at)
)
SELECT * FROM event
"""

_ACCEPT_UPDATE = """
WITH changed AS (
    UPDATE images
    SET status = 'processing', error = NULL, updated_at = now(),
        accepted_sequence = accepted_sequence + 1
    WHERE id = :image_id AND user_id = :user_id AND deleted_at IS NULL
    RETURNING id, accepted_sequence
), event AS (
    INSERT INTO outbox (event_id, type, image_id, sequence, data, correlation_id)
    SELECT :event_id, 'image.update.requested', c.id, c.accepted_sequence, :data, :correlation_id
    FROM changed AS c
    RETURNING image_id, sequence, rfc3339(created_at) AS created_at
)
SELECT * FROM event
"""

_ACCEPT_DELETE = """
WITH changed AS (
    UPDATE images
    SET deleted_at = now(), updated_at = now(), accepted_sequence = accepted_sequence + 1
    WHERE id = :image_id AND user_id = :user_id AND deleted_at IS NULL
    RETURNING id, accepted_sequence
), event AS (
    INSERT INTO outbox (event_id, type, image_id, sequence, data, correlation_id)
    SELECT :event_id, 'image.delete.requested', c.id, c.accepted_sequence, :data, :correlation_id
    FROM changed AS c
    RETURNING image_id, sequence, rfc3339(created_at) AS created_at
)
SELECT * FROM event
"""

_FORGET = "DELETE FROM outbox WHERE event_id = :event_id"

_COMPLETE = """
WITH changed AS (
    UPDATE images AS i
    SET title = coalesce(:title, i.title),
        visibility = coalesce(:visibility, i.visibility),
        status = CASE WHEN i.accepted_sequence > :sequence THEN 'processing' ELSE 'ready' END,
        error = NULL,
        updated_at = now(),
        applied_sequence = :sequence,
        rendered_at = coalesce(i.rendered_at, now())
    WHERE i.id = :image_id AND i.applied_sequence = :sequence - 1
    RETURNING i.id
), received AS (
    INSERT INTO inbox (event_id) SELECT :event_id::uuid FROM changed
)
INSERT INTO outbox (event_id, type, image_id, sequence, data, correlation_id)
SELECT gen_random_uuid(), :outcome_type, c.id, :sequence, '{}', :correlation_id
FROM changed AS c
RETURNING event_id
"""

_FAIL = """
WITH changed AS (
    UPDATE images AS i
    SET status = CASE WHEN i.accepted_sequence > :sequence THEN 'processing' ELSE 'failed' END,
        error = :reason,
        updated_at = now(),
        applied_sequence = :sequence
    WHERE i.id = :image_id AND i.applied_sequence < :sequence
    RETURNING i.id, i.user_id
), received AS (
    INSERT INTO inbox (event_id) SELECT :event_id::uuid FROM changed
)
INSERT INTO outbox (event_id, type, image_id, sequence, data, correlation_id)
SELECT gen_random_uuid(), :outcome_type, c.id, :sequence, '{}', :correlation_id
FROM changed AS c
RETURNING event_id
"""

_REMOVE = """
WITH removed AS (
    DELETE FROM images AS i
    WHERE i.id = :image_id AND i.applied_sequence = :sequence - 1
    RETURNING i.id, i.user_id
), received AS (
    INSERT INTO inbox (event_id) SELECT :event_id::uuid FROM removed
)
INSERT INTO outbox (event_id, type, image_id, sequence, data, correlation_id)
SELECT gen_random_uuid(), :outcome_type, r.id, :sequence, '{}', :correlation_id
FROM removed AS r
RETURNING event_id
"""


class ReleaseBefore:
    """One user, who has id 1. An event that was published is no longer in the outbox."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._numbers = count(1)
        database.rows(
            "INSERT INTO users (username, username_key, password_hash) VALUES ('a', 'a', 'h')"
        )

    def upload(self, *, published: bool = False) -> Event:
        data = {"user_id": 1, "object_key": f"storage/{next(self._numbers):032x}/original.png"}
        return self._accept(
            _ACCEPT_UPLOAD,
            events.UPLOAD_REQUESTED,
            data,
            published,
            title="photo.png",
            visibility="shared",
            original_key=data["object_key"],
            content_type="image/png",
            size_bytes=1,
            width=640,
            height=480,
        )

    def update(self, image_id: int, title: str, *, published: bool = False) -> Event:
        data = {"user_id": 1, "changes": {"title": title}}
        return self._accept(
            _ACCEPT_UPDATE, events.UPDATE_REQUESTED, data, published, image_id=image_id
        )

    def delete(self, image_id: int, *, published: bool = False) -> Event:
        return self._accept(
            _ACCEPT_DELETE, events.DELETE_REQUESTED, {"user_id": 1}, published, image_id=image_id
        )

    def publish(self, event: Event) -> None:
        self._database.rows(_FORGET, event_id=event.id)

    def complete(self, event: Event) -> bool:
        """Whether it was this delivery that applied it, as with all that settle."""
        changes = event.data.get("changes") or {}
        return self._settle(
            _COMPLETE, event, title=changes.get("title"), visibility=changes.get("visibility")
        )

    def fail(self, event: Event, reason: str) -> bool:
        return self._settle(_FAIL, event, reason=reason)

    def remove(self, event: Event) -> bool:
        return self._settle(_REMOVE, event)

    def _accept(
        self,
        statement: str,
        event_type: str,
        data: dict[str, Any],
        published: bool,
        **parameters: Any,
    ) -> Event:
        event_id = events.new_id()
        row = self._database.row(
            statement,
            event_id=event_id,
            user_id=1,
            data=json.dumps(data),
            correlation_id="request-1",
            **parameters,
        )
        assert row is not None
        event = Event(event_id, event_type, row[0], row[1], data, "request-1", row[2])
        if published:
            self.publish(event)
        return event

    def _settle(self, statement: str, event: Event, **parameters: Any) -> bool:
        row = self._database.row(
            statement,
            event_id=event.id,
            image_id=event.image_id,
            sequence=event.sequence,
            outcome_type=event.type.replace("requested", "settled"),
            correlation_id=event.correlation_id,
            **parameters,
        )
        return row is not None
