"""Operators reach broker and database through a function."""

from __future__ import annotations

import pytest
from pika import BasicProperties

from image_api.core.messages import ATTEMPT_HEADER, REASON_HEADER, REDRIVEN_HEADER
from image_api.core.operating import OperationRefused
from image_api.core.queues import dead_queue
from image_api.errors import ServiceUnavailable
from image_api.rabbitmq.broker import Broker
from image_api.settings import BrokerSettings
from tests.integration.functions import Api
from tests.waiting import eventually


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
        *("id", "username", "created_at", "images", "bytes", "unfinished_changes")
    }
    assert (found["username"], found["images"]) == ("Ada", 1)
    with pytest.raises(OperationRefused):
        api.call("operate", {"action": "find-account", "username": "Eve"})


def test_a_broker_that_is_away_is_said_to_be() -> None:
    broker = Broker(BrokerSettings("amqp://nobody:nothing@127.0.0.1:1/%2F", "work"))
    with pytest.raises(ServiceUnavailable):
        broker.dead_letters(1)
