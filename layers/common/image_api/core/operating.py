"""What operators ask of a running system, which they reach in no other way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from image_api.core.accounts import key_of
from image_api.core.messages import DeadLetter, MessageCounts
from image_api.errors import ImageApiError

_MAX_LETTERS = 1000
_DEFAULT_LETTERS = 100
# What a message and the answer still take.
_MIN_REMAINING_MILLISECONDS = 10_000


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

    def account(self, username_key: str) -> dict[str, Any] | None:
        """Id, name, when it was made, and what it uses."""


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
) -> dict[str, Any]:
    """`request`: `action`, and what that needs. Raises OperationRefused and ServiceUnavailable."""
    action = request.get("action")
    match action:
        case "status":
            _only(request)
            return {**asdict(records.backlog()), "messages": asdict(broker.message_counts())}
        case "dead-letters":
            _only(request, "limit")
            letters = broker.dead_letters(_limit(request.get("limit", _DEFAULT_LETTERS)))
            return {
                "dead_letters": [_shown(letter) for letter in letters],
                "in_all": broker.message_counts().dead,
            }
        case "redrive":
            _only(request, "event_id")
            return {
                "sent_back": broker.redrive(
                    _text(request, "event_id") if "event_id" in request else None,
                    lambda: remaining_milliseconds() > _MIN_REMAINING_MILLISECONDS,
                )
            }
        case "find-account":
            _only(request, "username")
            found = records.account(key_of(_text(request, "username")))
            if found is None:
                raise OperationRefused("There is no account with this name")
            return found
    raise OperationRefused(
        f"action is {action!r}, not one of status, dead-letters, redrive, find-account"
    )


def _only(request: Mapping[str, Any], *fields: str) -> None:
    if others := sorted(request.keys() - {"action", *fields}):
        raise OperationRefused(f"{request['action']} has no {', '.join(map(repr, others))}")


def _text(request: Mapping[str, Any], name: str) -> str:
    value = request.get(name)
    if not isinstance(value, str) or not value.strip():
        raise OperationRefused(f"{name} is {value!r}, not a text")
    return value


def _limit(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MAX_LETTERS:
        raise OperationRefused(f"limit is {value!r}, not a number from 1 to {_MAX_LETTERS}")
    return value


def _shown(letter: DeadLetter) -> dict[str, Any]:
    moment = datetime.fromtimestamp(letter.given_up_at_seconds, UTC)
    fields = asdict(letter)
    del fields["given_up_at_seconds"]
    return {**fields, "given_up_at": moment.strftime("%Y-%m-%dT%H:%M:%SZ")}
