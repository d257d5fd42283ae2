"""The tables `images` and `renditions`, and the events written with them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import orjson

from image_api.core.caching import WindowedCache
from image_api.core.change_log import events
from image_api.core.change_log.events import Event
from image_api.core.library.fields import tag_key
from image_api.core.library.idempotency import Answer
from image_api.core.library.images import Caller
from image_api.core.library.listing import FoundPage, ListQuery, Position
from image_api.core.renditions.downloads import Original
from image_api.errors import (
    ImageApiError,
    PreconditionFailed,
    QuotaExceeded,
    RequestInProgress,
    TooMuchUnderWay,
    Unauthenticated,
)
from image_api.postgres.acceptance import insert_changes, insert_removals
from image_api.postgres.closed_accounts import owner_stays
from image_api.postgres.database import Database, texts
from image_api.postgres.idempotency import (
    ANSWER_CLAIMS,
    HOLD_CLAIMS,
    HOLDS_CLAIMS,
    PostgresKeyRecords,
)
from image_api.postgres.listing import page_statement, parameters_of, shape_of
from image_api.postgres.token_checks import IS_SIGNED_IN, NO_LONGER_SIGNED_IN
from image_api.settings import AccountLimits

if TYPE_CHECKING:
    # It reads headers, and most who ask for images do not.
    from image_api.core.library.uploads import NewImage

_USER_EXISTS = f"SELECT {IS_SIGNED_IN}"


# Whoever waits for the lock sees what those before have counted, so that no limit is passed by
# requests side by side. The image's lock comes before the account's, here and in the triggers.
_USAGE_OF_USER = """
    SELECT u.images, u.bytes, u.unfinished_changes FROM account_usage AS u
    WHERE u.user_id = {user_id} FOR NO KEY UPDATE
"""
_REFUSES_UPLOAD = """
    CASE WHEN u.images >= nullif(:limit_images::bigint, 0) THEN 'images'
         WHEN u.bytes + :size_bytes::bigint > nullif(:limit_bytes::bigint, 0) THEN 'bytes'
         WHEN u.unfinished_changes >= nullif(:limit_unfinished_changes::bigint, 0)
         THEN 'unfinished_changes' END
"""
# A new size is new bytes, which are known only once they are there.
_REFUSES_UPDATE = """
    CASE WHEN :renders::boolean AND u.bytes >= nullif(:limit_bytes::bigint, 0) THEN 'bytes'
         WHEN u.unfinished_changes >= nullif(:limit_unfinished_changes::bigint, 0)
         THEN 'unfinished_changes' END
"""
_OWN_IMAGE = f"""
    SELECT i.id, i.user_id, i.accepted_sequence AS version FROM images AS i
    WHERE i.id = :image_id AND i.user_id = :user_id AND i.deleted_at IS NULL AND {IS_SIGNED_IN}
    FOR NO KEY UPDATE
"""


_REFUSES_VERSION = """
    (SELECT CASE WHEN f.version <> ALL(:versions::bigint[]) THEN 'version' END FROM found AS f)
"""


INSERT_ACCEPTED = insert_changes(
    "changed AS c", change_id=":event_id::uuid", event_type=":event_type::text", data="c.data"
)


def _accept(steps: str, refusal: str, changed: str) -> str:
    """`changed` yields what it accepts, if every claim of the request still holds."""
    return f"""
WITH claim AS ({HOLD_CLAIMS}), {steps}, changed AS ({changed}
), answered AS ({ANSWER_CLAIMS}), event AS ({INSERT_ACCEPTED})
SELECT ({_USER_EXISTS}), {HOLDS_CLAIMS}, {refusal}, e.image_id, e.sequence, e.accepted_at
FROM (SELECT 1) AS always LEFT JOIN event AS e ON true
"""


_IS_ADMITTED = "(SELECT a.refusal IS NULL FROM admission AS a)"
_REFUSAL = "(SELECT a.refusal FROM admission AS a)"

# A public image is kept as a shared one whose link stays the same: whatever lists, counts and
# searches what everybody may see has one kind of it.
KEPT_VISIBILITY = "CASE :visibility::text WHEN 'public' THEN 'shared' ELSE :visibility::text END"
NEW_PUBLIC_SECRET = "replace(gen_random_uuid()::text, '-', '')"  # noqa: S105 - an expression

_ACCEPT_UPLOAD = _accept(
    f"""usage AS ({_USAGE_OF_USER.format(user_id=":user_id")}),
admission AS (SELECT {_REFUSES_UPLOAD} AS refusal FROM usage AS u),
used AS (
    DELETE FROM direct_uploads AS d
    WHERE d.user_id = :user_id AND d.upload_id = :upload_id::text
      AND {IS_SIGNED_IN} AND {HOLDS_CLAIMS} AND {_IS_ADMITTED})""",
    _REFUSAL,
    f"""
    INSERT INTO images (user_id, title, visibility, original_key, object_key, content_type,
                        size_bytes, width, height, frames, original_bytes, taken_at,
                        public_secret, description, tags, tag_keys)
    SELECT u.id, :title, {KEPT_VISIBILITY}, :original_key, :original_key,
           :content_type, :size_bytes, :width, :height, :frames, :size_bytes,
           :taken_at::text::timestamp,
           CASE :visibility::text WHEN 'public' THEN {NEW_PUBLIC_SECRET} END,
           :description, {texts("tags")}, {texts("tag_keys")}
    FROM users AS u
    WHERE u.id = :user_id AND u.token_generation = :token_generation
      AND {HOLDS_CLAIMS} AND {_IS_ADMITTED}
    -- Whoever is leaving is waited for, and has no image more from then on.
    FOR KEY SHARE OF u
    RETURNING user_id, id AS image_id, accepted_sequence AS sequence, :data::jsonb AS data""",
)

# As it is outside the trash. (The release before this one changes the one without the other.)
VISIBILITY = "CASE WHEN i.visibility = 'trashed' THEN i.visibility_aside ELSE i.visibility END"
# As clients know it.
SHOWN_VISIBILITY = f"CASE WHEN i.public_secret IS NOT NULL THEN 'public' ELSE {VISIBILITY} END"

# A public image that is to be seen by signed-in users alone.
_WITHDRAWS = "(i.public_secret IS NOT NULL AND :visibility::text = 'shared')"

# To hide is done at once, whatever becomes of the rest of the change: its processing moves what
# was to be seen until now to other keys. What is in the trash keeps its visibility aside.
_UPDATED = f"""
        status = 'processing', error = NULL, updated_at = now(),
        accepted_sequence = i.accepted_sequence + 1,
        visibility = CASE WHEN :trashes::boolean OR i.visibility = 'trashed' THEN 'trashed'
                          WHEN :hides::boolean THEN 'private' ELSE i.visibility END,
        visibility_aside = CASE WHEN :trashes::boolean OR i.visibility = 'trashed'
                                THEN CASE WHEN :hides::boolean THEN 'private'
                                     ELSE {VISIBILITY} END END,
        trashed_at = CASE WHEN :trashes::boolean THEN now() ELSE i.trashed_at END,
        trashed_sequence = CASE WHEN :trashes::boolean THEN i.accepted_sequence + 1
                                ELSE i.trashed_sequence END,
        public_secret = CASE WHEN :visibility::text IN ('shared', 'private') THEN NULL
                             ELSE i.public_secret END,
        hidden_sequence = CASE WHEN :hides::boolean OR {_WITHDRAWS} THEN i.accepted_sequence + 1
                               ELSE i.hidden_sequence END,
        exposed_key = CASE WHEN i.exposed_key IS NULL
                             AND (:hides::boolean AND i.visibility NOT IN ('private', 'trashed')
                                  OR {_WITHDRAWS} AND i.visibility <> 'trashed'
                                  OR :trashes::boolean AND i.visibility <> 'trashed')
                           THEN i.original_key ELSE i.exposed_key END
"""
_DELETED = """
        deleted_at = now(), updated_at = now(), accepted_sequence = i.accepted_sequence + 1
"""

_ACCEPT_UPDATE = _accept(
    f"""found AS ({_OWN_IMAGE}),
usage AS ({_USAGE_OF_USER.format(user_id="(SELECT f.user_id FROM found AS f)")}),
admission AS (SELECT coalesce({_REFUSES_VERSION}, {_REFUSES_UPDATE}) AS refusal
              FROM usage AS u)""",
    _REFUSAL,
    f"""
    UPDATE images AS i
    SET {_UPDATED}
    FROM found AS f
    WHERE i.id = f.id AND {HOLDS_CLAIMS} AND {_IS_ADMITTED}
    RETURNING i.user_id, i.id AS image_id, i.accepted_sequence AS sequence, :data::jsonb AS data""",
)

_ACCEPT_DELETE = _accept(
    f"""found AS ({_OWN_IMAGE}),
admission AS (SELECT {_REFUSES_VERSION} AS refusal)""",
    _REFUSAL,
    f"""
    UPDATE images AS i
    SET {_DELETED}
    FROM found AS f
    WHERE i.id = f.id AND {HOLDS_CLAIMS} AND {_IS_ADMITTED}
    RETURNING i.user_id, i.id AS image_id, i.accepted_sequence AS sequence, :data::jsonb AS data""",
)


INSERT_ALL_ACCEPTED = insert_changes(
    "changed AS c JOIN unnest(:image_ids::bigint[], :event_ids::text[]) AS e (image_id, event_id) "
    "ON e.image_id = c.image_id",
    change_id="e.event_id::uuid",
    event_type=":event_type::text",
    data=":data::jsonb",
)


def _accept_all(usage: str, refusal: str, changed: str) -> str:
    """Of many images at once; yields what became of each, and their events. The images' locks come
    before the account's: all rows of `found` are read for its user.
    """
    return f"""
WITH claim AS ({HOLD_CLAIMS}), found AS (
    SELECT i.id, i.user_id FROM images AS i
    WHERE i.id = ANY(:image_ids::bigint[]) AND i.user_id = :user_id AND i.deleted_at IS NULL
      AND {IS_SIGNED_IN}
    ORDER BY i.id FOR NO KEY UPDATE
){usage}, admission AS ({refusal}), changed AS (
    UPDATE images AS i
    SET {changed}
    FROM admission AS a
    WHERE i.id = a.id AND a.refusal IS NULL AND {HOLDS_CLAIMS}
    RETURNING i.user_id, i.id AS image_id, i.accepted_sequence AS sequence
), event AS (
{INSERT_ALL_ACCEPTED}
), outcome AS (
    SELECT :refused::jsonb || coalesce(jsonb_object_agg(
               a.id::text, coalesce(to_jsonb(e.sequence), to_jsonb(a.refusal))), '{{}}') AS results
    FROM admission AS a LEFT JOIN event AS e ON e.image_id = a.id
), answered AS (
    UPDATE idempotency_keys AS k
    SET image_id = coalesce((SELECT min(e.image_id) FROM event AS e), 0), version = 0,
        results = o.results
    FROM outcome AS o
    WHERE k.claim_id = ANY(:claim_ids::text[]::uuid[]) AND {HOLDS_CLAIMS}
)
SELECT ({_USER_EXISTS}), {HOLDS_CLAIMS}, (SELECT o.results FROM outcome AS o),
       (SELECT coalesce(json_agg(json_build_array(
            e.change_id, e.image_id, e.sequence, e.accepted_at)), '[]') FROM event AS e)
"""


_UPDATE_ALL = _accept_all(
    f", usage AS ({_USAGE_OF_USER.format(user_id='(SELECT max(f.user_id) FROM found AS f)')})",
    """
    SELECT f.id, CASE
        WHEN :renders::boolean AND u.bytes >= nullif(:limit_bytes::bigint, 0) THEN 'bytes'
        WHEN u.unfinished_changes
             + row_number() OVER (ORDER BY array_position(:image_ids::bigint[], f.id))
             > nullif(:limit_unfinished_changes::bigint, 0) THEN 'unfinished_changes' END AS refusal
    FROM found AS f CROSS JOIN usage AS u""",
    _UPDATED,
)
_DELETE_ALL = _accept_all("", "SELECT f.id, NULL::text AS refusal FROM found AS f", _DELETED)

# Read before the file is stored: what is refused anyway costs no storage.
_ADMISSION = f"""
SELECT ({_USER_EXISTS}),
       (SELECT {_REFUSES_UPLOAD} FROM account_usage AS u WHERE u.user_id = :user_id)
"""

_MOVEMENTS = """
SELECT i.id, i.frames, i.content_type FROM images AS i
WHERE i.id = ANY(:image_ids::bigint[]) AND i.user_id = :user_id AND i.deleted_at IS NULL
  AND i.frames > 0
"""

# What is locked is being changed. The relay publishes these.
_DELETE_TRASHED = f"""
WITH found AS (
    SELECT i.id FROM images AS i
    WHERE i.visibility = 'trashed' AND i.deleted_at IS NULL
      AND i.trashed_at < now() - make_interval(days => :trash_days::integer)
      AND i.accepted_sequence = i.applied_sequence
    ORDER BY i.trashed_at LIMIT :batch_size
    FOR NO KEY UPDATE SKIP LOCKED
), changed AS (
    UPDATE images AS i
    SET {_DELETED}
    FROM found AS f
    WHERE i.id = f.id
    RETURNING i.user_id, i.id AS image_id, i.accepted_sequence AS sequence
), event AS ({insert_removals("changed AS c", "''")})
SELECT count(*) FROM event
"""

_LOCK_USAGE = _USAGE_OF_USER.format(user_id=":user_id")

# A statement of its own, after the lock: it sees what those before have offered.
_OFFER = f"""
WITH expired AS (
    DELETE FROM direct_uploads AS d WHERE d.user_id = :user_id AND d.expires_at <= now()
), open AS (
    SELECT count(*) AS uploads,
           ceil(extract(epoch FROM min(d.expires_at) - now()))::integer AS wait_seconds
    FROM direct_uploads AS d WHERE d.user_id = :user_id AND d.expires_at > now()
), offered AS (
    INSERT INTO direct_uploads (user_id, upload_id, expires_at)
    SELECT u.user_id, :upload_id, now() + make_interval(secs => :ttl_seconds::integer)
    FROM account_usage AS u, open AS o
    WHERE u.user_id = :user_id AND {IS_SIGNED_IN} AND ({_REFUSES_UPLOAD}) IS NULL
      AND (:limit_open::integer = 0 OR o.uploads < :limit_open::integer)
    RETURNING upload_id
)
SELECT ({_USER_EXISTS}),
       (SELECT {_REFUSES_UPLOAD} FROM account_usage AS u WHERE u.user_id = :user_id),
       (SELECT count(*) FROM offered), (SELECT o.wait_seconds FROM open AS o)
"""

_FORGET_OLD_OFFERS = """
WITH forgotten AS (
    DELETE FROM direct_uploads WHERE (user_id, upload_id) IN (
        SELECT d.user_id, d.upload_id FROM direct_uploads AS d
        WHERE d.expires_at < now() ORDER BY d.expires_at LIMIT :batch_size FOR UPDATE SKIP LOCKED)
    RETURNING user_id
)
SELECT count(*) FROM forgotten
"""

# The fields in the order and the form in which clients see them. Postgres builds the JSON: parsing
# rows in Python takes six times as long. (And json_build_object half as long again as row_to_json.)
# An image has one rendition of each name at most, and all of them are read at once.
# The URLs are object keys here.
_IMAGE_JSON = f"""(SELECT row_to_json(shown) FROM (SELECT
    i.id, i.title, i.width || 'x' || i.height AS resolution,
    i.size_bytes AS size, i.object_key AS file_path,
    rfc3339(i.created_at) AS created_at, rfc3339(i.updated_at) AS updated_at,
    i.user_id, i.status, i.error, i.content_type, {SHOWN_VISIBILITY} AS visibility,
    CASE WHEN i.rendered_at IS NOT NULL THEN i.object_key END AS url,
    n.thumbnail_key AS thumbnail_url, n.preview_key AS preview_url,
    CASE WHEN i.rendered_at IS NOT NULL THEN json_build_array(
        i.link_generation,
        CASE i.visibility WHEN 'shared' THEN i.public_secret END) END AS rendition_url,
    (SELECT u.username FROM users AS u WHERE u.id = i.user_id) AS username,
    i.width, i.height, i.description, i.tags,
    coalesce(n.is_animated, i.frames > 1, false) AS animated,
    i.placeholder,
    CASE WHEN i.user_id = :user_id
         THEN to_char(i.taken_at, 'YYYY-MM-DD"T"HH24:MI:SS') END AS taken_at,
    CASE WHEN i.visibility = 'trashed' THEN rfc3339(i.trashed_at) END AS trashed_at,
    i.accepted_sequence AS version
    FROM (SELECT max(r.object_key) FILTER (WHERE r.name = 'thumbnail') AS thumbnail_key,
                 max(r.object_key) FILTER (WHERE r.name = 'preview') AS preview_key,
                 bool_or(r.animated) FILTER (WHERE r.name = 'image') AS is_animated
          FROM renditions AS r WHERE r.image_id = i.id) AS n) AS shown)"""

_FIND = f"""
SELECT ({_USER_EXISTS}),
       (SELECT {_IMAGE_JSON}::text
        FROM images AS i
        WHERE i.id = :image_id AND i.deleted_at IS NULL
          AND (i.visibility = 'shared' AND {owner_stays("i")} OR i.user_id = :user_id))
"""


_ORIGINAL = f"""
SELECT ({_USER_EXISTS}), i.original_key, i.title
FROM (SELECT 1) AS always
LEFT JOIN images AS i
    ON i.id = :image_id AND i.user_id = :user_id AND i.deleted_at IS NULL
"""

# To count so many takes longer than the page, and there are as many on the next.
_MANY_FOR_SECONDS = 15

# What is accepted now is usually done by then.
_RETRY_AFTER_SECONDS = 5


class PostgresImageRecords(PostgresKeyRecords):
    """What is accepted and what is shown; the keys of requests are in the same transactions."""

    def __init__(
        self,
        database: Database,
        limits: AccountLimits | None = None,
        now_seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """Without `limits` an account may have as much as it likes."""
        super().__init__(database)
        self._limits = limits or AccountLimits()
        self._now_seconds = now_seconds
        self._many = WindowedCache[frozenset[int]]()

    def require_user(self, user_id: int) -> None:
        row = self._database.row(_USER_EXISTS, user_id=user_id)
        _require(row is not None and row[0])

    def require_room(self, user_id: int, size_bytes: int) -> None:
        exists, refusal = self._database.only_row(
            _ADMISSION, user_id=user_id, size_bytes=size_bytes, **self._upload_limits()
        )
        _require(exists)
        self._admit(refusal)

    def offer_direct_upload(self, user_id: int, upload_id: str, ttl_seconds: int) -> None:
        with self._database.transaction():
            self._database.rows(_LOCK_USAGE, user_id=user_id)
            exists, refusal, offered, wait_seconds = self._database.only_row(
                _OFFER,
                user_id=user_id,
                upload_id=upload_id,
                ttl_seconds=ttl_seconds,
                size_bytes=1,
                limit_open=self._limits.open_direct_uploads,
                **self._upload_limits(),
            )
        _require(exists)
        self._admit(refusal)
        if not offered:
            raise TooMuchUnderWay(
                f"{self._limits.open_direct_uploads} direct uploads of this account are begun and "
                "not completed",
                wait_seconds,
            )

    def movement(self, user_id: int, image_id: int) -> tuple[int, str] | None:
        return self.movements(user_id, [image_id]).get(image_id)

    def delete_trashed(self, trash_days: int, batch_size: int) -> int:
        return self._database.number(_DELETE_TRASHED, trash_days=trash_days, batch_size=batch_size)

    def forget_old_offers(self, batch_size: int) -> int:
        """How many rows left."""
        return self._database.number(_FORGET_OLD_OFFERS, batch_size=batch_size)

    def accept_upload(self, caller: Caller, image: NewImage, upload_id: str | None = None) -> Event:
        data = {
            "user_id": caller.user_id,
            "object_key": image.original_key,
            "title": image.title,
            "content_type": image.content_type,
            "size": image.size_bytes,
            "resolution": f"{image.width}x{image.height}",
            "visibility": image.visibility,
            "description": image.description,
            "tags": image.tags,
        }
        event = self._accept(
            _ACCEPT_UPLOAD,
            events.UPLOAD_REQUESTED,
            caller,
            data,
            upload_id=upload_id,
            tag_keys=json.dumps([tag_key(tag) for tag in image.tags]),
            **{**asdict(image), "tags": json.dumps(image.tags)},
            **self._upload_limits(),
        )
        _require(event is not None)
        assert event is not None
        return event

    def accept_update(
        self,
        caller: Caller,
        image_id: int,
        changes: Mapping[str, Any],
        versions: Sequence[int] | None = None,
    ) -> Event | None:
        data = {"user_id": caller.user_id, "changes": dict(changes)}
        return self._accept(
            _ACCEPT_UPDATE,
            events.UPDATE_REQUESTED,
            caller,
            data,
            image_id=image_id,
            versions=versions,
            **self._update_parameters(changes),
        )

    def accept_delete(
        self, caller: Caller, image_id: int, versions: Sequence[int] | None = None
    ) -> Event | None:
        data = {"user_id": caller.user_id}
        return self._accept(
            _ACCEPT_DELETE,
            events.DELETE_REQUESTED,
            caller,
            data,
            image_id=image_id,
            versions=versions,
        )

    def movements(self, user_id: int, image_ids: Sequence[int]) -> dict[int, tuple[int, str]]:
        rows = self._database.rows(_MOVEMENTS, user_id=user_id, image_ids=list(image_ids))
        return {image_id: (frames, content_type) for image_id, frames, content_type in rows}

    def accept_all(
        self,
        caller: Caller,
        image_ids: Sequence[int],
        changes: Mapping[str, Any] | None,
        refused: Mapping[int, str],
    ) -> tuple[Answer, list[Event]]:
        event_type = events.DELETE_REQUESTED if changes is None else events.UPDATE_REQUESTED
        data: dict[str, Any] = {"user_id": caller.user_id}
        if changes is not None:
            data["changes"] = dict(changes)
        exists, holds_claims, results, accepted = self._database.only_row(
            _DELETE_ALL if changes is None else _UPDATE_ALL,
            **_of_caller(caller, event_type, data),
            image_ids=list(image_ids),
            event_ids=[events.new_id() for _ in image_ids],
            refused=json.dumps({str(each): {"resolution": why} for each, why in refused.items()}),
            **self._update_parameters(changes or {}),
        )
        _require(exists)
        if not holds_claims:
            raise RequestInProgress
        order = {image_id: place for place, image_id in enumerate(image_ids)}
        return Answer(0, 0, results), [
            Event(
                *(event_id, event_type, image_id, sequence, data),
                *(caller.correlation_id, accepted_at),
                *(caller.traceparent, caller.client_correlation_id),
            )
            for event_id, image_id, sequence, accepted_at in sorted(
                accepted, key=lambda each: order[each[1]]
            )
        ]

    def find(self, user_id: int, image_id: int) -> dict[str, Any] | None:
        row = self._database.only_row(_FIND, user_id=user_id, image_id=image_id)
        _require(row[0])
        if row[1] is None:
            return None
        image: dict[str, Any] = orjson.loads(row[1])
        return image

    def original(self, user_id: int, image_id: int) -> Original | None:
        exists, key, title = self._database.only_row(_ORIGINAL, user_id=user_id, image_id=image_id)
        _require(exists)
        return None if key is None else Original(key, title)

    def page(self, user_id: int, query: ListQuery) -> FoundPage:
        window = int(self._now_seconds() / _MANY_FOR_SECONDS)
        filtered = (user_id, query.filters)
        many = self._many.find(window, filtered) or frozenset()
        parameters, images_text = parameters_of(user_id, query), None
        # Each time with one scope more, of three, that is known to have many.
        while images_text is None:
            statement = page_statement(shape_of(user_id, query, many), _USER_EXISTS, _IMAGE_JSON)
            row = self._database.only_row(statement, **parameters)
            exists, total, is_exact, new_many, images_text, last_key, stop_key, stop_id = row
            _require(exists)
            if new_many:
                many = self._many.keep(window, filtered, many | frozenset(new_many))
        images = orjson.loads(images_text)
        next_after = None if stop_key is None else Position(stop_key, stop_id)
        if len(images) > query.limit:
            next_after = Position(last_key, images[query.limit - 1]["id"])
        return FoundPage(images[: query.limit], total, is_exact, next_after)

    def _accept(
        self,
        statement: str,
        event_type: str,
        caller: Caller,
        data: dict[str, Any],
        **parameters: Any,
    ) -> Event | None:
        event_id = events.new_id()
        exists, holds_claims, refusal, image_id, sequence, accepted_at = self._database.only_row(
            statement, event_id=event_id, **_of_caller(caller, event_type, data), **parameters
        )
        _require(exists)
        self._admit(refusal)
        if not holds_claims:
            # It took so long that the same request, sent again, has taken its place.
            raise RequestInProgress
        if sequence is None:
            return None
        return Event(
            *(event_id, event_type, image_id, sequence, data),
            *(caller.correlation_id, accepted_at),
            *(caller.traceparent, caller.client_correlation_id),
        )

    def _update_parameters(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "visibility": changes.get("visibility"),
            "hides": changes.get("visibility") == "private",
            "trashes": changes.get("trashed") is True,
            "renders": "resolution" in changes,
            "limit_bytes": self._limits.bytes,
            "limit_unfinished_changes": self._limits.unfinished_changes,
        }

    def _upload_limits(self) -> dict[str, int]:
        return {
            "limit_images": self._limits.images,
            "limit_bytes": self._limits.bytes,
            "limit_unfinished_changes": self._limits.unfinished_changes,
        }

    def _admit(self, reason: str | None) -> None:
        if reason is not None:
            raise self.refusal(reason)

    def refusal(self, reason: str) -> ImageApiError:
        match reason:
            case "version":
                return PreconditionFailed()
            case "images":
                return QuotaExceeded(
                    f"This account has {self._limits.images} images, as many as it may: "
                    "delete some first"
                )
            case "bytes":
                return QuotaExceeded(
                    f"This account may store {self._limits.bytes / 1e9:g} GB, and this would be "
                    "more: delete some images first"
                )
            case _:
                return TooMuchUnderWay(
                    f"{self._limits.unfinished_changes} changes of this account are not processed "
                    "yet, as many as it may have at a time",
                    _RETRY_AFTER_SECONDS,
                )


def _of_caller(caller: Caller, event_type: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "user_id": caller.user_id,
        "claim_ids": list(caller.claim_ids),
        "event_type": event_type,
        "data": json.dumps(data),
        "correlation_id": caller.correlation_id,
        "traceparent": caller.traceparent,
        "client_correlation_id": caller.client_correlation_id,
    }


def _require(user_exists: bool) -> None:
    if not user_exists:
        raise Unauthenticated(NO_LONGER_SIGNED_IN)
