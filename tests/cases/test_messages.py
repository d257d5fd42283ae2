"""Each message of cases.json changes nothing that was not accepted, and holds nobody up."""

from __future__ import annotations

import base64
import json
import time
from decimal import Decimal
from typing import Any

import pika

from image_api.core.change_log.queues import dead_queue
from tests import samples
from tests.amqp import open_channel
from tests.cases.inputs import made
from tests.cases.table import Case, Words, sent_as
from tests.e2e.api_client import ApiClient
from tests.e2e.running_cloud import RunningCloud
from tests.waiting import eventually

_SOON_SECONDS = 10


def _event(cloud: RunningCloud, records: list[dict[str, Any]]) -> dict[str, Any]:
    """An `aws:rmq` event of one batch."""
    messages = []
    for record in records:
        body = record["body"]
        text = body if isinstance(body, str) else json.dumps(body)
        messages.append(
            {
                "basicProperties": {"bodySize": len(text), "headers": {}, **record["properties"]},
                "redelivered": False,
                "data": base64.b64encode(text.encode()).decode(),
            }
        )
    return {
        "eventSource": "aws:rmq",
        "eventSourceArn": "arn:aws:mq:eu-central-1:123456789012:broker:images:b-1",
        "rmqMessagesByQueue": {f"{cloud.environment['RABBITMQ_QUEUE']}::/": messages},
    }


@sent_as("lambda event")
def test_an_event_fails_no_batch(cloud: RunningCloud, ada: ApiClient, case: Case) -> None:
    words = Words()
    if case.get("needs_image"):
        words.keep("IMAGE", ada.uploaded(samples.png())["id"])
    dead_before = _dead_letters(cloud)

    # An error of the function is no answer of this kind.
    counts = cloud.invoke("consumer", _event(cloud, words.fill_in(case["records"])))

    assert set(counts) <= {"applied", "rejected", "dead", "duplicate", "retried", "waiting"}
    check = case["check"]
    if "outcomes" in check:
        assert _dead_letters(cloud) - dead_before == check["outcomes"]["dead"]
    if "fields" in check:
        image = ada.image(words["IMAGE"]).json()
        assert {name: image[name] for name in check["fields"]} == check["fields"]


@sent_as("message")
def test_a_message_is_set_aside_and_holds_nobody_up(
    cloud: RunningCloud, ada: ApiClient, case: Case
) -> None:
    ada.uploaded(samples.png())
    dead_before = _dead_letters(cloud)
    with open_channel(cloud.environment["RABBITMQ_ADMIN_URL"]) as channel:
        channel.basic_publish(
            "",
            cloud.environment["RABBITMQ_QUEUE"],
            made(case["file"]),
            _properties(case["message"].get("properties", {})),
        )
    for _ in range(2):
        _ready_soon(ada, ada.upload(samples.png()).json()["id"])
    eventually(
        lambda: _dead_letters(cloud) == dead_before + 1,
        "the message is a dead letter",
        patience_seconds=_SOON_SECONDS,
    )


def _ready_soon(client: ApiClient, image_id: int) -> None:
    eventually(
        lambda: client.image(image_id).json()["status"] == "ready",
        "a picture behind it is ready",
        patience_seconds=_SOON_SECONDS,
    )


def _properties(described: dict[str, Any]) -> pika.BasicProperties:
    headers = {
        name: Decimal(value.removeprefix("decimal:"))
        for name, value in described.get("headers", {}).items()
    }
    timestamp = int(time.time() * 1000) if "timestamp" in described else None
    return pika.BasicProperties(headers=headers, timestamp=timestamp)


def _dead_letters(cloud: RunningCloud) -> int:
    with open_channel(cloud.environment["RABBITMQ_ADMIN_URL"]) as channel:
        name = dead_queue(cloud.environment["RABBITMQ_QUEUE"])
        return int(channel.queue_declare(name, passive=True).method.message_count)
