"""Users: the rules of names and passwords, registering, signing in."""

from __future__ import annotations

import ipaddress
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Literal, Protocol

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from image_api.core import metrics
from image_api.core.characters import has_nothing_to_see, is_invisible
from image_api.errors import TooManyAttempts, WrongCredentials

USERNAME_MAX_CHARACTERS = 64
PASSWORD_MIN_CHARACTERS = 4
PASSWORD_MAX_CHARACTERS = 50
SPECIAL_CHARACTERS = "!@#$%^&*()_+[]{}|;:',.<>/?"
_SPECIAL_CHARACTER = "[" + SPECIAL_CHARACTERS.replace("[", r"\[").replace("]", r"\]") + "]"

# OWASP's minimum for argon2id: 19 MiB, two passes, one lane.
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


def checked_username(value: str) -> str:
    """The name as it is kept: trimmed and in Unicode's composed form."""
    name = unicodedata.normalize("NFC", value).strip()
    if not name:
        raise ValueError("The name is empty; it needs 1 to 64 characters")
    if len(name) > USERNAME_MAX_CHARACTERS:
        raise ValueError(f"The name has {len(name)} characters; at most 64 are allowed")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise ValueError("The name contains a control character")
    if any(is_invisible(character) for character in name) or has_nothing_to_see(name):
        raise ValueError("The name contains an invisible character")
    return name


def checked_password(value: str) -> str:
    """Composed: the same password typed on another system comes in other pieces (RFC 8265)."""
    value = unicodedata.normalize("NFC", value)
    if len(value) < PASSWORD_MIN_CHARACTERS:
        raise ValueError("The password is too short; it needs 4 to 50 characters")
    if len(value) > PASSWORD_MAX_CHARACTERS:
        raise ValueError("The password is too long; it may have at most 50 characters")
    if not any(character in SPECIAL_CHARACTERS for character in value):
        raise ValueError(f"The password needs at least one of {SPECIAL_CHARACTERS}")
    if any(unicodedata.category(character) == "Cs" for character in value):
        raise ValueError("The password contains an invalid Unicode character")
    return value


class Registration(BaseModel):
    """What somebody who registers sends."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"username": "ada", "password": "analytical!engine"}]},
    )

    username: Annotated[
        str,
        AfterValidator(checked_username),
        Field(
            description="1 to 64 characters after trimming; unique regardless of case",
            json_schema_extra={"minLength": 1, "pattern": r"\S"},
        ),
    ]
    password: Annotated[
        str,
        AfterValidator(checked_password),
        Field(
            description=f"4 to 50 characters, at least one of {SPECIAL_CHARACTERS}",
            json_schema_extra={
                "minLength": PASSWORD_MIN_CHARACTERS,
                "maxLength": PASSWORD_MAX_CHARACTERS,
                "pattern": _SPECIAL_CHARACTER,
            },
        ),
    ]


class Credentials(BaseModel):
    """What somebody who signs in sends. Rules are not checked: a wrong pair is a wrong pair."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"username": "ada", "password": "analytical!engine"}]},
    )

    username: Annotated[str, Field(max_length=1024)]
    password: Annotated[str, Field(max_length=1024)]


class AccessToken(BaseModel):
    """The token that every other request needs, for the header `Authorization: Bearer`."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - a kind, not a password


@dataclass(frozen=True, slots=True)
class SignInAttempt:
    """What is known when somebody tries to sign in; the attempt is already counted."""

    user_id: int | None
    password_hash: str | None
    retry_after_seconds: int


class UserRecords(Protocol):
    def begin_registration(self, network: str) -> int:
        """Counts the attempt, whatever comes of it; the seconds to wait, or 0 if it may go on."""

    def add(
        self, username: str, username_key: str, password_hash: str, network: str | None = None
    ) -> int:
        """The new user's id; raises UsernameTaken. `network`: where they sign in with this."""

    def begin_sign_in(self, username_key: str, network: str) -> SignInAttempt: ...

    def sign_in_succeeded(
        self, username_key: str, network: str, user_id: int, new_password_hash: str | None
    ) -> None: ...


class TokenIssuer(Protocol):
    def issue(self, user_id: int) -> str: ...


def register(
    records: UserRecords, tokens: TokenIssuer, registration: Registration, address: str
) -> AccessToken:
    """Raises UsernameTaken, or TooManyAttempts before any work is done."""
    network = network_of(address)
    retry_after_seconds = records.begin_registration(network)
    if retry_after_seconds > 0:
        raise TooManyAttempts(retry_after_seconds, of="registrations from this address")
    user_id = records.add(
        registration.username,
        _username_key(registration.username),
        _hasher.hash(registration.password),
        network,
    )
    return AccessToken(access_token=tokens.issue(user_id))


def sign_in(
    records: UserRecords, tokens: TokenIssuer, credentials: Credentials, address: str
) -> AccessToken:
    """Raises WrongCredentials or TooManyAttempts, alike for names that exist and that do not."""
    name_key, network = _username_key(credentials.username), network_of(address)
    attempt = records.begin_sign_in(name_key, network)
    if attempt.retry_after_seconds > 0:
        metrics.sign_in_refused()
        raise TooManyAttempts(attempt.retry_after_seconds)
    password = unicodedata.normalize("NFC", credentials.password)
    password_hash = attempt.password_hash or _hash_of_nobody()
    outdated = False
    verified = _verify(password_hash, password)
    if not verified and password != credentials.password:
        # It may have been set before passwords were composed. What this takes tells of what was
        # typed, not of the account.
        verified = outdated = _verify(password_hash, credentials.password)
    if not verified or attempt.user_id is None or attempt.password_hash is None:
        metrics.sign_in_failed()
        raise WrongCredentials
    outdated = outdated or _hasher.check_needs_rehash(attempt.password_hash)
    records.sign_in_succeeded(
        name_key,
        network,
        attempt.user_id,
        _hasher.hash(password) if outdated else None,
    )
    return AccessToken(access_token=tokens.issue(attempt.user_id))


def network_of(address: str) -> str:
    """Whom attempts are counted for: of IPv6 a client has all the addresses of a /64."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


def _username_key(username: str) -> str:
    """What must be unique: the name without case. Empty for what no user can be called."""
    name = unicodedata.normalize("NFKC", username).strip()
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        return ""
    # Composed before as well: the capital of a script or a ligature has a case only once it is
    # taken apart.
    return unicodedata.normalize("NFKC", name.casefold())


def _verify(password_hash: str, password: str) -> bool:
    try:
        return _hasher.verify(password_hash, password.encode("utf-8", "surrogatepass"))
    except (VerificationError, InvalidHashError):
        return False


@cache
def _hash_of_nobody() -> str:
    """Compared with when the name is unknown, so that the answer takes as long."""
    return _hasher.hash("nobody has this password")
