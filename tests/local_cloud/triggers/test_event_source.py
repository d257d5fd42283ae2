"""The event source mapping, against a real RabbitMQ."""

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pika
import pytest
import pytest_asyncio
from pika.adapters.blocking_connection import BlockingChannel

from infra.local.invocation import Event, Result, Throttled
from infra.local.logs import LogStream
from infra.local.template.model import QueueMapping
from infra.local.triggers.event_source import QueuePoller
from infra.local.triggers.rabbitmq_event import message_record
from tests.amqp import open_channel
from tests.local_cloud.conftest import running
from tests.waiting import until

QUEUE = "events under test"


def test_a_message_has_every_property_and_what_is_unset_is_null() -> None:
    record = message_record(pika.BasicProperties(), b"body", is_redelivered=False)
    assert record == {
        "basicProperties": {
            "contentType": None,
            "contentEncoding": None,
            "headers": None,
            "deliveryMode": None,
            "priority": None,
            "correlationId": None,
            "replyTo": None,
            "expiration": None,
            "messageId": None,
            "timestamp": None,
            "type": None,
            "userId": None,
            "appId": None,
            "clusterId": None,
            "bodySize": 4,
        },
        "redelivered": False,
        "data": base64.b64encode(b"body").decode(),
    }


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
def channel(broker_url: str) -> Iterator[BlockingChannel]:
    """The test's own connection; its queue is new for every test."""
    with open_channel(broker_url) as channel:
        channel.queue_delete(QUEUE)
        yield channel


def declare(channel: BlockingChannel) -> None:
    channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})


def publish(channel: BlockingChannel, *bodies: str) -> None:
    for body in bodies:
        channel.basic_publish("", QUEUE, body.encode())


class Function:
    """A function that the test plays: what it was given, and whether it fails."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.events: list[dict[str, Any]] = []
        self.failures_left = 0
        self.is_throttled = False
        self.running = 0
        self.most_running = 0
        self.release = asyncio.Event()
        self.release.set()

    async def invoke(self, _function_id: str, event: Event) -> Result:
        if self.is_throttled:
            self.is_throttled = False
            raise Throttled("consumer")
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        body = json.loads(b"".join(event.payload))
        self.events.append(body)
        (messages,) = body["rmqMessagesByQueue"].values()
        self.batches.append([base64.b64decode(item["data"]).decode() for item in messages])
        await self.release.wait()
        self.running -= 1
        if self.failures_left:
            self.failures_left -= 1
            return Result(b'{"errorType": "Boom", "errorMessage": "no"}', is_error=True)
        return Result(b"null")

    @property
    def received(self) -> list[str]:
        return [message for batch in self.batches for message in batch]


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


@pytest_asyncio.fixture
async def function() -> Function:
    return Function()


@asynccontextmanager
async def polling(
    broker_url: str,
    function: Function,
    log: io.StringIO,
    *,
    batch_size: int = 100,
    window_seconds: float = 0.0,
) -> AsyncIterator[None]:
    mapping = QueueMapping(
        "Map", "consumer", "arn:aws:mq:x", QUEUE, batch_size, window_seconds, True
    )
    poller = QueuePoller(mapping, broker_url, function.invoke, LogStream(log))
    async with running(poller):
        try:
            yield
        finally:
            function.release.set()


def depth(channel: BlockingChannel) -> int:
    """Messages that wait, were they all returned: this one counts only what is ready."""
    count: int = channel.queue_declare(QUEUE, passive=True).method.message_count
    return count


@pytest.mark.asyncio
async def test_a_message_arrives_with_awss_event_and_is_acknowledged(
    broker_url: str, channel: BlockingChannel, function: Function, log: io.StringIO
) -> None:
    declare(channel)
    async with polling(broker_url, function, log):
        publish(channel, "one")
        await until(lambda: function.received == ["one"])
    (event,) = function.events
    assert event["eventSource"] == "aws:rmq"
    assert event["eventSourceArn"] == "arn:aws:mq:x"
    assert list(event["rmqMessagesByQueue"]) == [f"{QUEUE}::/"]
    assert depth(channel) == 0


@pytest.mark.asyncio
async def test_one_batch_is_in_flight_and_later_messages_form_the_next(
    broker_url: str, channel: BlockingChannel, function: Function, log: io.StringIO
) -> None:
    declare(channel)
    function.release.clear()
    async with polling(broker_url, function, log, batch_size=3):
        publish(channel, "1")
        await until(lambda: function.running == 1)
        publish(channel, "2", "3", "4", "5")
        await until(lambda: depth(channel) == 2)
        function.release.set()
        await until(lambda: len(function.received) == 5)
    assert function.received == ["1", "2", "3", "4", "5"]
    assert function.most_running == 1
    assert max(map(len, function.batches)) <= 3


@pytest.mark.asyncio
async def test_a_batching_window_gathers_what_comes_within_it(
    broker_url: str, channel: BlockingChannel, function: Function, log: io.StringIO
) -> None:
    declare(channel)
    async with polling(broker_url, function, log, batch_size=4, window_seconds=3600):
        publish(channel, "1", "2", "3")
        await until(lambda: depth(channel) == 0)
        assert function.batches == []
        publish(channel, "4")
        await until(lambda: function.batches == [["1", "2", "3", "4"]])


@pytest.mark.asyncio
async def test_a_window_that_ends_sends_what_there_is(
    broker_url: str, channel: BlockingChannel, function: Function, log: io.StringIO
) -> None:
    declare(channel)
    async with polling(broker_url, function, log, window_seconds=0.3):
        publish(channel, "1", "2")
        await until(lambda: function.received == ["1", "2"])


@pytest.mark.asyncio
async def test_a_failed_batch_comes_again_as_a_whole_and_in_order(
    broker_url: str, channel: BlockingChannel, function: Function, log: io.StringIO
) -> None:
    declare(channel)
    function.failures_left = 2
    publish(channel, "1", "2", "3")
    # The window stays open until all three are together.
    async with polling(broker_url, function, log, batch_size=3, window_seconds=3600):
        await until(lambda: len(function.batches) == 3)
    assert function.batches == [["1", "2", "3"]] * 3
    messages = function.events[-1]["rmqMessagesByQueue"][f"{QUEUE}::/"]
    assert all(message["redelivered"] for message in messages)
    assert "Boom: no" in log.getvalue()
    assert depth(channel) == 0


@pytest.mark.asyncio
async def test_a_throttled_function_loses_nothing(
    broker_url: str, channel: BlockingChannel, function: Function, log: io.StringIO
) -> None:
    declare(channel)
    function.is_throttled = True
    async with polling(broker_url, function, log):
        publish(channel, "1")
        await until(lambda: function.received == ["1"])


@pytest.mark.asyncio
async def test_a_batch_stays_below_lambdas_payload(
    broker_url: str, channel: BlockingChannel, function: Function, log: io.StringIO
) -> None:
    declare(channel)
    publish(channel, *(str(number) * 1_500_000 for number in range(5)))
    async with polling(broker_url, function, log, window_seconds=1.0):
        await until(lambda: len(function.received) == 5)
    assert [message[0] for message in function.received] == list("01234")
    assert all(len(json.dumps(event)) < 6 * 1024 * 1024 for event in function.events)


@pytest.mark.asyncio
async def test_a_queue_that_does_not_exist_yet_is_waited_for(
    broker_url: str, channel: BlockingChannel, function: Function, log: io.StringIO
) -> None:
    async with polling(broker_url, function, log):
        await until(lambda: "waits for the queue" in log.getvalue())
        declare(channel)
        publish(channel, "1")
        await until(lambda: function.received == ["1"])


@pytest.mark.asyncio
async def test_a_queue_that_is_deleted_and_made_again_is_polled_again(
    broker_url: str, channel: BlockingChannel, function: Function, log: io.StringIO
) -> None:
    declare(channel)
    async with polling(broker_url, function, log):
        publish(channel, "1")
        await until(lambda: function.received == ["1"])
        channel.queue_delete(QUEUE)
        await until(lambda: "it was deleted" in log.getvalue())
        declare(channel)
        publish(channel, "2")
        await until(lambda: function.received == ["1", "2"])


@pytest.mark.asyncio
async def test_a_batch_in_flight_is_settled_before_the_poller_stops(
    broker_url: str, channel: BlockingChannel, function: Function, log: io.StringIO
) -> None:
    declare(channel)
    function.release.clear()
    async with polling(broker_url, function, log):
        publish(channel, "1")
        await until(lambda: function.running == 1)
    await until(lambda: depth(channel) == 0)
    async with polling(broker_url, function, log):
        publish(channel, "2")
        await until(lambda: len(function.received) >= 2)
    assert function.received == ["1", "2"]


@pytest.mark.asyncio
async def test_a_broker_that_cannot_be_reached_is_tried_again(
    function: Function, log: io.StringIO
) -> None:
    async with polling("amqp://guest:guest@127.0.0.1:1/%2F", function, log):
        await until(lambda: "cannot reach the broker" in log.getvalue())
    assert function.batches == []
