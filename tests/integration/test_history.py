"""An image's past for its owner, and the log's events again for a service that joins late."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

import pytest
from pg8000.native import Connection
from pika.adapters.blocking_connection import BlockingChannel

from image_api.core.change_log import events, replay
from image_api.core.change_log.queues import dead_queue, retry_queue
from image_api.core.change_log.replay import ReplayRefused
from image_api.errors import ServiceUnavailable
from image_api.postgres.database import Database
from image_api.postgres.history import PostgresHistory
from image_api.rabbitmq.broker import Broker
from tests.integration.functions import Api
from tests.proxy_events import body_of, proxy_event

LONG_AGO = "2020-01-01T00:00:00Z"


def history(api: Api, token: str, image_id: int) -> dict[str, Any]:
    return api.call("get", proxy_event("GET", f"/image/{image_id}/history", token=token))


def test_an_owner_sees_what_was_accepted_and_how_it_ended(api: Api, ada: str) -> None:
    image_id = api.upload(ada)
    api.consume()
    api.update(ada, image_id, title="new")
    response = history(api, ada, image_id)
    assert response["statusCode"] == 200
    update, upload = body_of(response)
    assert (update["version"], update["change"], update["changes"]) == (
        2,
        "update",
        {"title": "new"},
    )
    assert (update["outcome"], update["settled_at"], update["attempts"]) == (None, None, 0)
    assert (upload["version"], upload["change"], upload["changes"]) == (1, "upload", {})
    assert (upload["outcome"], upload["attempts"], upload["reason"]) == ("applied", 1, None)
    assert upload["accepted_at"] < upload["settled_at"] < update["accepted_at"]


def test_an_owner_sees_why_a_change_failed(api: Api, ada: str, s3_client: Any) -> None:
    image_id = api.upload(ada)
    (stored,) = s3_client.list_objects_v2(Bucket=api.bucket)["Contents"]
    s3_client.delete_object(Bucket=api.bucket, Key=stored["Key"])
    api.consume()
    (upload,) = body_of(history(api, ada, image_id))
    assert upload["outcome"] == "failed"
    assert upload["reason"] == api.get(ada, image_id)["error"]


def test_nobody_else_sees_it(api: Api, ada: str, bob: str) -> None:
    image_id = api.upload(ada, visibility="shared")
    assert api.get(bob, image_id)["id"] == image_id
    assert history(api, bob, image_id)["statusCode"] == 404
    assert history(api, ada, image_id + 1)["statusCode"] == 404
    api.delete(ada, image_id)
    assert history(api, ada, image_id)["statusCode"] == 404
    anonymous = api.call("get", proxy_event("GET", f"/image/{image_id}/history"))
    assert anonymous["statusCode"] == 401


def test_what_is_older_than_the_log_goes_back_is_not_shown(
    api: Api, ada: str, sql: Connection, database: Database
) -> None:
    image_id = api.upload(ada)
    api.update(ada, image_id, title="new")
    sql.run("UPDATE changes SET accepted_at = now() - interval '91 days' WHERE sequence = 1")
    assert [change["version"] for change in body_of(history(api, ada, image_id))] == [2]

    ((user_id,),) = sql.run("SELECT user_id FROM images WHERE id = :id", id=image_id)
    of_all_days = PostgresHistory(database).history(user_id, image_id, None, 10)
    assert [change["version"] for change in of_all_days or []] == [2, 1]


@pytest.fixture
def latecomer(channel: BlockingChannel) -> Iterator[str]:
    name = f"latecomer.{uuid4().hex}"
    channel.queue_declare(name, durable=True)
    yield name
    channel.queue_delete(name)


def heard(channel: BlockingChannel, queue: str) -> list[tuple[str, int, Any]]:
    found = []
    while (message := channel.basic_get(queue, auto_ack=True))[0]:
        _, properties, body = message
        assert properties.headers["x-replayed"] == 1
        event = events.decode(body)
        assert (properties.message_id, properties.type) == (event.id, event.type)
        found.append((event.type, event.sequence, event.id))
    return found


def fill(api: Api, ada: str, channel: BlockingChannel) -> None:
    image_id = api.upload(ada)
    api.consume()
    api.update(ada, image_id, title="new")
    api.consume()
    api.delete(ada, image_id)
    api.consume()
    channel.queue_purge(api.queue)


EVERYTHING = [
    *((events.UPLOAD_REQUESTED, 1), (events.UPLOAD_COMPLETED, 1)),
    *((events.UPDATE_REQUESTED, 2), (events.UPDATE_COMPLETED, 2)),
    *((events.DELETE_REQUESTED, 3), (events.DELETE_COMPLETED, 3)),
]


def test_a_service_that_joins_late_hears_everything_and_nobody_else_anything(
    api: Api, ada: str, channel: BlockingChannel, latecomer: str, sql: Connection
) -> None:
    fill(api, ada, channel)
    answer = api.call("replay", {"queue": latecomer, "since": LONG_AGO})
    assert (answer["sent"], answer["after"]) == (6, None)
    received = heard(channel, latecomer)
    assert [(kind, sequence) for kind, sequence, _ in received] == EVERYTHING
    ((first_id,),) = sql.run("SELECT change_id::text FROM changes WHERE sequence = 1")
    assert received[0][2] == first_id
    assert channel.queue_declare(api.queue, passive=True).method.message_count == 0
    ((middle,),) = sql.run("SELECT accepted_at::text FROM changes WHERE sequence = 2")
    api.call("replay", {"queue": latecomer, "since": LONG_AGO, "until": middle})
    assert [(kind, number) for kind, number, _ in heard(channel, latecomer)] == EVERYTHING[:2]
    api.call("replay", {"queue": latecomer, "since": middle})
    assert [(kind, number) for kind, number, _ in heard(channel, latecomer)] == EVERYTHING[2:]


def test_what_is_interrupted_goes_on_where_it_was(
    api: Api,
    ada: str,
    channel: BlockingChannel,
    latecomer: str,
    database: Database,
    broker: Broker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(api, ada, channel)
    monkeypatch.setattr(replay, "BATCH_SIZE", 4)
    request: dict[str, Any] = {"queue": latecomer, "since": LONG_AGO}
    answers = []
    while True:
        # As if there were time for one step each.
        answers.append(
            replay.replay(
                PostgresHistory(database), broker, api.queue, request, Mock(side_effect=[60_000, 0])
            )
        )
        if answers[-1]["after"] is None:
            break
        request |= {name: answers[-1][name] for name in ("after", "until")}
    assert [answer["sent"] for answer in answers] == [4, 2]
    assert [(kind, number) for kind, number, _ in heard(channel, latecomer)] == EVERYTHING


@pytest.mark.parametrize(
    "request_",
    [
        {"since": LONG_AGO},
        {"queue": "", "since": LONG_AGO},
        {"queue": "q" * 300, "since": LONG_AGO},
        {"queue": "q"},
        {"queue": "q", "since": "yesterday"},
        {"queue": "q", "since": 7},
        {"queue": "q", "since": LONG_AGO, "until": "soon"},
        {"queue": "q", "since": LONG_AGO, "after": "'; DROP TABLE changes; --"},
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused_in_words(
    database: Database, broker: Broker, request_: dict[str, Any]
) -> None:
    with pytest.raises(ReplayRefused, match="must"):
        replay.replay(PostgresHistory(database), broker, "work", request_, lambda: 60_000)


def test_the_apis_own_queues_never_get_anything(
    api: Api, ada: str, channel: BlockingChannel, broker: Broker, database: Database
) -> None:
    fill(api, ada, channel)
    for name in (api.queue, dead_queue(api.queue), retry_queue(api.queue, 1)):
        with pytest.raises(ReplayRefused, match="of this API itself"):
            replay.replay(
                PostgresHistory(database),
                broker,
                api.queue,
                {"queue": name, "since": LONG_AGO},
                lambda: 60_000,
            )
        assert channel.queue_declare(name, passive=True).method.message_count == 0


def test_a_queue_that_is_not_there_is_said_so(api: Api, ada: str, channel: BlockingChannel) -> None:
    fill(api, ada, channel)
    with pytest.raises(ReplayRefused, match=r"nowhere accepts nothing.*after=-infinity"):
        api.call("replay", {"queue": "nowhere", "since": LONG_AGO})


def test_a_broker_that_is_away_is_said_so(
    database: Database, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> list[Any]:
        raise ServiceUnavailable("The broker cannot be reached")

    monkeypatch.setattr(broker, "publish_to_queue", away)
    with pytest.raises(ReplayRefused, match="cannot be reached"):
        replay.replay(
            PostgresHistory(database),
            broker,
            "w",
            {"queue": "q", "since": LONG_AGO},
            lambda: 60_000,
        )


def test_the_position_goes_through_json() -> None:
    position = replay.Position("2026-11-26 05:00:00.123456+00", 1, 7)
    assert replay._checked_position(json.loads(json.dumps(str(position)))) == position
