"""Lists of images: what selects, in which order, and how one page leads to the next."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NamedTuple, Protocol

from pydantic import AfterValidator, Field

from image_api.core.characters import is_control
from image_api.core.library import cursors
from image_api.core.library.fields import TITLE_MAX_CHARACTERS, normalised, tag_key
from image_api.core.library.images import Links, Status, Visibility, with_links
from image_api.errors import InvalidRequest

Sort = Literal["-created_at", "created_at", "title", "-title", "size", "-size", "-taken_at"]

PAGE_DEFAULT = 100
PAGE_MAX = 100
MAX_IDS = 100

_ID = r"[1-9][0-9]{0,18}"
_MAX_ID = 2**63 - 1
_NEVER_TAKEN = "-infinity"
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(_DATE.pattern + r"T[0-9:]{8}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})")


def _moment(value: str) -> str:
    """In UTC, to the microsecond; of a date its beginning."""
    text = value.strip().upper()
    if _DATE.fullmatch(text):
        text += "T00:00:00Z"
    try:
        moment = datetime.fromisoformat(text if _MOMENT.fullmatch(text) else "")
        utc = moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(
            "A date is needed, such as 2026-11-02, or a time with its zone, such as "
            "2026-11-02T18:10:16Z"
        ) from error
    return f"{utc:%Y-%m-%dT%H:%M:%S.%fZ}".rjust(27, "0")


def _searched(value: str) -> str:
    text = normalised(value)
    if any(is_control(character) for character in text):
        raise ValueError("The search text must not contain control characters")
    if not any(character.isalnum() for character in text):
        raise ValueError("At least one word is needed, of letters or digits")
    return text


def _ids(value: str) -> str:
    if any(int(each) > _MAX_ID for each in value.split(",")):
        raise ValueError("An id is too large")
    return value


# As _moment reads it, whatever the case.
_MOMENT_AS_SENT = (
    rf"^\s*{_DATE.pattern}"
    r"([Tt][0-9:]{8}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2}))?\s*$"
)
Moment = Annotated[
    str, AfterValidator(_moment), Field(json_schema_extra={"pattern": _MOMENT_AS_SENT})
]
Words = Annotated[str, Field(max_length=TITLE_MAX_CHARACTERS), AfterValidator(_searched)]
Owner = Annotated[str, Field(pattern=f"^(me|{_ID})$")]
Ids = Annotated[str, Field(pattern=f"^{_ID}(,{_ID}){{0,{MAX_IDS - 1}}}$"), AfterValidator(_ids)]
ContentType = Annotated[str, Field(pattern=r"^\s*[A-Za-z]+/[A-Za-z0-9.+-]{1,64}\s*$")]


class Position(NamedTuple):
    """Where in its order a page ends: by what is sorted, as text, and the image with it."""

    key: str
    image_id: int


@dataclass(frozen=True, slots=True)
class Filters:
    """All must be so. `q`: words of title, description and tags; `tag_keys`: all of them;
    `created_after` and `created_before`: RFC 3339, without the moment itself.
    """

    owner_id: int | None = None
    ids: tuple[int, ...] | None = None
    status: Status | None = None
    title: str | None = None
    q: str | None = None
    tag_keys: tuple[str, ...] = ()
    visibility: Visibility | None = None
    content_type: str | None = None
    created_after: str | None = None
    created_before: str | None = None
    trashed: bool = False


@dataclass(frozen=True, slots=True)
class ListQuery:
    """`after`: where the page before has ended."""

    filters: Filters = Filters()
    sort: Sort = "-created_at"
    limit: int = PAGE_DEFAULT
    after: Position | None = None


class FoundPage(NamedTuple):
    """`next_after`: where the next page begins, if there may be one. `total` counts all that match;
    it is not exact where that would cost more than the page: there are at least so many.
    """

    images: list[dict[str, Any]]
    total: int
    is_total_exact: bool
    next_after: Position | None


@dataclass(frozen=True, slots=True)
class Page:
    """`images` as the client gets them; `total` as in FoundPage."""

    images: list[dict[str, Any]]
    total: int
    is_total_exact: bool
    next_cursor: str | None


class ListRecords(Protocol):
    def page(self, user_id: int, query: ListQuery) -> FoundPage:
        """With object keys for links. Raises Unauthenticated when the user is gone."""


class SentFilters(NamedTuple):
    """As they were sent, each by itself checked but for tags: what no tag can be finds none."""

    owner: str | None = None
    ids: str | None = None
    status: Status | None = None
    title: str | None = None
    q: str | None = None
    tags: list[str] | None = None
    visibility: Visibility | None = None
    content_type: str | None = None
    created_after: str | None = None
    created_before: str | None = None
    trashed: bool = False


def filters_of(user_id: int, sent: SentFilters, sort: Sort) -> Filters:
    """Raises InvalidRequest for what does not go together."""
    owner_id = user_id if sent.owner == "me" else int(sent.owner) if sent.owner else None
    if owner_id is not None and owner_id > _MAX_ID:
        raise InvalidRequest("owner", "The id is too large")
    if any(is_control(character) for tag in sent.tags or [] for character in tag):
        raise InvalidRequest("tag", "A tag must not contain control characters")
    if sent.trashed and owner_id not in (None, user_id):
        raise InvalidRequest("owner", "You can list only your own trash")
    if sort == "-taken_at":
        if owner_id not in (None, user_id):
            raise InvalidRequest(
                "owner", "-taken_at lists your own images only: send owner=me, or no owner"
            )
        owner_id = user_id
    if sent.trashed and sent.visibility is not None:
        raise InvalidRequest("visibility", "It cannot be combined with trashed=true")
    return Filters(
        owner_id=owner_id,
        ids=tuple(sorted({int(each) for each in sent.ids.split(",")})) if sent.ids else None,
        status=sent.status,
        title=sent.title,
        q=sent.q,
        tag_keys=tuple(sorted({tag_key(normalised(tag)) for tag in sent.tags or []} - {""})),
        visibility=sent.visibility,
        content_type=sent.content_type.strip().lower() if sent.content_type else None,
        created_after=sent.created_after,
        created_before=sent.created_before,
        trashed=sent.trashed,
    )


def query_of(filters: Filters, sort: Sort, limit: int, cursor: str | None) -> ListQuery:
    """Raises InvalidRequest for a cursor that is not of this list."""
    after = decode_cursor(cursor, filters, sort) if cursor else None
    return ListQuery(filters, sort, limit, after)


def list_page(records: ListRecords, links: Links, user_id: int, query: ListQuery) -> Page:
    found = records.page(user_id, query)
    after = found.next_after
    return Page(
        images=[with_links(image, links) for image in found.images],
        total=found.total,
        is_total_exact=found.is_total_exact,
        next_cursor=None if after is None else encode_cursor(query.filters, query.sort, after),
    )


def encode_cursor(filters: Filters, sort: Sort, after: Position) -> str:
    return cursors.encode(_of(filters, sort), *after)


def decode_cursor(cursor: str, filters: Filters, sort: Sort) -> Position:
    """Raises InvalidRequest, also for a cursor of another sort or of other filters."""
    match cursors.decode(cursor, _of(filters, sort)):
        case [str(key), int(image_id)] if _KEYS[sort.removeprefix("-")](key):
            if 0 <= image_id <= _MAX_ID:
                return Position(key, image_id)
    raise cursors.invalid()


def _of(filters: Filters, sort: Sort) -> object:
    # As asdict has it, which copies each value as well.
    return [sort, {field.name: getattr(filters, field.name) for field in fields(filters)}]


def _is_moment(key: str) -> bool:
    try:
        return datetime.strptime(key, "%Y-%m-%dT%H:%M:%S.%fZ").year > 0
    except ValueError:
        return False


def _is_capture(key: str) -> bool:
    try:
        return key == _NEVER_TAKEN or datetime.strptime(key, "%Y-%m-%dT%H:%M:%S").year > 0
    except ValueError:
        return False


def _is_number(key: str) -> bool:
    return re.fullmatch(r"0|" + _ID, key, re.ASCII) is not None and int(key) <= _MAX_ID


def _is_text(key: str) -> bool:
    return len(key) <= 4 * TITLE_MAX_CHARACTERS and not any(is_control(c) for c in key)


_KEYS = {
    "created_at": _is_moment,
    "title": _is_text,
    "size": _is_number,
    "taken_at": _is_capture,
}
