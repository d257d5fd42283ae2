"""Passwords: what one may be, how it is kept, and how it is compared."""

from __future__ import annotations

import secrets
import unicodedata
from functools import cache
from typing import Annotated

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from pydantic import AfterValidator, Field

MIN_CHARACTERS = 4
MAX_CHARACTERS = 50
SPECIAL_CHARACTERS = "!@#$%^&*()_+[]{}|;:',.<>/?"
_SPECIAL_CHARACTER = "[" + SPECIAL_CHARACTERS.replace("[", r"\[").replace("]", r"\]") + "]"

# Without those that are taken for one another. Twenty of them have 96 bits.
_READABLE = "abcdefghijkmnpqrstuvwxyz23456789"

# OWASP's minimum for argon2id: 19 MiB, two passes, one lane.
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


def checked_password(value: str) -> str:
    """Composed: the same password typed on another system comes in other pieces (RFC 8265)."""
    value = unicodedata.normalize("NFC", value)
    if len(value) < MIN_CHARACTERS:
        raise ValueError("The password is too short; it needs 4 to 50 characters")
    if len(value) > MAX_CHARACTERS:
        raise ValueError("The password is too long; it may have at most 50 characters")
    if not any(character in SPECIAL_CHARACTERS for character in value):
        raise ValueError(f"The password needs at least one of {SPECIAL_CHARACTERS}")
    if any(unicodedata.category(character) == "Cs" for character in value):
        raise ValueError("The password contains an invalid Unicode character")
    return value


Password = Annotated[
    str,
    AfterValidator(checked_password),
    Field(
        description=f"4 to 50 characters, at least one of {SPECIAL_CHARACTERS}",
        json_schema_extra={
            "minLength": MIN_CHARACTERS,
            "maxLength": MAX_CHARACTERS,
            "pattern": _SPECIAL_CHARACTER,
        },
    ),
]
# Rules are not checked: what is wrong is wrong.
TypedPassword = Annotated[str, Field(max_length=1024)]


def hash_of(password: str) -> str:
    return _hasher.hash(password)


def is_outdated(password_hash: str) -> bool:
    """Made with less work than a hash is made with today."""
    return _hasher.check_needs_rehash(password_hash)


def matches(password_hash: str, password: str) -> bool:
    try:
        return _hasher.verify(password_hash, password.encode("utf-8", "surrogatepass"))
    except (VerificationError, InvalidHashError):
        return False


@cache
def decoy_hash() -> str:
    """Compared with when the name is unknown, so that the answer takes as long."""
    return _hasher.hash("nobody has this password")


def new_password() -> tuple[str, str]:
    """One that nobody else knows, easy to read to somebody, and its hash."""
    groups = ("".join(secrets.choice(_READABLE) for _ in range(4)) for _ in range(5))
    password = ".".join(groups)
    return password, _hasher.hash(password)
