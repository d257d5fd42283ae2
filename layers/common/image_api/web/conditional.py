"""Conditional requests (RFC 9110, section 13): ETags, If-None-Match and If-Match."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Annotated, Any

import orjson
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Header

from image_api.errors import InvalidRequest

_TAG = r'(?:W/)?"[!\x23-\x7e\x80-\xff]*"'
_ANY = "*"
# An empty element is none (RFC 9110, 5.6.1).
_TAGS = re.compile(rf"[ \t]*(?:,[ \t]*)*(?:{_TAG}[ \t]*(?:,[ \t]*)+)*(?:{_TAG}[ \t]*)?", re.ASCII)
_VERSION = re.compile(r'"([1-9][0-9]{0,8})(?:-[0-9a-f]+)?"', re.ASCII)

# The same as a schema may say it, but for letters that are not ASCII.
_TAG_AS_SENT = r'(W/)?"[!#-~]*"[ \t]*'
_PATTERN = rf"^[ \t]*(\*[ \t]*|(,[ \t]*)*({_TAG_AS_SENT}(,[ \t]*)+)*({_TAG_AS_SENT})?)$"

IfNoneMatch = Annotated[
    str | None,
    Header(
        alias="If-None-Match",
        json_schema_extra={"pattern": _PATTERN},
        description="ETags that are known; where the answer still has one of them it is 304, "
        "without a body",
    ),
]
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        json_schema_extra={"pattern": _PATTERN},
        description='The version that this is about in double quotes, such as `"3"`, or an ETag of '
        "the image: 412 if there was a change meanwhile",
    ),
]

HEADERS = {"ETag": "Of what is shown here, and of how long its URLs are valid"}


def versions_of(if_match: str | None) -> list[int] | None:
    """Those that an image may be at; None for any. Raises InvalidRequest.

    Of an image's own ETag its version counts: what else it stands for, such as URLs that are signed
    anew, is not a change. A weak ETag never matches (RFC 9110, 13.1.1).
    """
    if if_match is None or if_match.strip() == _ANY:
        return None
    matches = [_VERSION.fullmatch(tag) for tag in _tags(if_match, "If-Match")]
    return [int(match[1]) for match in matches if match is not None]


def answer(
    body: object,
    headers: Mapping[str, str] | None = None,
    *,
    if_none_match: str | None,
    version: int | None = None,
) -> Response[Any]:
    """The body with its ETag, which begins with the version of an image; 304 to whoever has it.
    Raises InvalidRequest.
    """
    text = orjson.dumps(body)
    digest = hashlib.sha256(text + orjson.dumps(dict(headers or {}))).hexdigest()[:32]
    tag = f'"{digest}"' if version is None else f'"{version}-{digest}"'
    sent = {"ETag": tag, **(headers or {})}
    return (
        Response(304, None, None, sent)
        if _has(if_none_match, tag)
        else Response(200, "application/json", text.decode(), sent)
    )


def _has(if_none_match: str | None, tag: str) -> bool:
    """By weak comparison: what a proxy has made weak is still the same (RFC 9110, 13.1.2)."""
    if if_none_match is None:
        return False
    if if_none_match.strip() == _ANY:
        return True
    return tag in {known.removeprefix("W/") for known in _tags(if_none_match, "If-None-Match")}


def _tags(value: str, header: str) -> list[str]:
    if _TAGS.fullmatch(value) is None:
        raise InvalidRequest(header, 'ETags are needed, in double quotes, such as "3", or *')
    return re.findall(_TAG, value)
