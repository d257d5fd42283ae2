"""What processing reads and writes in Postgres: each event, its effect and its outcome at once."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from image_api.core import events
from image_api.core.events import Event
from image_api.core.processing import ImageState, StoredRendition
from image_api.postgres.database import Database, UniqueViolation
from image_api.postgres.outbox import INSERT_EVENT, EventPublisher, Outbox

_STATE = """
SELECT EXISTS (SELECT FROM inbox AS b WHERE b.event_id = :event_id::uuid),
       i.original_key, i.applied_sequence, i.rendered_at IS NOT NULL,
       i.status = 'failed', i.deleted_at IS NOT NULL,
       (SELECT json_agg(r.object_key) FROM renditions AS r WHERE r.image_id = i.id)::text
FROM (SELECT 1) AS always
LEFT JOIN images AS i ON i.id = :image_id
"""

# An image with more accepted changes ahead stays `processing` until the last one is applied.
# What is applied after a failure is in the inbox already.
_COMPLETE = f"""
WITH changed AS (
    UPDATE images AS i
    SET title = coalesce(:title, i.title),
        visibility = coalesce(:visibility, i.visibility),
        status = CASE WHEN i.accepted_sequence > :sequence THEN 'processing' ELSE 'ready' END,
        error = NULL,
        updated_at = now(),
        applied_sequence = :sequence,
        rendered_at = coalesce(i.rendered_at, now()),
        object_key = coalesce(n.object_key, i.object_key),
        content_type = coalesce(n.content_type, i.content_type),
        size_bytes = coalesce(n.size_bytes, i.size_bytes),
        width = coalesce(n.width, i.width),
        height = coalesce(n.height, i.height)
    FROM (SELECT 1) AS always
    LEFT JOIN json_to_recordset(:renditions::json) AS n (
        name text, object_key text, content_type text, size_bytes bigint,
        width integer, height integer) ON n.name = 'image'
    WHERE i.id = :image_id
      AND CASE WHEN :after_failure::boolean
               THEN i.applied_sequence = :sequence AND i.status = 'failed'
                    AND i.deleted_at IS NULL
               ELSE i.applied_sequence = :sequence - 1 END
    RETURNING i.id AS image_id, :sequence::integer AS sequence, jsonb_build_object(
        'user_id', i.user_id, 'status', 'ready', 'title', i.title,
        'resolution', i.width || 'x' || i.height, 'size', i.size_bytes,
        'content_type', i.content_type, 'file_path', i.object_key,
        'visibility', i.visibility, 'renditions', :renditions::jsonb) AS data
), received AS (
    INSERT INTO inbox (event_id) SELECT :received_id::uuid FROM changed
    WHERE NOT :after_failure::boolean
), rendered AS (
    INSERT INTO renditions (image_id, name, object_key, content_type, size_bytes, width, height,
                            animated)
    SELECT c.image_id, r.name, r.object_key, r.content_type, r.size_bytes, r.width, r.height,
           r.animated
    FROM changed AS c, json_to_recordset(:renditions::json) AS r (
        name text, object_key text, content_type text, size_bytes bigint,
        width integer, height integer, animated boolean)
    ON CONFLICT (image_id, name) DO UPDATE SET
        object_key = excluded.object_key, content_type = excluded.content_type,
        size_bytes = excluded.size_bytes, width = excluded.width, height = excluded.height,
        animated = excluded.animated
) {INSERT_EVENT}
"""

# Those before it that never came are given up with it: late, they are duplicates.
_FAIL = f"""
WITH changed AS (
    UPDATE images AS i
    SET status = CASE WHEN i.accepted_sequence > :sequence THEN 'processing' ELSE 'failed' END,
        error = :reason,
        updated_at = now(),
        applied_sequence = :sequence
    WHERE i.id = :image_id AND i.applied_sequence < :sequence
    RETURNING i.id AS image_id, :sequence::integer AS sequence, jsonb_build_object(
        'user_id', i.user_id, 'status', 'failed', 'error', :reason::text) AS data
), received AS (
    INSERT INTO inbox (event_id) SELECT :received_id::uuid FROM changed
) {INSERT_EVENT}
"""

_REMOVE = f"""
WITH changed AS (
    DELETE FROM images AS i
    WHERE i.id = :image_id AND i.applied_sequence = :sequence - 1
    RETURNING i.id AS image_id, :sequence::integer AS sequence,
              jsonb_build_object('user_id', i.user_id) AS data
), received AS (
    INSERT INTO inbox (event_id) SELECT :received_id::uuid FROM changed
) {INSERT_EVENT}
"""

_REJECT = f"""
WITH received AS (
    INSERT INTO inbox (event_id) VALUES (:received_id::uuid) RETURNING event_id
), changed AS (
    SELECT :image_id::bigint AS image_id, :sequence::integer AS sequence,
           jsonb_build_object('status', 'failed', 'error', :reason::text) AS data
    FROM received WHERE :event_type::text IS NOT NULL
) {INSERT_EVENT}
"""


class PostgresProcessingRecords:
    def __init__(self, database: Database, publisher: EventPublisher) -> None:
        self._database = database
        self._outbox = Outbox(database, publisher)

    def state(self, event: Event) -> tuple[bool, ImageState | None]:
        row = self._database.row(_STATE, event_id=event.id, image_id=event.image_id)
        assert row is not None
        applied, original_key, applied_sequence, rendered, failed, deleted, keys = row
        if original_key is None:
            return applied, None
        return applied, ImageState(
            original_key=original_key,
            applied_sequence=applied_sequence,
            rendered=rendered,
            failed=failed,
            deleted=deleted,
            rendition_keys=tuple(json.loads(keys or "[]")),
        )

    def complete(
        self,
        event: Event,
        outcome_type: str,
        renditions: list[StoredRendition],
        *,
        after_failure: bool = False,
    ) -> Event | None:
        changes = event.data.get("changes") or {}
        return self._write(
            _COMPLETE,
            event,
            outcome_type,
            title=changes.get("title"),
            visibility=changes.get("visibility"),
            renditions=json.dumps([asdict(rendition) for rendition in renditions]),
            after_failure=after_failure,
        )

    def fail(self, event: Event, outcome_type: str, reason: str) -> Event | None:
        return self._write(_FAIL, event, outcome_type, reason=reason)

    def reject(self, event: Event, outcome_type: str | None, reason: str) -> Event | None:
        return self._write(_REJECT, event, outcome_type, reason=reason)

    def remove(self, event: Event, outcome_type: str) -> Event | None:
        return self._write(_REMOVE, event, outcome_type)

    def publish(self, event: Event) -> None:
        self._outbox.publish(event)

    def _write(
        self, statement: str, event: Event, outcome_type: str | None, **parameters: Any
    ) -> Event | None:
        outcome_id = events.new_id()
        try:
            row = self._database.row(
                statement,
                received_id=event.id,
                image_id=event.image_id,
                sequence=event.sequence,
                event_id=outcome_id,
                event_type=outcome_type,
                correlation_id=event.correlation_id,
                **parameters,
            )
        except UniqueViolation:
            # Another delivery of the same event was faster: this one changed nothing.
            return None
        if row is None or outcome_type is None:
            return None
        _, _, data, occurred_at = row
        return Event(
            outcome_id,
            outcome_type,
            event.image_id,
            event.sequence,
            data,
            event.correlation_id,
            occurred_at,
        )
