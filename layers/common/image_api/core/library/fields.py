"""What the fields of an image may hold: titles, descriptions, tags, resolutions."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, Field

from image_api.core.characters import has_nothing_to_see, is_control, without_invisible
from image_api.imaging import MAX_PIXELS

TITLE_MAX_CHARACTERS = 255
DESCRIPTION_MAX_CHARACTERS = 2_000
TAG_MAX_CHARACTERS = 64
MAX_TAGS = 32
MAX_SIDE_PIXELS = 10_000

_RESOLUTION = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", re.ASCII)
_RESOLUTION_AS_SENT = r"^\s*[1-9][0-9]{0,4}[xX][1-9][0-9]{0,4}\s*$"


def parse_resolution(value: str) -> tuple[int, int]:
    """(width, height) in pixels of a `WxH`; raises ValueError in words."""
    match = _RESOLUTION.fullmatch(value.strip().lower())
    if match is None:
        raise ValueError("The resolution must look like 1920x1080")
    width, height = int(match[1]), int(match[2])
    if max(width, height) > MAX_SIDE_PIXELS or width * height > MAX_PIXELS:
        raise ValueError(
            "The resolution is too large: at most 10000 pixels a side, and 50 megapixels"
        )
    return width, height


def checked_title(value: str) -> str:
    """The title without any folders before it."""
    title = _base_name(value)
    if not title:
        raise ValueError("The title is empty; it needs 1 to 255 characters")
    if len(title) > TITLE_MAX_CHARACTERS:
        raise ValueError(f"The title has {len(title)} characters; at most 255 are allowed")
    if any(is_control(character) for character in title):
        raise ValueError("The title contains a control character")
    if without_invisible(title) != title or has_nothing_to_see(title):
        raise ValueError("The title contains an invisible character")
    return title


def checked_description(value: str) -> str:
    description = unicodedata.normalize("NFC", value.replace("\r\n", "\n"))
    if len(description) > DESCRIPTION_MAX_CHARACTERS:
        raise ValueError(
            f"The description has {len(description)} characters; at most "
            f"{DESCRIPTION_MAX_CHARACTERS} are allowed"
        )
    if any(is_control(character) and character not in "\n\t" for character in description):
        raise ValueError(
            "The description contains a control character other than line ends and tabs"
        )
    return description


def checked_tag(value: str) -> str:
    tag = unicodedata.normalize("NFC", value).strip()
    if not 1 <= len(tag) <= TAG_MAX_CHARACTERS:
        raise ValueError(
            f"A tag has {len(tag)} characters; it needs 1 to {TAG_MAX_CHARACTERS}, without the "
            "spaces around it"
        )
    if any(is_control(character) for character in tag):
        raise ValueError("A tag contains a control character")
    if without_invisible(tag) != tag or has_nothing_to_see(tag):
        raise ValueError("A tag contains an invisible character")
    return tag


def tag_key(tag: str) -> str:
    """What two tags have in common that differ by case alone."""
    return unicodedata.normalize("NFC", tag.casefold())


def each_once(tags: list[str]) -> list[str]:
    """As it is written first."""
    by_key: dict[str, str] = {}
    for tag in tags:
        by_key.setdefault(tag_key(tag), tag)
    return list(by_key.values())


def title_from_filename(filename: str | None, extension: str) -> str:
    """A title from what a client calls its file, which may be anything."""
    printable = "".join(c for c in _base_name(filename or "") if not is_control(c))
    cleaned = without_invisible(without_invisible(printable).strip()[:TITLE_MAX_CHARACTERS]).strip()
    return f"image.{extension}" if has_nothing_to_see(cleaned) else cleaned


def _checked_resolution(value: str) -> str:
    width, height = parse_resolution(value)
    return f"{width}x{height}"


def _base_name(value: str) -> str:
    name = re.split(r"[/\\]", unicodedata.normalize("NFC", value))[-1].strip()
    return "" if name in (".", "..") else name


def _checked_title_part(value: str) -> str:
    if any(is_control(character) for character in value):
        raise ValueError("A title must not contain control characters")
    return normalised(value)


def normalised(value: str) -> str:
    """As titles and tags are kept."""
    return unicodedata.normalize("NFC", value).strip()


Title = Annotated[
    str,
    AfterValidator(checked_title),
    Field(json_schema_extra={"minLength": 1, "maxLength": TITLE_MAX_CHARACTERS, "pattern": r"\S"}),
]
Description = Annotated[
    str,
    AfterValidator(checked_description),
    Field(json_schema_extra={"maxLength": DESCRIPTION_MAX_CHARACTERS}),
]
Tag = Annotated[
    str,
    AfterValidator(checked_tag),
    Field(json_schema_extra={"maxLength": TAG_MAX_CHARACTERS}),
]
_NotEmpty = Annotated[Tag, Field(json_schema_extra={"minLength": 1})]
Tags = Annotated[list[_NotEmpty], Field(max_length=MAX_TAGS), AfterValidator(each_once)]
TitlePart = Annotated[
    str, Field(max_length=TITLE_MAX_CHARACTERS), AfterValidator(_checked_title_part)
]
Resolution = Annotated[
    str,
    AfterValidator(_checked_resolution),
    Field(json_schema_extra={"pattern": _RESOLUTION_AS_SENT}),
]
