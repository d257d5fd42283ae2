"""The event source mapping, against a real RabbitMQ, beside what AWS documents of it.

What AWS documents is in tests/conformance/test_event_source.py.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pika
import pytest

from infra.local.triggers.rabbitmq_event import message_record
from tests.local_cloud.triggers.polled_queue import PolledQueue, queue_at
from tests.waiting import until


def test_headers_are_as_java_writes_them() -> None:
    headers = {
        "text": "value",
        "umlaut": "ü",
        "number": 5,
        "flag": True,
        "nothing": None,
        "price": Decimal("1.5"),
        "when": datetime(1970, 1, 1, 0, 33, 41, tzinfo=UTC),
        "list": ["a", 1],
        "table": {"inner": "b"},
    }
    record = message_record(pika.BasicProperties(headers=headers), b"", is_redelivered=True)
    assert record["redelivered"] is True
    assert record["basicProperties"]["headers"] == {
        "text": {"bytes": [118, 97, 108, 117, 101]},
        "umlaut": {"bytes": [-61, -68]},
        "number": 5,
        "flag": True,
        "nothing": None,
        "price": 1.5,
        "when": "Jan 1, 1970, 12:33:41 AM",
        "list": [{"bytes": [97]}, 1],
        "table": {"inner": {"bytes": [98]}},
    }


@pytest.mark.parametrize(
    ("epoch_seconds", "text"),
    [
        (0, "Jan 1, 1970, 12:00:00 AM"),
        (1_733_055_309, "Dec 1, 2024, 12:15:09 PM"),
        (1_700_000_000, "Nov 14, 2023, 10:13:20 PM"),
    ],
)
def test_a_timestamp_is_text(epoch_seconds: int, text: str) -> None:
    record = message_record(
        pika.BasicProperties(timestamp=epoch_seconds), b"", is_redelivered=False
    )
    assert record["basicProperties"]["timestamp"] == text


@pytest.fixture
def queue(broker_url: str) -> Iterator[PolledQueue]:
    with queue_at(broker_url, "events under test") as queue:
        yield queue


async def test_a_window_that_ends_sends_what_there_is(queue: PolledQueue) -> None:
    queue.declare()
    async with queue.polling(window_seconds=0.3):
        queue.publish("1", "2")
        await until(lambda: queue.function.received == ["1", "2"])


async def test_a_throttled_function_loses_nothing(queue: PolledQueue) -> None:
    queue.declare()
    queue.function.is_throttled = True
    async with queue.polling():
        queue.publish("1")
        await until(lambda: queue.function.received == ["1"])


async def test_a_queue_that_does_not_exist_yet_is_waited_for(queue: PolledQueue) -> None:
    async with queue.polling():
        await until(lambda: "waits for the queue" in queue.log.getvalue())
        queue.declare()
        queue.publish("1")
        await until(lambda: queue.function.received == ["1"])


async def test_a_queue_that_is_deleted_and_made_again_is_polled_again(queue: PolledQueue) -> None:
    queue.declare()
    async with queue.polling():
        queue.publish("1")
        await until(lambda: queue.function.received == ["1"])
        queue.channel.queue_delete(queue.name)
        await until(lambda: "it was deleted" in queue.log.getvalue())
        queue.declare()
        queue.publish("2")
        await until(lambda: queue.function.received == ["1", "2"])


async def test_a_batch_in_flight_is_settled_before_the_poller_stops(queue: PolledQueue) -> None:
    queue.declare()
    queue.function.go_on.clear()
    async with queue.polling():
        queue.publish("1")
        await until(lambda: queue.function.running == 1)
    await until(lambda: queue.depth() == 0)
    async with queue.polling():
        queue.publish("2")
        await until(lambda: len(queue.function.received) >= 2)
    assert queue.function.received == ["1", "2"]


async def test_a_broker_that_cannot_be_reached_is_tried_again(queue: PolledQueue) -> None:
    async with replace(queue, url="amqp://guest:guest@127.0.0.1:1/%2F").polling():
        await until(lambda: "cannot reach the broker" in queue.log.getvalue())
    assert queue.function.batches == []
