"""The event source mapping from RabbitMQ: batches of messages, one invocation at a time.

Messages are acknowledged once the function has succeeded; otherwise the whole batch returns to the
queue and comes again, for as long as it takes.
"""

import asyncio
import json
import time
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import pika
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.channel import Channel
from pika.exceptions import AMQPError, ChannelClosedByBroker

from infra.local.invocation import Invoke, NotInvoked, Throttled, error_summary, json_event
from infra.local.logs.stream import LogStream
from infra.local.template.model import QueueMapping, Template
from infra.local.triggers import amqp_values
from infra.local.triggers.rabbitmq_event import batch_event, message_record

# Lambda's payload limit, less what stands around the messages.
_MAX_BATCH_BYTES = 6 * 1024 * 1024 - 4096
_MAX_RECONNECT_SECONDS = 5.0
_CLOSE_SECONDS = 10.0
_MAX_RETRY_SECONDS = 10.0
_QUEUE_MISSING = 404

_Awaited = TypeVar("_Awaited")

amqp_values.install()


@dataclass(frozen=True, slots=True)
class _Message:
    delivery_tag: int
    record: dict[str, Any]
    size_bytes: int


class _SourceGone(Exception):
    """The connection, the channel or the queue went away."""


def url_of_poller(broker_url: str, template: Template, mapping: QueueMapping) -> str:
    """As the user that the triggered function is, where functions are users of their own."""
    function = template.functions.get(mapping.function_id)
    purpose = function.environment.get("RABBITMQ_PURPOSE") if function else None
    return broker_url.replace("{purpose}", purpose or "")


class QueuePoller:
    """Moves the messages of one queue to one function. `run` it as a task, `stop` it in the end."""

    def __init__(
        self,
        mapping: QueueMapping,
        broker_url: str,
        invoke: Invoke,
        logs: LogStream,
    ) -> None:
        self._mapping = mapping
        self._broker_url = broker_url
        self._invoke = invoke
        self._logs = logs
        self._virtual_host = unquote(urlsplit(broker_url).path.removeprefix("/")) or "/"
        self._stop_requested = asyncio.Event()
        self._messages: asyncio.Queue[_Message | None] = asyncio.Queue()
        self._left_over: _Message | None = None
        self._last_tag = 0
        self._failures = 0
        self._last_problem = ""

    async def run(self) -> None:
        """Polls until `stop`; a broker or a queue that is not there yet is waited for."""
        delay_seconds = 0.1
        while not self._stop_requested.is_set():
            started_at = time.monotonic()
            try:
                await self._poll()
            except _SourceGone as error:
                self._say_once(str(error))
            if time.monotonic() - started_at > _MAX_RECONNECT_SECONDS:
                delay_seconds = 0.1
            await self._pause(delay_seconds)
            delay_seconds = min(delay_seconds * 2, _MAX_RECONNECT_SECONDS)

    def stop(self) -> None:
        """Ends `run` once the batch in flight is settled."""
        self._stop_requested.set()
        self._messages.put_nowait(None)

    async def _poll(self) -> None:
        connection = await self._connect()
        closed: asyncio.Future[_SourceGone] = asyncio.get_running_loop().create_future()
        try:
            channel = await self._consume(connection, closed)
            self._last_problem = ""
            while not self._stop_requested.is_set() and not closed.done():
                batch = await self._gather()
                if batch:
                    await self._deliver(channel, batch)
            if closed.done():
                raise closed.result()
        except AMQPError as error:
            raise _SourceGone(f"the broker closed the channel: {error!r}") from error
        finally:
            await _close(connection)

    async def _connect(self) -> AsyncioConnection:
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[AsyncioConnection] = loop.create_future()

        def on_error(_: object, error: BaseException | str) -> None:
            if not opened.done():
                opened.set_exception(_SourceGone(f"cannot reach the broker: {error}"))

        AsyncioConnection(
            pika.URLParameters(self._broker_url),
            on_open_callback=partial(_resolve_future, opened),
            on_open_error_callback=on_error,
            on_close_callback=lambda _connection, _error: None,
            custom_ioloop=loop,
        )
        return await opened

    async def _consume(
        self, connection: AsyncioConnection, closed: asyncio.Future[_SourceGone]
    ) -> Channel:
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[Channel] = loop.create_future()
        consuming: asyncio.Future[Any] = loop.create_future()
        self._messages = asyncio.Queue()
        self._left_over = None
        self._last_tag = 0

        def end(reason: BaseException | str) -> None:
            problem = f"lost the queue: {reason}"
            if isinstance(reason, ChannelClosedByBroker) and reason.reply_code == _QUEUE_MISSING:
                problem = f"waits for the queue {self._mapping.queue} to exist"
            _resolve_future(closed, _SourceGone(problem))
            self._messages.put_nowait(None)

        connection.add_on_close_callback(lambda _connection, error: end(error))
        connection.channel(on_open_callback=partial(_resolve_future, opened))
        channel = await _unless_closed(opened, closed)
        channel.add_on_close_callback(lambda _channel, error: end(error))
        channel.add_on_cancel_callback(lambda _frame: end("it was deleted"))
        # Later messages wait in the broker, where they are safe, until this batch is settled.
        channel.basic_qos(prefetch_count=min(self._mapping.batch_size, 65_535))
        channel.basic_consume(
            self._mapping.queue, self._receive, callback=partial(_resolve_future, consuming)
        )
        await _unless_closed(consuming, closed)
        return channel

    def _receive(self, channel: Channel, deliver: Any, properties: Any, body: bytes) -> None:
        record = message_record(properties, body, is_redelivered=deliver.redelivered)
        size_bytes = len(json.dumps(record))
        if size_bytes > _MAX_BATCH_BYTES:
            # To the queue's dead letters, if it has any: no function can ever be handed it.
            channel.basic_nack(deliver.delivery_tag, requeue=False)
            self._logs.event(
                "event source",
                f"a message of {self._mapping.queue} is set aside: it is larger than what a "
                f"function can be invoked with ({len(body)} bytes, 6 MB with its envelope)",
                is_problem=True,
            )
            return
        self._last_tag = deliver.delivery_tag
        self._messages.put_nowait(_Message(deliver.delivery_tag, record, size_bytes))

    async def _gather(self) -> list[_Message]:
        """The next batch: as many messages as come in time, as Lambda's limits allow."""
        first = self._left_over or await self._messages.get()
        self._left_over = None
        if first is None:
            return []
        batch = [first]
        size_bytes = first.size_bytes
        deadline = time.monotonic() + self._mapping.window_seconds
        while len(batch) < self._mapping.batch_size:
            message = await self._next_before(deadline)
            if message is None:
                break
            size_bytes += message.size_bytes
            if size_bytes > _MAX_BATCH_BYTES:
                self._left_over = message
                break
            batch.append(message)
        return batch

    async def _next_before(self, deadline: float) -> _Message | None:
        if not self._messages.empty():
            return self._messages.get_nowait()
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            return None
        try:
            async with asyncio.timeout(remaining):
                return await self._messages.get()
        except TimeoutError:
            return None

    async def _deliver(self, channel: Channel, batch: list[_Message]) -> None:
        problem = await self._problem_once_invoked(channel, batch)
        if problem is None:
            self._failures = 0
            if channel.is_open:
                channel.basic_ack(batch[-1].delivery_tag, multiple=True)
            return
        delay_seconds = min(0.2 * 2**self._failures, _MAX_RETRY_SECONDS)
        self._failures += 1
        self._logs.event(
            "event source",
            f"{len(batch)} messages return to {self._mapping.queue} in {delay_seconds:g} s: "
            f"{problem}",
            is_problem=True,
        )
        await self._pause(delay_seconds)
        if channel.is_open:
            # What was received after the batch returns too, or it would overtake it.
            channel.basic_nack(self._last_tag, multiple=True, requeue=True)
        self._messages = asyncio.Queue()
        self._left_over = None

    async def _problem_once_invoked(self, channel: Channel, batch: list[_Message]) -> str | None:
        """Holds the batch while the function cannot be reached: each return would count, and the
        broker gives up a message that returned often."""
        delay_seconds = 0.2
        last_problem = ""
        while True:
            try:
                return await self._problem_with(batch)
            except NotInvoked as error:
                problem = str(error)
            if self._stop_requested.is_set() or not channel.is_open:
                return problem
            if problem != last_problem:
                last_problem = problem
                self._logs.event(
                    "event source",
                    f"{len(batch)} messages of {self._mapping.queue} wait: {problem}",
                    is_problem=True,
                )
            await self._pause(delay_seconds)
            delay_seconds = min(delay_seconds * 2, _MAX_RECONNECT_SECONDS)

    async def _problem_with(self, batch: list[_Message]) -> str | None:
        records = [message.record for message in batch]
        mapping = self._mapping
        event = json_event(
            batch_event(mapping.broker_arn, mapping.queue, self._virtual_host, records)
        )
        try:
            result = await self._invoke(self._mapping.function_id, event)
        except Throttled:
            return "the function is throttled"
        return error_summary(result.payload) if result.is_error else None

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop_requested.wait()
        except TimeoutError:
            return

    def _say_once(self, problem: str) -> None:
        if problem != self._last_problem:
            self._last_problem = problem
            self._logs.event("event source", f"{self._mapping.queue}: {problem}", is_problem=True)


def _resolve_future(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


async def _unless_closed(
    awaited: asyncio.Future[_Awaited], closed: asyncio.Future[_SourceGone]
) -> _Awaited:
    either: set[asyncio.Future[Any]] = {awaited, closed}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if awaited.done():
        return awaited.result()
    raise closed.result()


async def _close(connection: AsyncioConnection) -> None:
    """Closes the connection after everything sent on it, or gives up on a broker that is silent."""
    if connection.is_closed:
        return
    closed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    connection.add_on_close_callback(lambda _connection, error: _resolve_future(closed, error))
    if not connection.is_closing:
        connection.close()
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await closed
    except TimeoutError:
        return
