"""What operators ask and do of a running system, which they reach in no other way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from image_api.core.accounts import passwords, users
from image_api.core.change_log.messages import DeadLetter, MessageCounts
from image_api.errors import ImageApiError
from image_api.observability import logger

_MAX_LETTERS = 1000
_DEFAULT_LETTERS = 100
# What a message and the answer still take.
_MIN_REMAINING_MILLISECONDS = 10_000
_MAX_ID = 2**63 - 1
_ACTIONS = (
    *("status", "dead-letters", "redrive", "find-account", "lock-account", "unlock-account"),
    *("end-tokens", "reset-password", "delete-account"),
)


class OperationRefused(ImageApiError):
    """What was asked for cannot be done, in words for the operator."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """The database's side: `revision` of the schema, and how many changes are not settled (those
    beyond 10,000 are not counted).
    """

    revision: str
    unsettled_changes: int
    oldest_unsettled_seconds: float


class OperatorRecords(Protocol):
    def backlog(self) -> Backlog: ...

    def user_id(self, username_key: str, typed_key: str) -> int | None:
        """Of the account with `typed_key` if there is one, else with `username_key`."""

    def account(self, user_id: int) -> dict[str, Any] | None:
        """Id, name, when it was made and locked, and what it uses."""

    # Each of these says whether the account is there; what is deleted is not.
    def lock(self, user_id: int) -> bool:
        """From now on no token of it is good, and nobody signs in to it."""

    def unlock(self, user_id: int) -> bool:
        """Its owner may sign in again."""

    def end_tokens(self, user_id: int) -> bool:
        """All of them, access tokens too."""

    def set_password(self, user_id: int, password_hash: str) -> bool:
        """All tokens end as well."""

    def close(self, user_id: int, correlation_id: str) -> bool:
        """As if its owner had deleted it."""

    def forget_failures(self, username_key: str) -> None:
        """Those to sign in with this name, from wherever."""


class OperatorBroker(Protocol):
    """Every method raises ServiceUnavailable when the broker is away."""

    def message_counts(self) -> MessageCounts: ...

    def dead_letters(self, limit: int) -> list[DeadLetter]:
        """The oldest."""

    def redrive(self, event_id: str | None, may_go_on: Callable[[], bool]) -> int:
        """How many were sent back to the work queue."""


def operate(
    records: OperatorRecords,
    broker: OperatorBroker,
    request: Mapping[str, Any],
    remaining_milliseconds: Callable[[], int],
    request_id: str,
) -> dict[str, Any]:
    """`request`: `action`, and what that needs. Raises OperationRefused and ServiceUnavailable.

    What changes something is logged under `request_id`, before it is done.
    """
    action = request.get("action")
    match action:
        case "status":
            _only(request)
            return {**asdict(records.backlog()), "messages": asdict(broker.message_counts())}
        case "dead-letters":
            _only(request, "limit")
            letters = broker.dead_letters(
                _number({"limit": _DEFAULT_LETTERS, **request}, "limit", _MAX_LETTERS)
            )
            return {
                "dead_letters": [_shown(letter) for letter in letters],
                "in_all": broker.message_counts().dead,
            }
        case "redrive":
            _only(request, "event_id")
            event_id = _text(request, "event_id") if "event_id" in request else None
            _log_act("redrive", request_id, event_id=event_id)
            return {
                "sent_back": broker.redrive(
                    event_id, lambda: remaining_milliseconds() > _MIN_REMAINING_MILLISECONDS
                )
            }
        case _ if action in _ACTIONS:
            return _on_account(records, str(action), request, request_id)
    raise OperationRefused(f"action is {action!r}, not one of {', '.join(_ACTIONS)}")


def _on_account(
    records: OperatorRecords, action: str, request: Mapping[str, Any], request_id: str
) -> dict[str, Any]:
    """The account as it is afterwards."""
    _only(request, "username", "user_id")
    if action == "delete-account" and not {"username", "user_id"} <= request.keys():
        # A slip of the pen in one of them would be somebody else's account.
        raise OperationRefused(
            "delete-account needs both username and user_id, as find-account shows them"
        )
    user_id = _user_id(records, request)
    found = records.account(user_id)
    if found is None:
        raise OperationRefused("There is no such account")
    if action == "find-account":
        return found
    _log_act(action, request_id, user_id=user_id)
    password: dict[str, str] = {}
    match action:
        case "lock-account":
            is_done = records.lock(user_id)
        case "unlock-account":
            is_done = records.unlock(user_id)
        case "end-tokens":
            is_done = records.end_tokens(user_id)
        case "reset-password":
            password["password"], password_hash = passwords.new_password()
            is_done = records.set_password(user_id, password_hash)
            _forget_failures(records, found)
        case _:  # delete-account
            is_done = records.close(user_id, request_id)
            _forget_failures(records, found)
            found = {**found, "deleted": is_done}
    if not is_done:
        raise OperationRefused("The account was deleted meanwhile")
    return {**(records.account(user_id) or found), **password}


def _user_id(records: OperatorRecords, request: Mapping[str, Any]) -> int:
    """By the name, the number, or both, which then have to agree."""
    number = _number(request, "user_id", _MAX_ID) if "user_id" in request else None
    if "username" in request or number is None:
        typed_key, username_key = users.keys_of(_text(request, "username"))
        named = records.user_id(username_key, typed_key) if username_key else None
        if named is None:
            raise OperationRefused("There is no account with this name")
        if number not in (None, named):
            raise OperationRefused("username and user_id belong to different accounts")
        return named
    return number


def _forget_failures(records: OperatorRecords, account: Mapping[str, Any]) -> None:
    _, username_key = users.keys_of(account["username"])
    records.forget_failures(username_key)


def _log_act(act: str, request_id: str, **fields: Any) -> None:
    logger.warning("an operator acts", act=act, request_id=request_id, **fields)


def _only(request: Mapping[str, Any], *fields: str) -> None:
    if others := sorted(request.keys() - {"action", *fields}):
        raise OperationRefused(f"{request['action']} takes no {', '.join(map(repr, others))}")


def _text(request: Mapping[str, Any], name: str) -> str:
    value = request.get(name)
    if not isinstance(value, str) or not value.strip():
        raise OperationRefused(f"{name} is {value!r}, not a non-empty string")
    return value


def _number(request: Mapping[str, Any], name: str, most: int) -> int:
    value = request[name]
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise OperationRefused(f"{name} is {value!r}, not a number from 1 to {most}")
    return value


def _shown(letter: DeadLetter) -> dict[str, Any]:
    fields = asdict(letter)
    seconds = fields.pop("given_up_at_seconds")
    given_up_at = None
    if seconds is not None:
        given_up_at = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {**fields, "given_up_at": given_up_at}
