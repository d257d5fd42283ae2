"""What other services hear on the exchange `image.events`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from tests import asyncapi, samples
from tests.amqp import open_channel
from tests.e2e.api_client import ApiClient
from tests.e2e.holding import Processing
from tests.e2e.running_cloud import RunningCloud
from tests.links import lasting
from tests.waiting import eventually

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-0012345678901234-01"
ROCKET = samples.rocket()


@dataclass(frozen=True)
class Heard:
    routing_key: str
    properties: pika.BasicProperties
    document: dict[str, Any]


class Listener:
    """Another service, with a queue of its own bound to everything."""

    def __init__(self, channel: BlockingChannel) -> None:
        self._channel = channel
        self._queue: str = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(self._queue, "image.events", "#")
        # Each is delivered at least once.
        self._heard: dict[str, Heard] = {}

    def events_of(self, image_id: int, *types: str) -> list[Heard]:
        """All that was said about an image, once the last of these was heard."""

        def look() -> list[Heard] | None:
            while (message := self._channel.basic_get(self._queue, auto_ack=True))[0] is not None:
                method, properties, body = message
                heard = Heard(method.routing_key, properties, json.loads(body))
                assert asyncapi.faults(heard.routing_key, heard.document) == []
                self._heard.setdefault(heard.document["id"], heard)
            found = [
                heard
                for heard in self._heard.values()
                if heard.document["data"]["image_id"] == image_id
            ]
            return found if set(types) <= {heard.routing_key for heard in found} else None

        return eventually(look, f"{types} of image {image_id} are published")


def _of(change: str) -> tuple[str, str]:
    """What is said of a change that is made."""
    return f"image.{change}.requested", f"image.{change}.completed"


@pytest.fixture
def channel(cloud: RunningCloud) -> Iterator[BlockingChannel]:
    with open_channel(cloud.environment["RABBITMQ_ADMIN_URL"]) as channel:
        yield channel


@pytest.fixture
def listener(channel: BlockingChannel) -> Listener:
    return Listener(channel)


def test_an_upload_is_announced_and_then_confirmed(ada: ApiClient, listener: Listener) -> None:
    answer = ada.upload(ROCKET, title="Lift-off")
    image_id = answer.json()["id"]

    requested, completed = listener.events_of(image_id, *_of("upload"))

    image = ada.image(image_id).json()
    correlation_id = answer.headers["X-Correlation-Id"]
    assert correlation_id
    for heard, event_type in (
        (requested, "image.upload.requested"),
        (completed, "image.upload.completed"),
    ):
        document, properties = heard.document, heard.properties
        assert document["specversion"] == "1.0"
        assert document["type"] == heard.routing_key == event_type
        assert document["source"]
        assert document["subject"] == f"images/{image_id}"
        assert document["datacontenttype"] == "application/json"
        assert datetime.fromisoformat(document["time"]).utcoffset() is not None
        assert properties.message_id == document["id"] == str(UUID(document["id"]))
        assert properties.correlation_id == correlation_id
        assert properties.content_type == "application/cloudevents+json"
        assert properties.delivery_mode == 2
        assert properties.type == event_type
        assert isinstance(properties.timestamp, int)
        assert properties.app_id
        assert document["data"]["user_id"] == image["user_id"]
    assert requested.document["id"] != completed.document["id"]
    assert requested.document["data"]["title"] == "Lift-off"
    assert completed.document["data"]["status"] == "ready"
    for name in ("resolution", "size", "content_type", "file_path", "title", "visibility"):
        assert completed.document["data"][name] == image[name], name


def test_the_bytes_of_an_image_never_travel_in_a_message(
    ada: ApiClient, listener: Listener
) -> None:
    image_id = ada.upload(ROCKET).json()["id"]

    for heard in listener.events_of(image_id, "image.upload.completed"):
        assert len(json.dumps(heard.document)) < 4096


def test_each_change_of_an_image_is_announced_and_confirmed_in_order(
    ada: ApiClient, listener: Listener
) -> None:
    image_id = ada.uploaded(samples.png())["id"]
    # A change is done, and then it is announced: the next may be asked for in between.
    listener.events_of(image_id, *_of("upload"))
    ada.updated(image_id, title="new", resolution="20x20")
    listener.events_of(image_id, *_of("update"))
    deletion = ada.delete(image_id)

    heard = listener.events_of(image_id, *_of("delete"))

    assert [item.routing_key for item in heard] == [
        "image.upload.requested",
        "image.upload.completed",
        "image.update.requested",
        "image.update.completed",
        "image.delete.requested",
        "image.delete.completed",
    ]
    assert heard[2].document["data"]["changes"] == {"title": "new", "resolution": "20x20"}
    assert heard[3].document["data"]["resolution"] == "20x20"
    assert {item.properties.correlation_id for item in heard[4:]} == {
        deletion.headers["X-Correlation-Id"]
    }


def test_a_failure_is_announced_with_its_reason(ada: ApiClient, listener: Listener) -> None:
    damaged = samples.png()[:33] + samples.png_chunk(b"IDAT", b"") + samples.png_chunk(b"IEND", b"")
    image_id = ada.upload(damaged).json()["id"]

    said = ("image.upload.requested", "image.upload.failed")
    heard = listener.events_of(image_id, *said)

    assert [item.routing_key for item in heard] == [*said]
    assert heard[1].document["data"]["error"] == ada.settled(image_id, "failed")["error"]


def test_a_change_of_an_image_that_is_deleted_before_it_is_made_has_failed(
    ada: ApiClient, listener: Listener, processing: Processing
) -> None:
    image_id = ada.uploaded(samples.gif())["id"]
    with processing.held():
        assert ada.update(image_id, title="new").status_code == 200
        assert ada.delete(image_id).status_code == 200

    heard = listener.events_of(image_id, "image.update.failed", "image.delete.completed")

    (failed,) = (each for each in heard if each.routing_key == "image.update.failed")
    assert failed.document["data"]["error"] == "The image was deleted"


def test_what_the_client_calls_its_request_and_its_trace_reach_all_that_comes_of_it(
    ada: ApiClient, listener: Listener
) -> None:
    image_id = ada.uploaded(samples.gif())["id"]
    listener.events_of(image_id, *_of("upload"))
    mine = uuid4().hex

    answer = ada.request(
        "PUT",
        f"/image/update/{image_id}",
        json={"title": "new"},
        headers={"X-Correlation-Id": mine, "traceparent": TRACEPARENT},
    )

    ours = answer.headers["X-Correlation-Id"]
    assert ours != mine
    heard = listener.events_of(image_id, *_of("update"))
    for item in heard[2:]:
        assert item.properties.correlation_id == item.document["correlationid"] == ours
        assert item.properties.headers["traceparent"] == TRACEPARENT
        assert item.document["traceparent"] == TRACEPARENT
        assert item.document["clientcorrelationid"] == mine


def test_a_message_that_can_never_succeed_is_put_aside_and_blocks_nothing(
    ada: ApiClient, channel: BlockingChannel, cloud: RunningCloud
) -> None:
    message_id = str(uuid4())
    channel.basic_publish(
        "image.events",
        "image.upload.requested",
        b"no event at all",
        pika.BasicProperties(message_id=message_id, delivery_mode=2),
    )
    ada.uploaded(samples.gif())

    dead_queue = f"{cloud.environment['RABBITMQ_QUEUE']}.dead"

    def look() -> tuple[pika.BasicProperties, bytes] | None:
        _, properties, body = channel.basic_get(dead_queue, auto_ack=True)
        if properties is None or properties.message_id != message_id or body is None:
            return None
        return properties, body

    properties, body = eventually(look, "the message is among the dead letters")
    assert body == b"no event at all"
    assert "JSON" in properties.headers["x-reason"]


def test_an_event_that_is_delivered_twice_is_applied_once(
    ada: ApiClient, listener: Listener, channel: BlockingChannel
) -> None:
    image_id = ada.uploaded(samples.gif())["id"]
    ada.updated(image_id, title="first")
    (requested,) = (
        item
        for item in listener.events_of(image_id, *_of("update"))
        if item.routing_key == "image.update.requested"
    )
    last = ada.updated(image_id, title="second")

    channel.basic_publish(
        "image.events",
        "image.update.requested",
        json.dumps(requested.document).encode(),
        requested.properties,
    )

    # What is accepted later is applied later: when this is done, so is the repeated event.
    ada.uploaded(samples.gif())
    assert lasting(ada.image(image_id).json()) == lasting(last)

    def completed() -> int:
        heard = listener.events_of(image_id)
        return [item.routing_key for item in heard].count("image.update.completed")

    eventually(lambda: completed() >= 2, "what was done is announced")
    assert completed() == 2
