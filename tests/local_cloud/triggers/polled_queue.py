"""A queue of a real broker, the mapping that polls it, and the function, which the test plays."""

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from pika.adapters.blocking_connection import BlockingChannel

from infra.local.invocation import Event, Invoke, Result, Throttled
from infra.local.logs.stream import LogStream
from infra.local.template.model import QueueMapping
from infra.local.triggers.event_source import QueuePoller
from tests.amqp import open_channel


class Function:
    """Notes what it is given, and fails or waits when told to."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.failures_left = 0
        self.is_throttled = False
        self.running = 0
        self.most_running = 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def invoke(self, _function_id: str, event: Event) -> Result:
        if self.is_throttled:
            self.is_throttled = False
            raise Throttled("consumer")
        self.payloads.append(b"".join(event.payload))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await self.go_on.wait()
        self.running -= 1
        if self.failures_left:
            self.failures_left -= 1
            return Result(b'{"errorType": "Boom", "errorMessage": "no"}', is_error=True)
        return Result(b"null")

    @property
    def batches(self) -> list[list[dict[str, Any]]]:
        """The messages of each event."""
        return [messages_of(json.loads(payload)) for payload in self.payloads]

    @property
    def received(self) -> list[str]:
        """The bodies of all messages, in order."""
        return [body for batch in self.batches for body in bodies_of(batch)]


def messages_of(event: dict[str, Any]) -> list[dict[str, Any]]:
    (messages,) = event["rmqMessagesByQueue"].values()
    return list(messages)


def bodies_of(messages: list[dict[str, Any]]) -> list[str]:
    return [base64.b64decode(message["data"]).decode() for message in messages]


@dataclass
class PolledQueue:
    url: str
    name: str
    channel: BlockingChannel
    arn: str = "arn:aws:mq:x"
    function: Function = field(default_factory=Function)
    log: io.StringIO = field(default_factory=io.StringIO)

    def declare(self, kind: str = "quorum") -> None:
        """The queue is there, and new."""
        self.channel.queue_delete(self.name)
        self.channel.queue_declare(self.name, durable=True, arguments={"x-queue-type": kind})

    def publish(self, *bodies: str) -> None:
        for body in bodies:
            self.channel.basic_publish("", self.name, body.encode())

    def depth(self) -> int:
        """Messages that wait, were they all returned: this one counts only what is ready."""
        count: int = self.channel.queue_declare(self.name, passive=True).method.message_count
        return count

    @asynccontextmanager
    async def polling(
        self, invoke: Invoke | None = None, *, batch_size: int = 100, window_seconds: float = 0.0
    ) -> AsyncIterator[None]:
        """It is polled inside the block, which its failure ends; afterwards all it took is
        settled. `invoke` stands in for the function."""
        mapping = QueueMapping(
            "Map", "ConsumerFunction", self.arn, self.name, batch_size, window_seconds, True
        )
        poller = QueuePoller(mapping, self.url, invoke or self.function.invoke, LogStream(self.log))
        async with asyncio.TaskGroup() as group:
            group.create_task(poller.run())
            try:
                yield
            finally:
                self.function.go_on.set()
                poller.stop()


@contextmanager
def queue_at(url: str, name: str) -> Iterator[PolledQueue]:
    """The queue with the test's own connection to it."""
    with open_channel(url) as channel:
        channel.queue_delete(name)
        yield PolledQueue(url, name, channel)
