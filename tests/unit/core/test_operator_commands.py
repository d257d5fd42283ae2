"""What operators may ask, and what they are told when they ask for something else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from image_api.core.accounts import passwords
from image_api.core.change_log.messages import DeadLetter, MessageCounts
from image_api.core.upkeep.operator_commands import Backlog, OperationRefused, operate
from tests.log_lines import log_lines

LETTER = DeadLetter("e1", "image.upload.requested", "images/7", 1_793_643_016, 6, "damaged")


class Records:
    """Ada has account 1, and Bob 2."""

    def __init__(self) -> None:
        self.is_gone_meanwhile = False
        self.done: list[tuple[Any, ...]] = []

    def backlog(self) -> Backlog:
        return Backlog("0007", 3, 12.5)

    def user_id(self, username_key: str, typed_key: str) -> int | None:
        return {"ada": 1, "bob": 2}.get(typed_key) or {"ada": 1, "bob": 2}.get(username_key)

    def account(self, user_id: int) -> dict[str, Any] | None:
        name = {1: "Ada", 2: "Bob"}.get(user_id)
        return name and {"id": user_id, "username": name}  # type: ignore[return-value]

    def lock(self, user_id: int) -> bool:
        return self._do("lock", user_id)

    def unlock(self, user_id: int) -> bool:
        return self._do("unlock", user_id)

    def end_tokens(self, user_id: int) -> bool:
        return self._do("end tokens", user_id)

    def set_password(self, user_id: int, password_hash: str) -> bool:
        return self._do("set password", user_id, password_hash)

    def close(self, user_id: int, correlation_id: str) -> bool:
        return self._do("close", user_id, correlation_id)

    def forget_failures(self, username_key: str) -> None:
        self.done.append(("forget failures", username_key))

    def _do(self, *what: Any) -> bool:
        self.done.append(what)
        return not self.is_gone_meanwhile


class Broker:
    def __init__(self) -> None:
        self.redriven: list[str | None] = []
        self.goes_on = True

    def message_counts(self) -> MessageCounts:
        return MessageCounts(waiting=2, soon=1, dead=5)

    def dead_letters(self, limit: int) -> list[DeadLetter]:
        return [LETTER] * min(limit, 5)

    def redrive(self, event_id: str | None, may_go_on: Callable[[], bool]) -> int:
        self.redriven.append(event_id)
        self.goes_on = may_go_on()
        return 5 if event_id is None else 1


@pytest.fixture
def broker() -> Broker:
    return Broker()


def asked(
    broker: Broker,
    request: dict[str, Any],
    milliseconds: int = 60_000,
    records: Records | None = None,
) -> dict[str, Any]:
    return operate(records or Records(), broker, request, lambda: milliseconds, "request-1")


def act(records: Records, action: str, **whose: Any) -> dict[str, Any]:
    return asked(Broker(), {"action": action, **whose}, records=records)


def test_the_status_is_of_the_schema_the_log_and_the_queues(broker: Broker) -> None:
    assert asked(broker, {"action": "status"}) == {
        "revision": "0007",
        "unsettled_changes": 3,
        "oldest_unsettled_seconds": 12.5,
        "messages": {"waiting": 2, "soon": 1, "dead": 5},
    }


def test_dead_letters_say_what_they_were_and_why(broker: Broker) -> None:
    answer = asked(broker, {"action": "dead-letters", "limit": 1})
    assert answer["in_all"] == 5
    assert answer["dead_letters"] == [
        {
            "event_id": "e1",
            "type": "image.upload.requested",
            "subject": "images/7",
            "given_up_at": "2026-11-02T18:10:16Z",
            "attempts": 6,
            "reason": "damaged",
        }
    ]
    assert len(asked(broker, {"action": "dead-letters"})["dead_letters"]) == 5


def test_one_or_all_are_sent_back(broker: Broker) -> None:
    assert asked(broker, {"action": "redrive", "event_id": "e1"}) == {"sent_back": 1}
    assert asked(broker, {"action": "redrive"}) == {"sent_back": 5}
    assert broker.redriven == ["e1", None]


@pytest.mark.parametrize(("milliseconds", "goes_on"), [(10_001, True), (10_000, False)])
def test_sending_back_ends_before_the_function_does(
    broker: Broker, milliseconds: int, goes_on: bool
) -> None:
    asked(broker, {"action": "redrive"}, milliseconds)
    assert broker.goes_on is goes_on


def test_an_account_is_found_however_its_name_is_written(broker: Broker) -> None:
    for name in ("ada", " ADA "):
        assert asked(broker, {"action": "find-account", "username": name})["id"] == 1


def test_an_account_is_found_by_its_number_too_and_both_have_to_agree(broker: Broker) -> None:
    assert act(Records(), "find-account", user_id=2)["username"] == "Bob"
    assert act(Records(), "find-account", user_id=2, username="BOB")["username"] == "Bob"
    with pytest.raises(OperationRefused, match="belong to different accounts"):
        act(Records(), "find-account", user_id=2, username="Ada")


@pytest.mark.parametrize(
    ("action", "done"),
    [
        ("lock-account", [("lock", 1)]),
        ("unlock-account", [("unlock", 1)]),
        ("end-tokens", [("end tokens", 1)]),
    ],
)
def test_what_is_done_to_an_account_is_answered_with_it_and_logged(
    action: str, done: list[Any]
) -> None:
    records = Records()
    with log_lines() as lines:
        assert act(records, action, username="ada") == {"id": 1, "username": "Ada"}
    assert records.done == done
    (line,) = lines
    assert (line["level"], line["message"]) == ("WARNING", "an operator acts")
    assert (line["act"], line["user_id"], line["request_id"]) == (action, 1, "request-1")


def test_a_new_password_is_answered_once_and_logged_never() -> None:
    records = Records()
    with log_lines() as lines:
        password = act(records, "reset-password", user_id=1)["password"]
    (_, user_id, password_hash), forgotten = records.done
    assert (user_id, forgotten) == (1, ("forget failures", "ada"))
    assert passwords.matches(password_hash, password)
    (line,) = lines
    assert line["act"] == "reset-password"
    assert password not in str(line)
    assert password_hash not in str(line)


def test_an_account_is_deleted_where_name_and_number_agree() -> None:
    records = Records()
    for whose in ({"username": "ada"}, {"user_id": 1}):
        with pytest.raises(OperationRefused, match="needs both"):
            act(records, "delete-account", **whose)
    with pytest.raises(OperationRefused, match="belong to different accounts"):
        act(records, "delete-account", username="ada", user_id=2)
    assert records.done == []

    act(records, "delete-account", username="ada", user_id=1)
    assert records.done == [("close", 1, "request-1"), ("forget failures", "ada")]


@pytest.mark.parametrize(
    "action", ["lock-account", "unlock-account", "end-tokens", "reset-password", "delete-account"]
)
def test_an_account_that_its_owner_deletes_meanwhile_is_not_said_to_be_changed(
    action: str,
) -> None:
    records = Records()
    records.is_gone_meanwhile = True
    with pytest.raises(OperationRefused, match="deleted meanwhile"):
        act(records, action, username="ada", user_id=1)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({}, "action is None, not one of status"),
        ({"action": "drop"}, "action is 'drop', not one of status"),
        ({"action": ["status"]}, "not one of status"),
        ({"action": "status", "event_id": "e1"}, "status takes no 'event_id'"),
        ({"action": "redrive", "event": "e1"}, "redrive takes no 'event'"),
        ({"action": "redrive", "event_id": None}, "event_id is None, not a non-empty string"),
        ({"action": "redrive", "event_id": " "}, "event_id is ' ', not a non-empty string"),
        ({"action": "dead-letters", "limit": 0}, "not a number from 1 to 1000"),
        ({"action": "dead-letters", "limit": 1001}, "not a number from 1 to 1000"),
        ({"action": "dead-letters", "limit": True}, "not a number from 1 to 1000"),
        ({"action": "dead-letters", "limit": "5"}, "not a number from 1 to 1000"),
        ({"action": "find-account"}, "username is None, not a non-empty string"),
        ({"action": "find-account", "username": "eve"}, "no account with this name"),
        ({"action": "find-account", "username": "\x00"}, "no account with this name"),
        ({"action": "find-account", "user_id": 7}, "no such account"),
        ({"action": "lock-account", "user_id": "1"}, "not a number from 1"),
        ({"action": "lock-account", "user_id": True}, "not a number from 1"),
        ({"action": "lock-account", "user_id": 2**63}, "not a number from 1"),
        ({"action": "unlock-account", "user": "ada"}, "unlock-account takes no 'user'"),
        ({"action": "reset-password", "username": "ada", "password": "x!yz"}, "no 'password'"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(
    broker: Broker, request_: dict[str, Any], words: str
) -> None:
    with pytest.raises(OperationRefused, match=words):
        asked(broker, request_)
    # A slip of the pen sends nothing back.
    assert broker.redriven == []
