"""Operators reach broker and database through a function."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from struct import pack
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from pg8000.native import Connection
from pika import BasicProperties, data

from image_api.core.accounts.sessions import Sessions
from image_api.core.accounts.tokens import TokenSigner
from image_api.core.change_log.messages import ATTEMPT_HEADER, REASON_HEADER, REDRIVEN_HEADER
from image_api.core.change_log.queues import dead_queue
from image_api.core.upkeep.operator_commands import OperationRefused
from image_api.errors import RefreshTokenRefused, ServiceUnavailable
from image_api.postgres.database import Database
from image_api.postgres.sessions import PostgresSessionRecords
from image_api.rabbitmq.broker import Broker
from image_api.settings import BrokerSettings
from tests.application import LambdaContext
from tests.integration.functions import PASSWORD, Api
from tests.proxy_events import body_of, proxy_event
from tests.waiting import eventually

SIGNER = TokenSigner("a secret of the tests, thirty-two bytes long", None, 24 * 3600)


def give_up(api: Api, event_id: str) -> None:
    properties = BasicProperties(
        message_id=event_id,
        type="image.upload.requested",
        timestamp=1_793_643_016,
        headers={ATTEMPT_HEADER: 6, REASON_HEADER: "it is damaged"},
    )
    api.channel.basic_publish(
        "", dead_queue(api.queue), b'{"subject": "images/7"}', properties, mandatory=True
    )


def dead(api: Api) -> int:
    return int(api.channel.queue_declare(dead_queue(api.queue), passive=True).method.message_count)


def test_dead_letters_are_looked_at_and_sent_back(api: Api) -> None:
    api.channel.confirm_delivery()
    for event_id in ("e1", "e2"):
        give_up(api, event_id)

    # Twice: looking uses nothing up.
    for _ in range(2):
        eventually(lambda: dead(api) == 2, "both are among the dead")
        answer = api.call("operate", {"action": "dead-letters"})
        assert [letter["event_id"] for letter in answer["dead_letters"]] == ["e1", "e2"]
        assert answer["dead_letters"][0] == {
            "event_id": "e1",
            "type": "image.upload.requested",
            "subject": "images/7",
            "given_up_at": "2026-11-02T18:10:16Z",
            "attempts": 6,
            "reason": "it is damaged",
        }

    eventually(lambda: dead(api) == 2, "both are among the dead")
    assert api.call("operate", {"action": "redrive", "event_id": "e2"}) == {"sent_back": 1}
    eventually(lambda: dead(api) == 1, "the other is still there")
    (message,) = api.messages(1)
    assert message["basicProperties"]["messageId"] == "e2"
    headers = message["basicProperties"]["headers"]
    assert headers[REDRIVEN_HEADER] == 1
    assert not {ATTEMPT_HEADER, REASON_HEADER} & headers.keys()

    assert api.call("operate", {"action": "redrive"}) == {"sent_back": 1}
    eventually(lambda: dead(api) == 0, "none is left")
    assert api.call("operate", {"action": "dead-letters"}) == {"dead_letters": [], "in_all": 0}


class Raw(bytes):
    """A header's value as it goes over the wire: pika writes none that it cannot read."""


# What anybody who may publish can send, and what the broker then gives up.
ODD_LETTERS: dict[str, tuple[dict[str, Any], bytes]] = {
    # The first, as RabbitMQ 4 lets it overtake the others.
    "who and how long": ({"expiration": "86400000", "priority": 9, "delivery_mode": 1}, b"{}"),
    "nothing at all": ({}, b""),
    "a count in words": ({"headers": {REDRIVEN_HEADER: "soon", ATTEMPT_HEADER: "often"}}, b"{}"),
    "a count that is a table": ({"headers": {REDRIVEN_HEADER: {"a": 1}, ATTEMPT_HEADER: []}}, b""),
    "a count without end": (
        {"headers": {REDRIVEN_HEADER: 2**63 - 1, ATTEMPT_HEADER: -(2**63)}},
        b"{}",
    ),
    "a count that is none": ({"headers": {REDRIVEN_HEADER: None, ATTEMPT_HEADER: True}}, b"{}"),
    "milliseconds": ({"timestamp": 1_793_643_016_000}, b"{}"),
    "the last time there is": ({"timestamp": 2**64 - 1}, b"{}"),
    "bytes for a reason": ({"headers": {REASON_HEADER: b"\xff\x00", ATTEMPT_HEADER: b"\0"}}, b""),
    "a number for a reason": ({"headers": {REASON_HEADER: Decimal("1.5")}}, b"{}"),
    "NUL": ({"headers": {REASON_HEADER: "a\0b", "x\0": "\0"}, "message_id": "a\0"}, b"\0"),
    "many headers": ({"headers": {f"h{number}": "x" * 900 for number in range(100)}}, b"{}"),
    "also to others": ({"headers": {"CC": ["nowhere"]}}, b"{}"),
    "a death of its own": ({"headers": {"x-death": "often", "x-first-death-reason": {}}}, b"{}"),
    "a subject without end": ({}, json.dumps({"subject": "x" * 100_000}).encode()),
    "half a character": ({}, b'{"subject": "\\ud800"}'),
    "a list for a subject": ({}, b'{"subject": [[]]}'),
    "a deep body": ({}, b"[" * 100_000),
    "another alphabet": ({"message_id": "\u00e9".encode("latin-1")}, b"{}"),
    "milliseconds for a header": ({"headers": {"when": Raw(b"T" + pack(">Q", 10**13))}}, b"{}"),
    "the last time in a table": (
        {"headers": {"x": [{"when": Raw(b"T" + pack(">Q", 2**64 - 1))}]}},
        b"{}",
    ),
    "a long number": ({}, b'{"subject": ' + b"9" * 10_000 + b"}"),
}


def test_no_letter_keeps_the_tools_from_the_others(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    write: Callable[[list[bytes], Any], int] = data.encode_value

    def write_raw(pieces: list[bytes], value: Any) -> int:
        if not isinstance(value, Raw):
            return write(pieces, value)
        pieces.append(value)
        return len(value)

    monkeypatch.setattr(data, "encode_value", write_raw)
    api.channel.confirm_delivery()
    for fields, body in ODD_LETTERS.values():
        properties = BasicProperties(**fields)
        api.channel.basic_publish("", dead_queue(api.queue), body, properties, mandatory=True)
    give_up(api, "the last")
    count = len(ODD_LETTERS) + 1
    eventually(lambda: dead(api) == count, "all are among the dead")

    letters = api.call("operate", {"action": "dead-letters"})["dead_letters"]
    assert letters[-1]["event_id"] == "the last"
    shown = dict(zip(ODD_LETTERS, letters, strict=False))
    assert all(type(letter["attempts"]) is int for letter in letters)
    assert max(len(json.dumps(letter)) for letter in letters) < 2_000
    assert shown["milliseconds"]["given_up_at"] is None
    assert shown["a number for a reason"]["reason"] == "1.5"

    eventually(lambda: dead(api) == count, "all are back")
    assert api.call("operate", {"action": "redrive"}) == {"sent_back": count}
    again = dict(zip(ODD_LETTERS, api.messages(count), strict=False))
    headers = {name: each["basicProperties"]["headers"] for name, each in again.items()}
    assert {each[REDRIVEN_HEADER] for each in headers.values()} == {1}
    assert "CC" not in headers["also to others"]
    assert again["who and how long"]["basicProperties"]["expiration"] is None


def test_the_status_follows_what_is_accepted_and_settled(api: Api, ada: str) -> None:
    api.upload(ada)
    status = api.call("operate", {"action": "status"})
    assert status["unsettled_changes"] == 1
    assert status["oldest_unsettled_seconds"] >= 0
    assert status["revision"].isdigit()

    assert api.consume() == {"applied": 1}
    status = api.call("operate", {"action": "status"})
    assert (status["unsettled_changes"], status["oldest_unsettled_seconds"]) == (0, 0)


def test_an_account_is_found_with_what_it_uses_and_without_its_hash(api: Api, ada: str) -> None:
    api.upload(ada)
    found = api.call("operate", {"action": "find-account", "username": "ADA"})
    assert found.keys() == {
        *("id", "username", "created_at", "locked_at", "images", "bytes", "unfinished_changes")
    }
    assert (found["username"], found["images"], found["locked_at"]) == ("Ada", 1, None)
    assert api.call("operate", {"action": "find-account", "user_id": found["id"]}) == found
    with pytest.raises(OperationRefused):
        api.call("operate", {"action": "find-account", "username": "Eve"})


def act(api: Api, action: str, **whose: Any) -> dict[str, Any]:
    return api.call("operate", {"action": action, **whose})


def login(api: Api, password: str = PASSWORD) -> tuple[int, dict[str, Any]]:
    credentials = {"username": "Ada", "password": password}
    answer = api.call("login", proxy_event("POST", "/auth/login", json_body=credentials))
    return answer["statusCode"], body_of(answer)


def refresh(api: Api, tokens: dict[str, Any]) -> int:
    sent = {"refresh_token": tokens["refresh_token"]}
    answer = api.call("session", proxy_event("POST", "/auth/refresh", json_body=sent))
    return int(answer["statusCode"])


def follow(api: Api, rendition_url: str) -> int:
    """As whoever was sent a public link."""
    link = urlsplit(rendition_url)
    query = dict(parse_qsl(link.query))
    return int(api.call("rendition", proxy_event("GET", link.path, query=query))["statusCode"])


def test_nobody_signs_in_to_a_locked_account_until_it_is_unlocked(api: Api, ada: str) -> None:
    image_id = api.upload(ada, visibility="public")
    api.consume()
    link = api.get(ada, image_id)["rendition_url"]
    _, tokens = login(api)

    locked = act(api, "lock-account", username="ada")
    assert locked["locked_at"] is not None
    assert act(api, "lock-account", username="ada") == locked, "since the first time"

    for token in (ada, tokens["access_token"]):
        assert api.list_images(token)["statusCode"] == 401
    assert refresh(api, tokens) == 401
    status, body = login(api)
    assert (status, body["code"]) == (403, "account_locked")
    status, body = login(api, "not this one!")
    assert (status, body["code"]) == (401, "wrong_credentials")
    # What the account has shown is for others to see, as before.
    assert follow(api, link) == 302

    assert act(api, "unlock-account", username="ada")["locked_at"] is None
    assert api.list_images(ada)["statusCode"] == 401, "tokens of before stay dead"
    assert refresh(api, tokens) == 401
    status, again = login(api)
    assert status == 200
    assert api.list_images(again["access_token"])["statusCode"] == 200


def test_who_signs_in_while_the_account_is_locked_has_tokens_that_are_good_for_nothing(
    api: Api, ada: str, database: Database
) -> None:
    sessions = Sessions(PostgresSessionRecords(database), SIGNER)
    user_id = act(api, "find-account", username="ada")["id"]
    # The password was looked at; then an operator comes; then the session begins.
    act(api, "lock-account", username="ada")
    tokens = sessions.begin(user_id, generation=0)

    assert tokens.refresh_token is not None
    with pytest.raises(RefreshTokenRefused):
        sessions.refresh(tokens.refresh_token)
    # Nor once it is unlocked.
    act(api, "unlock-account", username="ada")
    with pytest.raises(RefreshTokenRefused):
        sessions.refresh(tokens.refresh_token)


def test_the_tokens_of_an_account_end_and_its_owner_signs_in_again(api: Api, ada: str) -> None:
    _, tokens = login(api)
    act(api, "end-tokens", username="ada")
    assert api.list_images(ada)["statusCode"] == 401
    assert refresh(api, tokens) == 401
    assert login(api)[0] == 200


def test_a_new_password_is_the_only_one_and_ends_all_tokens(api: Api, ada: str) -> None:
    _, tokens = login(api)
    password = act(api, "reset-password", username="ada")["password"]
    assert api.list_images(ada)["statusCode"] == 401
    assert refresh(api, tokens) == 401
    assert login(api)[0] == 401
    assert login(api, password)[0] == 200

    act(api, "lock-account", username="ada")
    password = act(api, "reset-password", username="ada")["password"]
    assert login(api, password)[0] == 403, "a new password unlocks nothing"


def test_an_account_that_an_operator_deletes_leaves_as_if_its_owner_had(
    api: Api, ada: str, sql: Connection
) -> None:
    image_id = api.upload(ada, visibility="public")
    api.consume()
    link = api.get(ada, image_id)["rendition_url"]
    found = act(api, "find-account", username="ada")

    with pytest.raises(OperationRefused, match="needs both"):
        act(api, "delete-account", username="ada")
    assert act(api, "delete-account", username="ada", user_id=found["id"])["deleted"] is True

    assert api.list_images(ada)["statusCode"] == 401
    assert login(api)[0] == 401
    assert follow(api, link) == 404
    for whose in ({"username": "ada"}, {"user_id": found["id"]}):
        for action in ("find-account", "lock-account", "reset-password"):
            with pytest.raises(OperationRefused, match="There is no"):
                act(api, action, **whose)
    # By the log, in steps that the relay takes; what it accepts it publishes a little later.
    api.call("relay", {})
    sql.run("UPDATE changes SET accepted_at = accepted_at - interval '1 minute'")
    api.call("relay", {})
    assert api.consume() == {"applied": 1}
    api.call("relay", {})
    assert sql.run("SELECT count(*) FROM images") == [[0]]
    assert sql.run("SELECT user_id FROM closed_accounts") == []
    ((correlation_id,),) = sql.run(
        "SELECT correlation_id FROM changes WHERE type = 'image.delete.requested'"
    )
    assert correlation_id == LambdaContext().aws_request_id
    assert api.register("ada"), "the name is free"


def test_a_broker_that_is_away_is_said_to_be() -> None:
    broker = Broker(BrokerSettings("amqp://nobody:nothing@127.0.0.1:1/%2F", "work"))
    with pytest.raises(ServiceUnavailable):
        broker.dead_letters(1)
