"""Whatever RabbitMQ can hold reaches the function, or is set aside: nothing ends the polling."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pika
import pytest

from infra.local.triggers.event_source import _MAX_BATCH_BYTES
from infra.local.triggers.rabbitmq_event import FarTime, message_record
from tests.local_cloud.triggers.polled_queue import PolledQueue, queue_at
from tests.waiting import until

MILLISECONDS = 1_700_000_000_000
ODD_PROPERTIES: dict[str, dict[str, Any]] = {
    "a time in milliseconds": {"timestamp": MILLISECONDS},
    "the last time of all": {"timestamp": 2**64 - 1},
    "a type that is not UTF-8": {"type": b"\xe9t\xe9"},
    "a header's name that is not UTF-8": {"headers": {b"\xe9t\xe9": 1}},
    "a header's time in milliseconds": {"headers": {"when": FarTime(MILLISECONDS)}},
    "a number beyond a whole one": {"headers": {"rates": [1e300, -0.25]}},
    "a fraction": {"headers": {"rate": 0.5}},
}


@pytest.fixture
def queue(broker_url: str) -> Iterator[PolledQueue]:
    with queue_at(broker_url, "odd") as polled:
        polled.declare()
        yield polled


def record_of(**properties: Any) -> dict[str, Any]:
    record = message_record(pika.BasicProperties(**properties), b"", is_redelivered=False)
    basic: dict[str, Any] = record["basicProperties"]
    return basic


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "Jan 1, 1970, 12:00:00 AM"),
        (1_741_101_317, "Mar 4, 2025, 3:15:17 PM"),
        (MILLISECONDS, "Nov 8, 55840, 10:13:20 PM"),
        (2**63 // 1000, "Aug 17, 292278994, 7:12:55 AM"),
        # What Java makes of a number that is too large for its milliseconds.
        (2**64 - 1, "Dec 31, 1969, 11:59:59 PM"),
    ],
)
def test_a_time_is_written_as_java_writes_it(seconds: int, text: str) -> None:
    assert record_of(timestamp=seconds)["timestamp"] == text
    assert record_of(headers={"when": FarTime(seconds)})["headers"] == {"when": text}


def test_what_json_cannot_hold_is_written_as_what_it_can() -> None:
    basic = record_of(type=b"\xe9t\xe9", headers={b"\xe9": [Decimal("1.5"), 0.5], "bytes": b"\xe9"})

    assert basic["type"] == "\ufffdt\ufffd"
    assert basic["headers"] == {"\ufffd": [1.5, 0.5], "bytes": {"bytes": [-23]}}
    json.dumps(basic, allow_nan=False)


async def test_no_property_of_a_message_ends_the_polling(queue: PolledQueue) -> None:
    async with queue.polling(batch_size=1):
        for name, properties in ODD_PROPERTIES.items():
            queue.channel.basic_publish(
                "", queue.name, name.encode(), pika.BasicProperties(**properties)
            )
        await until(
            lambda: len(queue.function.received) == len(ODD_PROPERTIES), "all of them are received"
        )

    assert queue.function.received == list(ODD_PROPERTIES)
    assert [batch[0]["redelivered"] for batch in queue.function.batches] == [False] * len(
        ODD_PROPERTIES
    )
    fraction = queue.function.batches[-1][0]["basicProperties"]["headers"]
    assert fraction == {"rate": 0.5}


async def test_a_message_too_large_for_an_invocation_goes_to_the_dead_letters(
    queue: PolledQueue,
) -> None:
    dead = queue.channel.queue_declare("", exclusive=True).method.queue
    queue.channel.queue_delete(queue.name)
    queue.channel.queue_declare(
        queue.name,
        durable=True,
        arguments={
            "x-queue-type": "quorum",
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": dead,
        },
    )
    too_large = "x" * (_MAX_BATCH_BYTES * 3 // 4)

    async with queue.polling():
        queue.publish("before", too_large, "behind")
        await until(lambda: set(queue.function.received) == {"before", "behind"})
        await until(lambda: queue.channel.queue_declare(dead, passive=True).method.message_count)

    _, _, body = queue.channel.basic_get(dead, auto_ack=True)
    assert body.decode() == too_large
    assert "is set aside: it is larger than what a function can be invoked with" in (
        queue.log.getvalue()
    )
