"""What operators may ask, and what they are told when they ask for something else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from image_api.core.messages import DeadLetter, MessageCounts
from image_api.core.operating import Backlog, OperationRefused, operate

LETTER = DeadLetter("e1", "image.upload.requested", "images/7", 1_793_643_016, 6, "damaged")


class Records:
    def backlog(self) -> Backlog:
        return Backlog("0007", 3, 12.5)

    def account(self, username_key: str) -> dict[str, Any] | None:
        return {"id": 1, "username": "Ada"} if username_key == "ada" else None


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


def asked(broker: Broker, request: dict[str, Any], milliseconds: int = 60_000) -> dict[str, Any]:
    return operate(Records(), broker, request, lambda: milliseconds)


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


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({}, "action is None, not one of status"),
        ({"action": "drop"}, "action is 'drop', not one of status"),
        ({"action": ["status"]}, "not one of status"),
        ({"action": "status", "event_id": "e1"}, "status has no 'event_id'"),
        ({"action": "redrive", "event": "e1"}, "redrive has no 'event'"),
        ({"action": "redrive", "event_id": None}, "event_id is None, not a text"),
        ({"action": "redrive", "event_id": " "}, "event_id is ' ', not a text"),
        ({"action": "dead-letters", "limit": 0}, "not a number from 1 to 1000"),
        ({"action": "dead-letters", "limit": 1001}, "not a number from 1 to 1000"),
        ({"action": "dead-letters", "limit": True}, "not a number from 1 to 1000"),
        ({"action": "dead-letters", "limit": "5"}, "not a number from 1 to 1000"),
        ({"action": "find-account"}, "username is None, not a text"),
        ({"action": "find-account", "username": "eve"}, "no account with this name"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(
    broker: Broker, request_: dict[str, Any], words: str
) -> None:
    with pytest.raises(OperationRefused, match=words):
        asked(broker, request_)
    # A slip of the pen sends nothing back.
    assert broker.redriven == []
