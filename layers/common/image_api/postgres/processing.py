"""What processing reads and writes: a change, its effect and its outcome's event at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Protocol

from image_api.core.change_log import events
from image_api.core.change_log.changes import (
    CRASH_PAUSE_SECONDS,
    LATE_SECONDS,
    LEASE_SECONDS,
    RENDERERS_PER_ACCOUNT,
    AppliedChange,
    ImageState,
    LeftRendering,
    LoggedChange,
    StoredRendition,
    Work,
)
from image_api.core.change_log.events import Event
from image_api.core.library.fields import parse_resolution, tag_key
from image_api.postgres.changes import locked_changes
from image_api.postgres.database import RELAXED, Database, Row, texts
from image_api.postgres.dead_letters import OWE_LETTER, PostgresLetterRecords
from image_api.postgres.images import (
    KEPT_VISIBILITY,
    NEW_PUBLIC_SECRET,
    SHOWN_VISIBILITY,
    VISIBILITY,
)
from image_api.postgres.legacy_outbox import BeforeTheLog
from image_api.postgres.revocation import IMAGE_STATE, PostgresImageMoves, image_state

# `outcome IS NULL` and `settled_at IS NULL` mean the same. The statements here say the first, which
# is the condition of the indexes made for them: with the second, and statistics of a quiet hour,
# the planner would take any index of what is not settled, and read ten thousand rows to find one.

_LOOK_UP = """
SELECT c.change_id::text, c.type, c.image_id, c.sequence, c.data, c.correlation_id,
       rfc3339(c.accepted_at), c.traceparent, c.client_correlation_id, c.settled_at IS NOT NULL,
       extract(epoch FROM c.due_at - now())::float8
FROM changes AS c WHERE c.change_id = ANY(:event_ids::text[]::uuid[])
"""

# Only the image's last word can be taken back.
_REOPEN = """
WITH image AS (
    UPDATE images AS i
    SET applied_sequence = :sequence - 1, status = 'processing', error = NULL, updated_at = now()
    FROM changes AS c
    WHERE c.change_id = :event_id::uuid AND c.outcome = 'failed'
      AND i.id = c.image_id AND i.applied_sequence = c.sequence AND i.status = 'failed'
      AND i.deleted_at IS NULL
    RETURNING c.id
), no_letter AS (
    DELETE FROM owed_letters WHERE change_id = :event_id::uuid AND EXISTS (SELECT FROM image)
)
UPDATE changes AS c
SET settled_at = NULL, outcome = NULL, reason = NULL, attempts = 0, failures = 0, due_at = now(),
    renderer_failures = 0, rendering_folder = NULL, rendering_until = NULL,
    outcome_id = NULL, outcome_type = NULL, outcome_data = NULL, outcome_published_at = NULL
FROM image AS i WHERE c.id = i.id
RETURNING c.change_id
"""

_FREE = f"""
WITH locked AS ({
    locked_changes(
        "changes AS c WHERE c.outcome IS NULL AND c.attempts > c.failures "
        "AND c.begun_for = ANY(:message_ids::text[]::uuid[])"
    )
})
UPDATE changes AS c
SET begun_for = NULL,
    due_at = now() + CASE WHEN c.attempts - c.failures > 1
                          THEN interval '{CRASH_PAUSE_SECONDS} seconds' ELSE '0' END
FROM locked AS l WHERE c.id = l.id
"""

# The next of an image's changes; a removal waits for none of them.
_IS_NEXT = """(i.id IS NULL OR c.type = 'image.delete.requested'
               OR c.sequence = i.applied_sequence + 1 AND i.deleted_at IS NULL)"""

# How many renderers work for a user, as far as it matters.
_RENDERERS_OF_USER = """(
        SELECT count(*) AS number FROM (
            (SELECT FROM changes AS r
             WHERE r.user_id = w.user_id AND r.outcome IS NULL AND r.attempts > r.failures
               AND r.due_at > now() AND r.begun_for IS NOT NULL AND r.rendering_until IS NULL
             LIMIT :renderers::integer)
            UNION ALL
            (SELECT FROM changes AS r
             WHERE r.user_id = w.user_id AND r.outcome IS NULL AND r.rendering_until > now()
             LIMIT :renderers::integer)) AS r)"""
# A change that needs none, or has its own already.
_TAKES_NO_RENDERER = """(c.type = 'image.delete.requested' OR c.rendering_until IS NOT NULL)"""


# How long what was begun for an image before its removal `b` may store something: an attempt that
# goes on, or whose consumer is gone, may have a renderer that nobody has written down.
_LATE = f"interval '{LATE_SECONDS} seconds'"
_BUSY_SECONDS = f"""(SELECT extract(epoch FROM greatest(
               (SELECT max(greatest(
                    o.storing_until,
                    CASE WHEN o.outcome IS NULL THEN o.rendering_until END,
                    CASE WHEN o.outcome IS NULL AND o.attempts > o.failures
                         THEN o.due_at + {_LATE} END,
                    CASE WHEN o.outcome IS NOT NULL AND o.attempts > o.failures + 1
                         THEN o.settled_at + {_LATE} END))
                FROM changes AS o
                WHERE o.image_id = b.image_id AND o.sequence < b.sequence),
               (SELECT max(d.making_until) FROM requested_renditions AS d
                WHERE d.image_id = b.image_id AND d.claim_id IS NOT NULL)) - now())::float8)"""


def _who_waits(is_due: str) -> str:
    """Steps of a WITH RECURSIVE: users in turn, `those_after` the last one and `those_before`.

    From one to the next by the index, so that one with many changes costs no more than one with
    few.
    """

    def waiting(name: str, first: str, last: str) -> str:
        def following(condition: str) -> str:
            return (
                "(SELECT c.user_id FROM changes AS c "
                f"WHERE {condition}{last} AND {is_due} ORDER BY c.user_id LIMIT 1)"
            )

        return f"""{name} (user_id) AS (
    {following(first)}
    UNION ALL
    SELECT f.user_id
    FROM {name} AS u
    CROSS JOIN LATERAL {following("c.user_id > u.user_id")} AS f
)"""

    after = waiting("those_after", "c.user_id > :after_user_id", "")
    before = waiting("those_before", "c.user_id > 0", " AND c.user_id <= :after_user_id")
    return f"{after},\n{before}"


_IN_TURN = "(SELECT user_id FROM those_after UNION ALL SELECT user_id FROM those_before)"


def _begin(which: str) -> str:
    """One change of those that were begun before and did not end, or of all others; of each user
    from the change that is due longest.

    That it begins outlives this process, and need not outlive the server's.
    """
    is_due = f"c.outcome IS NULL AND {which} AND c.due_at <= now()"

    def next_where(condition: str) -> str:
        return f"""(SELECT c.id
         FROM changes AS c LEFT JOIN images AS i ON i.id = c.image_id
         WHERE {condition} AND c.user_id = w.user_id AND {is_due} AND {_IS_NEXT}
         ORDER BY c.due_at
         LIMIT 1
         FOR UPDATE OF c SKIP LOCKED)"""

    return f"""
WITH RECURSIVE {_who_waits(is_due)},
picked AS (
    SELECT coalesce(free.id, other.id) AS id
    FROM {_IN_TURN} AS w
    CROSS JOIN LATERAL {_RENDERERS_OF_USER} AS u
    LEFT JOIN LATERAL {next_where("u.number < :renderers::integer")} AS free ON true
    LEFT JOIN LATERAL {
        next_where(f"u.number >= :renderers::integer AND {_TAKES_NO_RENDERER}")
    } AS other ON true
    WHERE free.id IS NOT NULL OR other.id IS NOT NULL
    LIMIT 1
), begun AS (
    UPDATE changes AS c
    SET attempts = c.attempts + 1, begun_for = :message_id::uuid,
        due_at = now() + interval '{LEASE_SECONDS} seconds'
    FROM picked AS p, {RELAXED}
    WHERE c.id = p.id
    RETURNING c.change_id, c.type, c.image_id, c.sequence, c.data, c.correlation_id,
              c.accepted_at, c.traceparent, c.client_correlation_id, c.user_id, c.failures,
              c.attempts - 1 - c.failures AS crashes,
              c.renderer_failures, c.rendering_folder, c.rendering_until
)
SELECT b.change_id::text, b.type, b.image_id, b.sequence, b.data, b.correlation_id,
       rfc3339(b.accepted_at), b.traceparent, b.client_correlation_id, b.user_id, b.failures,
       b.crashes, b.renderer_failures,
       b.rendering_folder, extract(epoch FROM b.rendering_until - now())::float8,
       CASE WHEN b.type = 'image.delete.requested' THEN {_BUSY_SECONDS} END,
       EXISTS (SELECT FROM changes AS l
               WHERE l.image_id = b.image_id AND l.sequence > b.sequence
                 AND l.data #> '{{changes,resolution}}' IS NOT NULL),
       {IMAGE_STATE}
FROM begun AS b LEFT JOIN images AS i ON i.id = b.image_id
"""


# As the index `changes_plain` has it: nothing but a title. What else a change may say is applied by
# itself.
_IS_PLAIN = """c.type = 'image.update.requested'
          AND (c.data #- '{changes,title}') -> 'changes' = '{}'::jsonb"""

_BEGIN = _begin("c.attempts = c.failures")
_BEGIN_CRASHED = _begin("c.attempts > c.failures")

_POSTPONE = f"""
WITH written AS (
    UPDATE changes
    SET failures = failures + 1, reason = :reason, begun_for = NULL,
        due_at = now() + make_interval(secs => :delay_seconds::integer),
        renderer_failures = renderer_failures + :renderer_failures::integer,
        rendering_folder = NULL, rendering_until = NULL
    WHERE change_id = :change_id::uuid AND outcome IS NULL
    RETURNING change_id
)
{OWE_LETTER}
"""

# The attempt goes on elsewhere, or was none: whoever begins it next counts it.
_LEAVE = """
UPDATE changes
SET attempts = attempts - 1, begun_for = NULL,
    due_at = now() + make_interval(secs => :delay_seconds::integer),
    rendering_folder = :folder,
    rendering_until = now() + make_interval(secs => :busy_seconds::float8)
WHERE change_id = :change_id::uuid AND outcome IS NULL
"""

_LOSE_RENDERER = """
UPDATE changes
SET storing_until = greatest(
        storing_until, now() + make_interval(secs => :storing_seconds::float8))
WHERE change_id = :change_id::uuid
"""

# What it returns is the outcome's event.
_OUTCOME = """c.outcome_id::text, c.outcome_type, c.image_id, c.sequence, c.outcome_data,
              c.correlation_id, rfc3339(c.settled_at), c.traceparent,
              c.client_correlation_id"""


def _settle(outcome: str, data: str, source: str) -> str:
    return f"""
    UPDATE changes AS c
    SET settled_at = now(), outcome = '{outcome}', reason = :reason,
        outcome_id = :outcome_id::uuid, outcome_type = :outcome_type, outcome_data = {data}
    {source} c.change_id = :change_id::uuid AND c.outcome IS NULL
    RETURNING {_OUTCOME}
"""


# What comes back from the trash, unless it was put there again since.
_IS_RESTORED = "(:restores::boolean AND i.trashed_sequence < :sequence)"
_STAYS_TRASHED = f"(i.visibility = 'trashed' AND NOT {_IS_RESTORED})"
# Whatever else a change asks for.
_RESTORING = f"""
        visibility = CASE WHEN {_STAYS_TRASHED} THEN 'trashed'
                          ELSE coalesce({{visibility}}, {VISIBILITY}) END,
        visibility_aside = CASE WHEN {_STAYS_TRASHED}
                                THEN coalesce({{visibility}}, i.visibility_aside) END,
        trashed_at = CASE WHEN {_STAYS_TRASHED} THEN i.trashed_at END"""
_WIDENED = f"CASE WHEN i.hidden_sequence <= :sequence THEN {KEPT_VISIBILITY} END"


def _completed(renditions: str) -> str:
    """What the outcome's event says of an image `i` and the renditions that were made, as jsonb."""
    return f"""jsonb_build_object(
        'user_id', i.user_id, 'status', 'ready', 'title', i.title,
        'resolution', i.width || 'x' || i.height, 'size', i.size_bytes,
        'content_type', i.content_type, 'file_path', i.object_key,
        'visibility', {SHOWN_VISIBILITY},
        'description', i.description, 'tags', to_jsonb(i.tags),
        'trashed_at', rfc3339(i.trashed_at), 'renditions', {renditions})"""


# An image with more accepted changes ahead stays `processing` until the last one is applied. A size
# that is not rendered, since a later change asks for another one, is what `rerender` makes if that
# change fails.
_COMPLETE = f"""
WITH changed AS (
    UPDATE images AS i
    SET title = coalesce(:title, i.title),
        description = coalesce(:description::text, i.description),
        tags = coalesce({texts("tags")}, i.tags),
        tag_keys = coalesce({texts("tag_keys")}, i.tag_keys),
{_RESTORING.format(visibility=_WIDENED)},
        public_secret = CASE
            WHEN i.hidden_sequence > :sequence OR :visibility::text IS NULL THEN i.public_secret
            WHEN :visibility::text = 'public' THEN coalesce(i.public_secret, {NEW_PUBLIC_SECRET})
            END,
        status = CASE WHEN i.accepted_sequence > :sequence THEN 'processing' ELSE 'ready' END,
        error = NULL,
        updated_at = now(),
        applied_sequence = :sequence,
        rendered_at = coalesce(i.rendered_at, now()),
        stored_bytes = coalesce(
            coalesce(i.original_bytes, i.size_bytes)
            + (SELECT sum(r.size_bytes) FILTER (WHERE r.object_key <> i.original_key)
               FROM json_to_recordset(:renditions::json) AS r (
                   object_key text, size_bytes bigint)),
            i.stored_bytes),
        object_key = coalesce(n.object_key, i.object_key),
        content_type = coalesce(n.content_type, i.content_type),
        size_bytes = coalesce(n.size_bytes, i.size_bytes),
        width = coalesce(n.width, i.width),
        height = coalesce(n.height, i.height),
        placeholder = coalesce(
            (SELECT r.placeholder FROM json_to_recordset(:renditions::json) AS r (placeholder text)
             WHERE r.placeholder IS NOT NULL),
            i.placeholder),
        asked_width = coalesce(:asked_width::integer, i.asked_width),
        asked_height = coalesce(:asked_height::integer, i.asked_height),
        asked_fit = coalesce(CASE WHEN :asked_width::integer IS NOT NULL
                                  THEN coalesce(:fit::text, 'cover') END, i.asked_fit)
    FROM (SELECT 1) AS always
    LEFT JOIN json_to_recordset(:renditions::json) AS n (
        name text, object_key text, content_type text, size_bytes bigint,
        width integer, height integer) ON n.name = 'image'
    WHERE i.id = :image_id AND i.applied_sequence = :sequence - 1 AND i.deleted_at IS NULL
    RETURNING i.id, {
    _completed('''(
            SELECT coalesce(jsonb_agg(r.value - '{renderer_version,placeholder}'::text[]
                                      ORDER BY r.ordinality), '[]')
            FROM jsonb_array_elements(:renditions::jsonb) WITH ORDINALITY AS r)''')
} AS data
), rendered AS (
    INSERT INTO renditions (image_id, name, object_key, content_type, size_bytes, width, height,
                            animated, renderer_version, considered_version)
    SELECT c.id, r.name, r.object_key, r.content_type, r.size_bytes, r.width, r.height,
           r.animated, r.renderer_version, r.renderer_version
    FROM changed AS c, json_to_recordset(:renditions::json) AS r (
        name text, object_key text, content_type text, size_bytes bigint,
        width integer, height integer, animated boolean, renderer_version integer)
    ON CONFLICT (image_id, name) DO UPDATE SET
        object_key = excluded.object_key, content_type = excluded.content_type,
        size_bytes = excluded.size_bytes, width = excluded.width, height = excluded.height,
        animated = excluded.animated, renderer_version = excluded.renderer_version,
        considered_version = excluded.considered_version, rerender_attempts = 0
), replaced AS (
    UPDATE renditions AS r SET considered_version = 0, rerender_attempts = 0
    FROM changed AS c
    WHERE r.image_id = c.id AND r.name = 'image' AND :asked_width::integer IS NOT NULL
      AND json_array_length(:renditions::json) = 0
) {_settle("applied", "i.data", "FROM changed AS i WHERE")}
"""

_PLAIN_DUE = f"c.outcome IS NULL AND c.attempts = c.failures AND {_IS_PLAIN} AND c.due_at <= now()"

# Without storage and renderer.
_MAY_BE_APPLIED = """{change}.sequence = i.applied_sequence + 1 AND i.deleted_at IS NULL
              AND i.rendered_at IS NOT NULL AND i.exposed_key IS NULL"""

# Of each user few of those that wait longest are looked at, since those that must wait for another
# change of their image are passed over. So are rows that somebody else holds: so many locks would
# be waited for in no order. What is counted of accounts comes after, in the triggers' order. That a
# change is open still is asked again in words that no index has: by one of those all would be read.
_APPLY_PLAIN = f"""
WITH RECURSIVE {_who_waits(_PLAIN_DUE)},
picked AS MATERIALIZED (
    SELECT c.id, c.image_id, c.sequence, c.data
    FROM changes AS c JOIN images AS i ON i.id = c.image_id
    WHERE c.id = ANY(ARRAY(
        SELECT o.id
        FROM (SELECT w.user_id FROM {_IN_TURN} AS w LIMIT :most) AS u
        CROSS JOIN LATERAL (
            SELECT s.id
            FROM (SELECT c.id, c.image_id, c.sequence, c.due_at FROM changes AS c
                  WHERE c.user_id = u.user_id AND {_PLAIN_DUE} AND c.rendering_until IS NULL
                  ORDER BY c.due_at
                  LIMIT 2 * :most::integer) AS s
            JOIN images AS i ON i.id = s.image_id
            WHERE {_MAY_BE_APPLIED.format(change="s")}
            ORDER BY s.due_at
            LIMIT :most) AS o
        LIMIT :most))
      AND coalesce(c.outcome, '') = '' AND c.attempts <= c.failures
      AND c.rendering_until IS NULL AND {_MAY_BE_APPLIED.format(change="c")}
    FOR NO KEY UPDATE OF i, c SKIP LOCKED
), changed AS (
    UPDATE images AS i
    SET title = coalesce(p.data #>> '{{changes,title}}', i.title),
        status = CASE WHEN i.accepted_sequence > p.sequence THEN 'processing' ELSE 'ready' END,
        error = NULL,
        updated_at = now(),
        applied_sequence = p.sequence
    FROM picked AS p
    WHERE i.id = p.image_id
    RETURNING p.id, {_completed("'[]'::jsonb")} AS data
)
UPDATE changes AS c
SET attempts = c.attempts + 1, settled_at = now(), outcome = 'applied', reason = NULL,
    outcome_id = gen_random_uuid(), outcome_type = :outcome_type, outcome_data = i.data
FROM changed AS i
WHERE c.id = i.id
RETURNING c.change_id::text, c.type, c.image_id, c.sequence, c.data, c.correlation_id,
          rfc3339(c.accepted_at), c.traceparent, c.client_correlation_id, c.user_id,
          c.attempts, {_OUTCOME}
"""

# The image's row is locked first, as by whatever else settles: a step that nobody reads from would
# be taken last.
_FAIL = f"""
WITH image AS (
    SELECT i.id FROM images AS i WHERE i.id = :image_id FOR NO KEY UPDATE
), changed AS (
    UPDATE images AS i
    SET status = CASE WHEN i.accepted_sequence > :sequence THEN 'processing' ELSE 'failed' END,
        error = :reason,
{_RESTORING.format(visibility="NULL::text")},
        updated_at = now(),
        applied_sequence = :sequence
    WHERE i.id = :image_id AND i.applied_sequence = :sequence - 1
      AND EXISTS (SELECT FROM changes AS c
                  WHERE c.change_id = :change_id::uuid AND c.outcome IS NULL)
), written AS ({
    _settle(
        "failed",
        '''jsonb_build_object(
        'user_id', c.user_id, 'status', 'failed', 'error', :reason::text)''',
        "WHERE (SELECT count(*) FROM image) >= 0 AND",
    )
}), owed AS ({OWE_LETTER})
SELECT * FROM written
"""

# All that was accepted before is void with it. An image that is gone already is removed as well.
_REMOVE = f"""
WITH removed AS (
    DELETE FROM images AS i
    WHERE i.id = :image_id AND i.accepted_sequence = :sequence AND i.deleted_at IS NOT NULL
    RETURNING i.id
), gone AS (
    SELECT WHERE EXISTS (SELECT FROM removed)
        OR NOT EXISTS (SELECT FROM images AS i WHERE i.id = :image_id)
), locked AS ({
    locked_changes(
        "gone CROSS JOIN changes AS c WHERE c.image_id = :image_id "
        "AND c.sequence <= :sequence AND c.outcome IS NULL"
    )
}), void AS (
    UPDATE changes AS c
    SET settled_at = now(), outcome = 'failed', reason = :void_reason,
        outcome_id = gen_random_uuid(), outcome_type = replace(c.type, 'requested', 'failed'),
        outcome_data = jsonb_build_object(
            'user_id', c.user_id, 'status', 'failed', 'error', :void_reason::text)
    FROM locked AS l
    WHERE c.id = l.id AND c.sequence < :sequence
    RETURNING {_OUTCOME}
), settled AS ({
    _settle(
        "applied",
        "jsonb_build_object('user_id', c.user_id)",
        "FROM locked AS l WHERE c.id = l.id AND",
    )
})
SELECT * FROM void UNION ALL SELECT * FROM settled
"""

_VOID = "The image was deleted"

_IS_DELETED = """
SELECT NOT EXISTS (SELECT FROM images AS i WHERE i.id = :image_id AND i.deleted_at IS NULL)
"""


class OutcomeSink(Protocol):
    def publish_outcomes(self, outcomes: Sequence[Event]) -> None:
        """Raises nothing."""


class PostgresChangeLog:
    """Not for two threads at once: one each."""

    def __init__(
        self,
        database: Database,
        sink: OutcomeSink,
        *,
        renderers_per_account: int = RENDERERS_PER_ACCOUNT,
    ) -> None:
        self._database = database
        self._renderers_per_account = renderers_per_account
        self._before = BeforeTheLog(database)
        self._moves = PostgresImageMoves(database)
        self._letters = PostgresLetterRecords(database)
        self._sink = sink

    def look_up(self, received: list[Event]) -> dict[str, LoggedChange]:
        found = self._logged([event.id for event in received])
        for event in received:
            if event.id in found:
                continue
            if self._before.believe(event):
                found |= self._logged([event.id]) or {event.id: LoggedChange(event, True, 0.0)}
            elif self._before.was_applied(event):
                found[event.id] = LoggedChange(event, True, 0.0)
        return found

    def reopen(self, event: Event) -> bool:
        row = self._database.row(_REOPEN, event_id=event.id, sequence=event.sequence)
        return row is not None or self._before.reopen(event)

    def free(self, message_ids: list[str]) -> None:
        self._database.rows(_FREE, message_ids=message_ids)

    def begin(self, message_id: str, after_user_id: int, *, crashed: bool) -> Work | None:
        row = self._database.row(
            _BEGIN_CRASHED if crashed else _BEGIN,
            message_id=message_id,
            after_user_id=after_user_id,
            renderers=self._renderers_per_account,
        )
        return _work(row) if row is not None else None

    def apply_plain(self, after_user_id: int, most: int) -> list[AppliedChange]:
        rows = self._database.rows(
            _APPLY_PLAIN,
            after_user_id=after_user_id,
            most=most,
            outcome_type=events.UPDATE_COMPLETED,
        )
        return [AppliedChange(Event(*row[:9]), row[9], row[10], Event(*row[11:])) for row in rows]

    def postpone(
        self,
        work: Work,
        delay_seconds: int,
        reason: str,
        *,
        is_renderers: bool = False,
        owes_letter: bool = False,
    ) -> None:
        self._database.rows(
            _POSTPONE,
            change_id=work.event.id,
            delay_seconds=delay_seconds,
            reason=reason,
            renderer_failures=int(is_renderers),
            attempts=work.attempt,
            owes_letter=owes_letter,
        )

    def leave(self, work: Work, folder: str, busy_seconds: float, look_seconds: int) -> None:
        self._leave(work, folder, busy_seconds, look_seconds)

    def lose_renderer(self, work: Work, storing_seconds: float) -> None:
        self._database.rows(
            _LOSE_RENDERER, change_id=work.event.id, storing_seconds=storing_seconds
        )

    def put_back(self, work: Work, delay_seconds: int) -> None:
        self._leave(work, None, None, delay_seconds)

    def complete(
        self, work: Work, outcome_type: str, renditions: list[StoredRendition]
    ) -> Event | None:
        changes = work.event.data.get("changes") or {}
        tags = changes.get("tags")
        resolution = changes.get("resolution")
        width, height = (None, None) if resolution is None else parse_resolution(resolution)
        return self._settle(
            _COMPLETE,
            work,
            outcome_type,
            reason=None,
            title=changes.get("title"),
            description=changes.get("description"),
            tags=None if tags is None else json.dumps(tags),
            tag_keys=None if tags is None else json.dumps([tag_key(tag) for tag in tags]),
            visibility=changes.get("visibility"),
            restores=changes.get("trashed") is False,
            asked_width=width,
            asked_height=height,
            fit=changes.get("fit"),
            renditions=json.dumps([asdict(rendition) for rendition in renditions]),
        )

    def fail(
        self, work: Work, outcome_type: str, reason: str, *, owes_letter: bool = False
    ) -> Event | None:
        changes = work.event.data.get("changes")
        return self._settle(
            _FAIL,
            work,
            outcome_type,
            reason=reason,
            # To bring it back needs no picture.
            restores=isinstance(changes, dict) and changes.get("trashed") is False,
            attempts=work.attempt,
            owes_letter=owes_letter,
        )

    def letter_sent(self, event: Event) -> None:
        self._letters.letter_sent(event)

    def remove(self, work: Work, outcome_type: str) -> list[Event]:
        rows = self._written(_REMOVE, work, outcome_type, reason=None, void_reason=_VOID)
        return sorted((Event(*row) for row in rows), key=lambda event: event.sequence)

    def move(self, image_id: int, folder: str, new_folder: str) -> ImageState | None:
        return self._moves.move(image_id, folder, new_folder)

    def unexpose(self, image_id: int, exposed_key: str) -> None:
        self._moves.unexpose(image_id, exposed_key)

    def is_deleted(self, image_id: int) -> bool:
        row = self._database.row(_IS_DELETED, image_id=image_id)
        return row is not None and bool(row[0])

    def publish(self, outcomes: list[Event]) -> None:
        self._sink.publish_outcomes(outcomes)

    def _leave(
        self, work: Work, folder: str | None, busy_seconds: float | None, delay_seconds: int
    ) -> None:
        self._database.rows(
            _LEAVE,
            change_id=work.event.id,
            folder=folder,
            busy_seconds=busy_seconds,
            delay_seconds=delay_seconds,
        )

    def _settle(
        self, statement: str, work: Work, outcome_type: str, **parameters: Any
    ) -> Event | None:
        rows = self._written(statement, work, outcome_type, **parameters)
        return Event(*rows[0]) if rows else None

    def _written(
        self, statement: str, work: Work, outcome_type: str, **parameters: Any
    ) -> list[Row]:
        return self._database.rows(
            statement,
            change_id=work.event.id,
            image_id=work.event.image_id,
            sequence=work.event.sequence,
            outcome_id=events.new_id(),
            outcome_type=outcome_type,
            **parameters,
        )

    def _logged(self, event_ids: list[str]) -> dict[str, LoggedChange]:
        rows = self._database.rows(_LOOK_UP, event_ids=event_ids)
        return {row[0]: LoggedChange(Event(*row[:9]), row[9], row[10]) for row in rows}


def _work(row: Row) -> Work:
    user_id, failures, crashes, renderer_failures, folder, seconds_left = row[9:15]
    busy_seconds, is_replaced = row[15:17]
    return Work(
        event=Event(*row[:9]),
        user_id=user_id,
        failures=failures,
        crashes=crashes,
        renderer_failures=renderer_failures,
        is_replaced=is_replaced,
        left=None if folder is None else LeftRendering(folder, seconds_left),
        busy_seconds=max(0.0, busy_seconds or 0.0),
        image=image_state(row[17:]) if row[17] is not None else None,
    )
