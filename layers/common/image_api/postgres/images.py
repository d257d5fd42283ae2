"""The tables `images`, `renditions` and `image_totals`, and the events written with them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from typing import Any

import orjson

from image_api.core import events
from image_api.core.downloads import Original
from image_api.core.events import Event
from image_api.core.images import Caller, FoundPage, ListQuery, Status, tag_key
from image_api.core.uploads import NewImage
from image_api.errors import (
    PreconditionFailed,
    QuotaExceeded,
    RequestInProgress,
    TooMuchUnderWay,
    Unauthenticated,
    UploadNotFound,
)
from image_api.postgres.changes import INSERT_CHANGE
from image_api.postgres.closed_accounts import owner_stays
from image_api.postgres.database import Database, UniqueViolation, texts
from image_api.postgres.idempotency import (
    ANSWER_CLAIMS,
    HOLD_CLAIMS,
    HOLDS_CLAIMS,
    PostgresKeyRecords,
)
from image_api.postgres.signed_in import IS_SIGNED_IN, NO_LONGER_SIGNED_IN
from image_api.postgres.title_search import MOST_COUNTED, title_search
from image_api.settings import AccountLimits

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


def _accept(steps: str, refusal: str, changed: str) -> str:
    """`changed` yields what it accepts, if every claim of the request still holds."""
    return f"""
WITH claim AS ({HOLD_CLAIMS}), {steps}, changed AS ({changed}
), answered AS ({ANSWER_CLAIMS}), event AS ({INSERT_CHANGE})
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
_ACCEPT_UPDATE = _accept(
    f"""found AS ({_OWN_IMAGE}),
usage AS ({_USAGE_OF_USER.format(user_id="(SELECT f.user_id FROM found AS f)")}),
admission AS (SELECT coalesce({_REFUSES_VERSION}, {_REFUSES_UPDATE}) AS refusal
              FROM usage AS u)""",
    _REFUSAL,
    f"""
    UPDATE images AS i
    SET status = 'processing', error = NULL, updated_at = now(),
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
    SET deleted_at = now(), updated_at = now(), accepted_sequence = i.accepted_sequence + 1
    FROM found AS f
    WHERE i.id = f.id AND {HOLDS_CLAIMS} AND {_IS_ADMITTED}
    RETURNING i.user_id, i.id AS image_id, i.accepted_sequence AS sequence, :data::jsonb AS data""",
)

# Read before the file is stored: what is refused anyway costs no storage.
_ADMISSION = f"""
SELECT ({_USER_EXISTS}),
       (SELECT {_REFUSES_UPLOAD} FROM account_usage AS u WHERE u.user_id = :user_id)
"""

_MOVEMENT = """
SELECT i.frames, i.content_type FROM images AS i
WHERE i.id = :image_id AND i.user_id = :user_id AND i.deleted_at IS NULL AND i.frames > 0
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

# The fields in the order and the form in which clients see them. Postgres builds the JSON:
# parsing rows in Python takes six times as long. The URLs are object keys here.
_IMAGE_JSON = f"""json_build_object(
    'id', i.id, 'title', i.title, 'resolution', i.width || 'x' || i.height,
    'size', i.size_bytes, 'file_path', i.object_key,
    'created_at', rfc3339(i.created_at), 'updated_at', rfc3339(i.updated_at),
    'user_id', i.user_id, 'status', i.status, 'error', i.error,
    'content_type', i.content_type, 'visibility', {SHOWN_VISIBILITY},
    'url', CASE WHEN i.rendered_at IS NOT NULL THEN i.object_key END,
    'thumbnail_url', (SELECT t.object_key FROM renditions AS t
                      WHERE t.image_id = i.id AND t.name = 'thumbnail'),
    'preview_url', (SELECT p.object_key FROM renditions AS p
                    WHERE p.image_id = i.id AND p.name = 'preview'),
    'rendition_url', CASE WHEN i.rendered_at IS NOT NULL THEN json_build_array(
        i.link_generation, CASE i.visibility WHEN 'shared' THEN i.public_secret END) END,
    'username', (SELECT u.username FROM users AS u WHERE u.id = i.user_id),
    'width', i.width, 'height', i.height,
    'description', i.description, 'tags', array_to_json(i.tags),
    'animated', coalesce((SELECT r.animated FROM renditions AS r
                          WHERE r.image_id = i.id AND r.name = 'image'), i.frames > 1, false),
    'placeholder', i.placeholder,
    'taken_at', CASE WHEN i.user_id = :user_id
                     THEN to_char(i.taken_at, 'YYYY-MM-DD"T"HH24:MI:SS') END,
    'trashed_at', CASE WHEN i.visibility = 'trashed' THEN rfc3339(i.trashed_at) END,
    'version', i.accepted_sequence)"""

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


@cache
def _page_statement(mine_only: bool, status: Status | None, by_title: bool) -> str:
    """What the user may see, and how many there are: kept by triggers, since counting a million
    rows takes longer than the page; of a title's part right up to MOST_COUNTED.

    The status stands in the text: a plan for any status could not use the indexes of some.
    """
    if by_title and status in (None, "ready"):
        return _title_page_statement(mine_only, ready_only=status is not None)
    filters = f" AND i.status = '{status}'" if status else ""
    if by_title:
        # Few are not ready.
        filters += " AND strpos(lower(i.title), lower(:title::text)) > 0"
    shared = (
        "i.user_id = :user_id AND i.visibility = 'shared'"
        if mine_only
        else f"i.visibility = 'shared' AND {owner_stays('i')}"
    )
    scopes = [shared, "i.user_id = :user_id AND i.visibility = 'private'"]
    # Two keyset scans, of what everybody sees and of the user's own, merged by id: one with OR
    # would wade through everybody's private images.
    scans = " UNION ALL ".join(
        f"(SELECT i.* FROM images AS i WHERE i.deleted_at IS NULL AND {scope}{filters} "
        "AND i.id < :before_id ORDER BY i.id DESC LIMIT :scan_limit)"
        for scope in scopes
    )
    if by_title:
        counts = " + ".join(
            "(SELECT count(*) FROM (SELECT FROM images AS i WHERE i.deleted_at IS NULL "
            f"AND {scope}{filters} LIMIT {MOST_COUNTED + 1}) AS m)"
            for scope in scopes
        )
    else:
        kept = (
            "(n.user_id = :user_id AND n.visibility <> 'trashed')"
            if mine_only
            else "(n.user_id = 0 OR (n.user_id = :user_id AND n.visibility = 'private'))"
        )
        by = f" AND n.status = '{status}'" if status else ""
        counts = f"(SELECT coalesce(sum(n.images), 0) FROM image_totals AS n WHERE {kept}{by})"
        if not mine_only:
            counts += (
                " - (SELECT coalesce(sum((SELECT sum(n.images) FROM image_totals AS n"
                f" WHERE n.user_id = c.user_id AND n.visibility = 'shared'{by})), 0)"
                " FROM closed_accounts AS c)"
            )
    return f"""
SELECT ({_USER_EXISTS}),
       ({counts})::bigint,
       (SELECT coalesce(json_agg({_IMAGE_JSON} ORDER BY i.id DESC), '[]')::text
        FROM (SELECT s.* FROM ({scans}) AS s ORDER BY s.id DESC LIMIT :scan_limit) AS i)
"""


def _title_page_statement(mine_only: bool, *, ready_only: bool) -> str:
    own = "t.user_id = :user_id"
    own_term = "'user ' || :user_id::bigint"
    search = title_search(
        {
            **(
                {f"{own} AND t.visibility = 'shared'": f"ARRAY[{own_term}, 'shared']"}
                if mine_only
                else {"t.visibility = 'shared'": "ARRAY['shared']"}
            ),
            f"{own} AND t.visibility = 'private'": f"ARRAY[{own_term}, 'private']",
        },
        ready_only=ready_only,
    )
    return f"""
WITH {search.steps}
SELECT ({_USER_EXISTS}),
       ({search.count})::bigint,
       (SELECT coalesce(json_agg({_IMAGE_JSON} ORDER BY i.id DESC), '[]')::text
        FROM (SELECT s.image_id FROM ({search.image_ids}) AS s
              ORDER BY s.image_id DESC LIMIT :scan_limit) AS p
        JOIN images AS i ON i.id = p.image_id)
"""


_NO_CURSOR = 2**63 - 1
# What is accepted now is usually done by then.
_RETRY_AFTER_SECONDS = 5


class PostgresImageRecords(PostgresKeyRecords):
    """What is accepted and what is shown; the keys of requests are in the same transactions."""

    def __init__(self, database: Database, limits: AccountLimits | None = None) -> None:
        """Without `limits` an account may have as much as it likes."""
        super().__init__(database)
        self._limits = limits or AccountLimits()

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
        row = self._database.row(_MOVEMENT, user_id=user_id, image_id=image_id)
        return (row[0], row[1]) if row is not None else None

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
        try:
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
        except UniqueViolation as error:
            # Keys are random: it is an upload that was completed so long ago that its answer is
            # forgotten.
            raise UploadNotFound from error
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
            visibility=changes.get("visibility"),
            hides=changes.get("visibility") == "private",
            trashes=changes.get("trashed") is True,
            renders="resolution" in changes,
            limit_bytes=self._limits.bytes,
            limit_unfinished_changes=self._limits.unfinished_changes,
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
        by_title = query.title is not None
        exists, total, images = self._database.only_row(
            _page_statement(query.mine_only, query.status, by_title),
            user_id=user_id,
            before_id=_NO_CURSOR if query.before_id is None else query.before_id,
            scan_limit=query.limit + 1,
            **({"title": query.title} if by_title else {}),
        )
        _require(exists)
        if by_title and total > MOST_COUNTED:
            return FoundPage(orjson.loads(images), MOST_COUNTED, is_total_exact=False)
        return FoundPage(orjson.loads(images), total, is_total_exact=True)

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
            statement,
            user_id=caller.user_id,
            claim_ids=list(caller.claim_ids),
            event_id=event_id,
            event_type=event_type,
            data=json.dumps(data),
            correlation_id=caller.correlation_id,
            traceparent=caller.traceparent,
            client_correlation_id=caller.client_correlation_id,
            **parameters,
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

    def _upload_limits(self) -> dict[str, int]:
        return {
            "limit_images": self._limits.images,
            "limit_bytes": self._limits.bytes,
            "limit_unfinished_changes": self._limits.unfinished_changes,
        }

    def _admit(self, refusal: str | None) -> None:
        match refusal:
            case "version":
                raise PreconditionFailed
            case "images":
                raise QuotaExceeded(
                    f"This account has {self._limits.images} images, as many as it may: "
                    "delete some first"
                )
            case "bytes":
                raise QuotaExceeded(
                    f"This account may store {self._limits.bytes / 1e9:g} GB, and this would be "
                    "more: delete some images first"
                )
            case "unfinished_changes":
                raise TooMuchUnderWay(
                    f"{self._limits.unfinished_changes} changes of this account are not processed "
                    "yet, as many as it may have at a time",
                    _RETRY_AFTER_SECONDS,
                )


def _require(user_exists: bool) -> None:
    if not user_exists:
        raise Unauthenticated(NO_LONGER_SIGNED_IN)
