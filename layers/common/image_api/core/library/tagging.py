"""Which tags there are, and how many images have each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field

from image_api.core.library import cursors
from image_api.core.library.fields import TAG_MAX_CHARACTERS
from image_api.errors import InvalidRequest

# What one tag is compared by is longer than the tag where letters are, without case, several.
_MAX_KEY_CHARACTERS = 4 * TAG_MAX_CHARACTERS
_MAX_ID = 2**63 - 1


class TagView(BaseModel):
    """A tag, as it was written first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"tag": "rocket", "images": 12}]})

    tag: str
    images: Annotated[int, Field(description="How many of the images that you may see have it")]


class Position(NamedTuple):
    """Where a page ends: the most used come first, and then by their keys."""

    images: int
    tag_key: str


class FoundTags(NamedTuple):
    tags: list[dict[str, Any]]
    next_after: Position | None


@dataclass(frozen=True, slots=True)
class TagPage:
    tags: list[dict[str, Any]]
    next_cursor: str | None


class TagRecords(Protocol):
    def tags(
        self, user_id: int, owner_id: int | None, limit: int, after: Position | None
    ) -> FoundTags:
        """The fields of TagView, of what a user may see, or of that what is one owner's. Raises
        Unauthenticated when the user is gone.
        """


def tag_page(
    records: TagRecords, user_id: int, owner: str | None, limit: int, cursor: str | None
) -> TagPage:
    """`owner`: me, or an id. Raises InvalidRequest for a cursor that is not of this list."""
    owner_id = user_id if owner == "me" else int(owner) if owner else None
    if owner_id is not None and owner_id > _MAX_ID:
        raise InvalidRequest("owner", "The id is too large")
    of = ["tags", owner_id]
    after = _position(cursors.decode(cursor, of)) if cursor else None
    found = records.tags(user_id, owner_id, limit, after)
    following = found.next_after
    return TagPage(found.tags, None if following is None else cursors.encode(of, *following))


def _position(sent: list[object]) -> Position:
    match sent:
        case [int(images), str(tag_key)] if (
            0 <= images <= _MAX_ID
            and len(tag_key) <= _MAX_KEY_CHARACTERS
            and "\0" not in tag_key
            and not any("\ud800" <= character <= "\udfff" for character in tag_key)
        ):
            return Position(images, tag_key)
    raise cursors.invalid()
