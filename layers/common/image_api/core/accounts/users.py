"""Accounts: the rules of names; registering, signing in, leaving."""

from __future__ import annotations

import ipaddress
import unicodedata
from dataclasses import dataclass
from typing import Annotated, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from image_api.core import metrics
from image_api.core.accounts import passwords
from image_api.core.accounts.passwords import Password, TypedPassword
from image_api.core.accounts.sessions import AsCookie, Tokens
from image_api.core.characters import has_nothing_to_see, is_invisible, without_ignored
from image_api.errors import AccountLocked, TooManyAttempts, Unauthenticated, WrongCredentials

USERNAME_MAX_CHARACTERS = 64


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
            description="1 to 64 characters after trimming, no invisible or control characters; "
            "unique regardless of case",
            json_schema_extra={
                "minLength": 1,
                "maxLength": USERNAME_MAX_CHARACTERS,
                "pattern": r"\S",
            },
        ),
    ]
    password: Password
    cookie: AsCookie = False


class Credentials(BaseModel):
    """What somebody who signs in sends."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"username": "ada", "password": "analytical!engine"}]},
    )

    username: Annotated[str, Field(max_length=1024)]
    password: TypedPassword
    cookie: AsCookie = False


class PasswordChange(BaseModel):
    """The password as it is, and as it is to be."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"current_password": "analytical!engine", "new_password": "difference!engine"}
            ]
        },
    )

    current_password: TypedPassword
    new_password: Password
    cookie: AsCookie = False


class AccountDeletion(BaseModel):
    """The password, once more."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"password": "analytical!engine"}]}
    )

    password: TypedPassword


class AccountDeleted(BaseModel):
    detail: str = "The account is deleted; its files follow"


@dataclass(frozen=True, slots=True)
class SignInAttempt:
    """What is known when somebody tries to sign in; the attempt is already counted.

    `generation`: of the account's tokens, which are good for no longer than it lasts.
    """

    user_id: int | None
    password_hash: str | None
    retry_after_seconds: int
    generation: int = 0
    is_locked: bool = False


class UserRecords(Protocol):
    def begin_registration(self, network: str) -> int:
        """Counts the attempt, whatever comes of it; the seconds to wait, or 0 if it may go on."""

    def add(
        self, username: str, username_key: str, password_hash: str, network: str | None = None
    ) -> int:
        """The new user's id; raises UsernameTaken. `network`: where they sign in with this."""

    def begin_sign_in(self, username_key: str, network: str, typed_key: str) -> SignInAttempt:
        """For the account with `typed_key` if there is one, else with `username_key`, for which
        attempts count.
        """

    def sign_in_succeeded(self, username_key: str, network: str, user_id: int) -> None: ...

    def replace_hash(self, user_id: int, old_hash: str, new_hash: str) -> bool:
        """Of the same password, made in a better way; unless that is another one by now."""


class OwnAccountRecords(UserRecords, Protocol):
    """For who is signed in: raises Unauthenticated when they are so no longer."""

    def username_key(self, user_id: int) -> str: ...

    def change_password(self, user_id: int, old_hash: str, new_hash: str) -> int | None:
        """The generation of the tokens from now on; all others are good no longer. None when the
        password is another one by now.
        """

    def close(self, user_id: int, password_hash: str, correlation_id: str) -> bool:
        """From now on nobody is signed in to the account, nobody sees its images, and its name is
        free. False when the password is another one by now.
        """

    def forget_failures(self, username_key: str) -> None:
        """Those to sign in with this name, from wherever."""


class SessionStarter(Protocol):
    def begin(self, user_id: int, generation: int) -> Tokens: ...


def register(
    records: UserRecords, sessions: SessionStarter, registration: Registration, address: str
) -> Tokens:
    """Raises UsernameTaken, or TooManyAttempts before any work is done."""
    network = network_of(address)
    retry_after_seconds = records.begin_registration(network)
    if retry_after_seconds > 0:
        raise TooManyAttempts(retry_after_seconds, of="registrations from this address")
    user_id = records.add(
        registration.username,
        _username_key(registration.username),
        passwords.hash_of(registration.password),
        network,
    )
    return sessions.begin(user_id, 0)


def sign_in(
    records: UserRecords, sessions: SessionStarter, credentials: Credentials, address: str
) -> Tokens:
    """Raises WrongCredentials or TooManyAttempts, alike for names that exist and that do not, and
    AccountLocked for who knows the password.
    """
    verified = _verified(
        records, _key_as_typed(credentials.username), credentials.password, network_of(address)
    )
    if verified is None:
        raise WrongCredentials
    if verified.is_locked:
        raise AccountLocked
    return sessions.begin(verified.user_id, verified.generation)


def change_password(
    records: OwnAccountRecords,
    sessions: SessionStarter,
    user_id: int,
    change: PasswordChange,
    address: str,
) -> Tokens:
    """Signs everybody else out who has signed in to the account. Guesses at the current password
    are counted as those of signing in. Raises WrongCredentials or TooManyAttempts.
    """
    name_key = records.username_key(user_id)
    password_hash = _own_password_hash(records, user_id, name_key, change.current_password, address)
    generation = records.change_password(
        user_id, password_hash, passwords.hash_of(change.new_password)
    )
    if generation is None:
        raise Unauthenticated("The password was changed meanwhile: sign in again")
    return sessions.begin(user_id, generation)


def delete_account(
    records: OwnAccountRecords,
    user_id: int,
    deletion: AccountDeletion,
    address: str,
    correlation_id: str,
) -> AccountDeleted:
    """Guesses at the password are counted as those of signing in. Raises WrongCredentials or
    TooManyAttempts. `correlation_id`: of the request, for all that comes of it.
    """
    name_key = records.username_key(user_id)
    password_hash = _own_password_hash(records, user_id, name_key, deletion.password, address)
    if not records.close(user_id, password_hash, correlation_id):
        raise Unauthenticated("The password was changed meanwhile: sign in again")
    records.forget_failures(_counted_key(name_key))
    return AccountDeleted()


def _own_password_hash(
    records: OwnAccountRecords, user_id: int, name_key: str, password: str, address: str
) -> str:
    """The hash that is stored of the password that was typed; raises WrongCredentials."""
    verified = _verified(records, name_key, password, network_of(address))
    if verified is None or verified.user_id != user_id:
        raise WrongCredentials("The password is wrong")
    return verified.password_hash


@dataclass(frozen=True, slots=True)
class _Verified:
    user_id: int
    generation: int
    password_hash: str
    is_locked: bool


def _verified(
    records: UserRecords, typed_key: str, typed_password: str, network: str
) -> _Verified | None:
    """None for a wrong password and an unknown name, after the same time. Raises TooManyAttempts
    without looking at it.
    """
    name_key = _counted_key(typed_key)
    attempt = records.begin_sign_in(name_key, network, typed_key)
    if attempt.retry_after_seconds > 0:
        metrics.sign_in_refused()
        raise TooManyAttempts(attempt.retry_after_seconds)
    password = unicodedata.normalize("NFC", typed_password)
    compared_hash = attempt.password_hash or passwords.decoy_hash()
    outdated = False
    matches = passwords.matches(compared_hash, password)
    if not matches and password != typed_password:
        # It may have been set before passwords were composed. What this takes tells of what was
        # typed, not of the account.
        matches = outdated = passwords.matches(compared_hash, typed_password)
    if not matches or attempt.user_id is None or attempt.password_hash is None:
        metrics.sign_in_failed()
        return None
    password_hash = attempt.password_hash
    if outdated or passwords.is_outdated(password_hash):
        new_hash = passwords.hash_of(password)
        if records.replace_hash(attempt.user_id, password_hash, new_hash):
            password_hash = new_hash
    records.sign_in_succeeded(name_key, network, attempt.user_id)
    return _Verified(attempt.user_id, attempt.generation, password_hash, attempt.is_locked)


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
    """What must be unique: the name without case, and without what nobody sees. Empty for what no
    user can be called.
    """
    return _counted_key(_key_as_typed(username))


def _key_as_typed(username: str) -> str:
    """The name without case. Of two names from before that differ in what nobody sees, one has this
    for its key.
    """
    name = unicodedata.normalize("NFKC", username).strip()
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        return ""
    # Composed before as well: the capital of a script or a ligature has a case only once it is
    # taken apart.
    return unicodedata.normalize("NFKC", name.casefold())


def _counted_key(key: str) -> str:
    """Attempts count for this, however the name is typed. The migration of names does the same."""
    return unicodedata.normalize("NFKC", without_ignored(key)).strip()


def keys_of(username: str) -> tuple[str, str]:
    """What an account's row is found by, however somebody writes its name: as typed, which one of
    two names from before may have, and what must be unique.
    """
    typed_key = _key_as_typed(username)
    return typed_key, _counted_key(typed_key)
