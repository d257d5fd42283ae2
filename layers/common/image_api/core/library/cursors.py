"""Cursors: where a list goes on, for the list that gave it and no other."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json

from image_api.errors import InvalidRequest

_INVALID = "The cursor is not valid; use the one from the Link header"
_OTHER = "The cursor belongs to another sort or to other filters: begin without one"


def encode(of: object, *position: str | int) -> str:
    """`of`: what the list is of, as JSON has it."""
    text = json.dumps([_digest(of), *position], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(cursor: str, of: object) -> list[object]:
    """The position, which may be anything: anybody can make a cursor. Raises InvalidRequest."""
    try:
        text = base64.b64decode(
            cursor.encode() + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True
        )
        sent: list[object] = json.loads(text)
        digest, *position = sent
    except (binascii.Error, ValueError, TypeError, RecursionError) as error:
        raise invalid() from error
    if not isinstance(digest, str):
        raise invalid()
    if digest != _digest(of):
        raise InvalidRequest("cursor", _OTHER)
    return position


def invalid() -> InvalidRequest:
    return InvalidRequest("cursor", _INVALID)


def _digest(of: object) -> str:
    return hashlib.sha256(json.dumps(of).encode()).hexdigest()[:16]
