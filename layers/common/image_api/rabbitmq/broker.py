"""RabbitMQ: the exchange, the queues, and publishing with confirms."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import pika
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.exceptions import (
    AMQPConnectionError,
    AMQPError,
    ChannelClosedByBroker,
    NackError,
    ProbableAuthenticationError,
    UnroutableError,
)

from image_api.core.change_log import events
from image_api.core.change_log.events import Event
from image_api.core.change_log.messages import (
    APP_ID,
    REPLAYED_HEADER,
    DeadLetter,
    Message,
    MessageCounts,
    OfferedEvents,
    message_of,
)
from image_api.core.change_log.queues import RETRY_DELAYS_SECONDS, dead_queue, retry_queue
from image_api.errors import MessageRefused, ServiceUnavailable
from image_api.observability import logger
from image_api.rabbitmq import dead_letters
from image_api.rabbitmq.batch_publisher import BatchPublisher, Outgoing
from image_api.settings import BrokerSettings

Result = TypeVar("Result")

_CONNECT_TIMEOUT_SECONDS = 2.0
# What a channel takes once there is a connection.
_OPENING_TIMEOUT_SECONDS = 2.0
_CONFIRM_TIMEOUT_SECONDS = 4.0
_CLOSE_TIMEOUT_SECONDS = 1.0
_HEARTBEAT_SECONDS = 60
# Of a connection over which many steps are taken: one that says nothing is given up after two.
_HEARTBEAT_OF_MANY_SECONDS = 15
_NOT_FOUND = 404
_OTHERWISE_DECLARED = 406
_FIRST_VERSION_WITH_A_LIMIT = 4
# After a failed connection, or a confirm that never came, the next attempts fail at once for a
# while, so that a broker that is away costs one request its wait and not every one.
_PAUSE_AFTER_FAILURE_SECONDS = 5.0
_SOON_SECONDS = 30

# pika's connector has a family of its own: a handshake that nobody answers ends in one of these.
_FAILURES = (AMQPError, AMQPConnectorException, OSError)


# It writes tracebacks for each connection that has died; here one line says that it was replaced.
logging.getLogger("pika").setLevel(logging.CRITICAL)


class NoConfirm(AMQPConnectionError):  # type: ignore[misc]
    """The broker is there and takes nothing."""


class Broker:
    """One connection for each execution environment, made at first use, replaced when it died.

    Threads may share it: they take turns.
    """

    def __init__(
        self, settings: BrokerSettings, settings_now: Callable[[], BrokerSettings] | None = None
    ) -> None:
        """`settings_now` is asked when the password is refused: it may have been changed."""
        self._settings = settings
        self._settings_now = settings_now
        self._connection: BlockingConnection | None = None
        self._channel: BlockingChannel | None = None
        self._retry_at_seconds = 0.0
        self._is_blocked = False
        self._lock = threading.Lock()

    def publish_event(self, event: Event) -> None:
        # Somebody must be there to do what was requested; who wants to hear of outcomes may.
        self.publish(
            events.EXCHANGE,
            event.type,
            message_of(event),
            mandatory=event.type in events.REQUESTS,
        )

    def publish(
        self, exchange: str, routing_key: str, message: Message, *, mandatory: bool = True
    ) -> None:
        """Returns when the broker has the message safely; raises ServiceUnavailable otherwise.

        A mandatory message that no queue takes counts as not taken: MessageRefused.
        """
        self._on_a_live_connection(lambda: self._publish(exchange, routing_key, message, mandatory))

    def publish_events(self, batch: Sequence[Event], seconds: float) -> list[Event]:
        """Those that a queue has safely; as many are begun as can be confirmed in the time.

        Raises ServiceUnavailable when there is no connection or no exchange.
        """
        return self.offer_events(batch, seconds).confirmed

    def offer_events(
        self, batch: Sequence[Event], seconds: float, *, until_refused: bool = False
    ) -> OfferedEvents:
        """As `publish_events`; with `until_refused` no more are begun as soon as a queue is known
        to take no more.
        """
        outgoing = [
            Outgoing(
                events.EXCHANGE,
                event.type,
                message.body,
                _properties(message),
                # Who wants to hear of outcomes may; somebody must be there for what was requested.
                mandatory=event.type in events.REQUESTS,
            )
            for event in batch
            for message in (message_of(event),)
        ]
        return self._offered(batch, outgoing, seconds, until_refused=until_refused)

    def publish_to_queue(self, queue: str, batch: Sequence[Event], seconds: float) -> list[Event]:
        """As `publish_events`, past the exchange, to one queue that must be there."""
        return self._offered_to(queue, batch, seconds, {REPLAYED_HEADER: 1})

    def wake_consumer(self, batch: Sequence[Event], seconds: float) -> list[Event]:
        """Past the exchange to the work queue, whose length may be limited: whoever else listens
        has these events. Those that it has safely.
        """
        return self._offered_to(self._settings.queue, batch, seconds, {}, until_refused=True)

    def _offered_to(
        self,
        queue: str,
        batch: Sequence[Event],
        seconds: float,
        headers: Mapping[str, Any],
        *,
        until_refused: bool = False,
    ) -> list[Event]:
        outgoing = [
            Outgoing("", queue, message.body, _properties(message), mandatory=True)
            for event in batch
            for message in (message_of(event, headers),)
        ]
        return self._offered(batch, outgoing, seconds, until_refused=until_refused).confirmed

    def _offered(
        self,
        batch: Sequence[Event],
        outgoing: Sequence[Outgoing],
        seconds: float,
        *,
        until_refused: bool,
    ) -> OfferedEvents:
        if not batch:
            return OfferedEvents([], [])
        self._refuse_while_paused()
        try:
            confirmed, refused = self._settled(outgoing, seconds, until_refused=until_refused)
        except _FAILURES as error:
            raise self._unavailable(error) from error
        return OfferedEvents(
            [batch[position] for position in confirmed], [batch[position] for position in refused]
        )

    def _settled(
        self, outgoing: Sequence[Outgoing], seconds: float, *, until_refused: bool
    ) -> tuple[list[int], list[int]]:
        """The positions of those that were confirmed, and of those that were refused."""

        def publisher() -> BatchPublisher:
            return BatchPublisher(self._parameters(), outgoing, until_refused=until_refused)

        sending = publisher()
        try:
            confirmed = sending.run(seconds)
        except ProbableAuthenticationError:
            if self._settings_now is None:
                raise
            self._settings = self._settings_now()
            sending = publisher()
            confirmed = sending.run(seconds)
        finally:
            if sending.is_silent or sending.is_blocked:
                self._pause()
        return confirmed, sending.refused

    def ping(self) -> None:
        """Raises ServiceUnavailable when the broker does not answer, takes nothing, or has no work
        queue.
        """
        self._on_a_live_connection(lambda: self._ask_in_time(self._look))

    def bind_work_queue(self) -> None:
        """To what is requested, if it is not; no client can ask whether it is. Raises
        ServiceUnavailable when the queue or the exchange is missing.
        """
        self._on_a_live_connection(lambda: self._ask_in_time(self._bind))

    def _bind(self, channel: BlockingChannel) -> None:
        channel.queue_bind(self._settings.queue, events.EXCHANGE, events.REQUESTS_BINDING)

    def declare_topology(self) -> None:
        """Exchange, work queue, delay queues and dead letters; safe to repeat.

        Delays are queues nobody reads: what expires there goes back to the work queue. All are
        quorum queues, and dead-lettering confirms each step, so that no node's loss loses one.
        """
        with self._lock:
            try:
                self._again_if_it_died(self._declare_each)
            except _FAILURES as error:
                self._drop()
                raise self._unavailable(error, named=True) from error
            except ServiceUnavailable as error:
                raise ServiceUnavailable(f"{self._address}: {error.detail}") from error

    def _declare_each(self) -> None:
        queue = self._settings.queue
        self._ask_in_time(
            lambda channel: channel.exchange_declare(events.EXCHANGE, "topic", durable=True)
        )
        # RabbitMQ 4 gives a message up that came back 20 times, as after a consumer that crashes:
        # without a place to go it would be dropped.
        self._declare_queue(queue, _then_to(dead_queue(queue)))
        self._ask_in_time(self._bind)
        for delay_seconds in RETRY_DELAYS_SECONDS:
            self._declare_queue(
                retry_queue(queue, delay_seconds),
                {"x-message-ttl": delay_seconds * 1000, **_then_to(queue)},
            )
        self._declare_dead_queue(dead_queue(queue))

    def message_counts(self) -> MessageCounts:
        """What lies in the queues, ready to be delivered. Raises ServiceUnavailable."""
        queue = self._settings.queue
        delays = [retry_queue(queue, seconds) for seconds in RETRY_DELAYS_SECONDS]
        counts: dict[str, int] = {}

        def count(channel: BlockingChannel) -> None:
            for name in (queue, *delays, dead_queue(queue)):
                counts[name] = channel.queue_declare(name, passive=True).method.message_count

        self._on_a_live_connection(lambda: self._ask_in_time(count))
        dead = counts.pop(dead_queue(queue))
        later = sum(
            counts[retry_queue(queue, seconds)]
            for seconds in RETRY_DELAYS_SECONDS
            if seconds > _SOON_SECONDS
        )
        waiting = sum(counts.values())
        return MessageCounts(waiting, waiting - later, dead)

    def dead_letters(self, limit: int) -> list[DeadLetter]:
        """The oldest of them. Raises ServiceUnavailable."""
        return self._on_a_connection_of_its_own(
            lambda channel: list(dead_letters.listed(channel, self._settings.queue, limit))
        )

    def redrive(self, event_id: str | None, may_go_on: Callable[[], bool]) -> int:
        """How many dead letters were sent back to the work queue. Raises ServiceUnavailable."""
        return self._on_a_connection_of_its_own(
            lambda channel: dead_letters.redrive(channel, self._settings.queue, event_id, may_go_on)
        )

    def renew(self) -> None:
        """Takes the settings anew, password included, and connects when it is asked again."""
        self.close()
        self._retry_at_seconds = 0.0
        if self._settings_now is not None:
            self._settings = self._settings_now()

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _on_a_connection_of_its_own(self, act: Callable[[BlockingChannel], Result]) -> Result:
        """What it took and did not acknowledge is back in its queue afterwards."""
        try:
            with self._connected(_HEARTBEAT_OF_MANY_SECONDS) as connection:
                with _deadline(connection, _OPENING_TIMEOUT_SECONDS):
                    channel = connection.channel()
                return act(channel)
        except _FAILURES as error:
            raise self._unavailable(error) from error

    def _again_if_it_died(self, act: Callable[[], None]) -> None:
        """An old connection may have died long ago, unnoticed: then a fresh one decides."""
        was_connected = self._channel is not None
        try:
            act()
        except (UnroutableError, NackError, NoConfirm):
            raise
        except _FAILURES as error:
            self._drop()
            if not was_connected or isinstance(error, ChannelClosedByBroker):
                raise
            act()
            logger.info("broker connection replaced", reason=type(error).__name__)

    def _on_a_live_connection(self, act: Callable[[], None]) -> None:
        """At worst a message is published twice, which every consumer expects."""
        with self._lock:
            try:
                self._again_if_it_died(act)
            except (UnroutableError, NackError) as error:
                raise MessageRefused("The broker did not take the message; try again") from error
            except _FAILURES as error:
                self._drop()
                if isinstance(error, NoConfirm):
                    # Another connection would wait as long.
                    self._pause()
                raise self._unavailable(error) from error

    def _look(self, channel: BlockingChannel) -> None:
        queue = self._settings.queue
        channel.queue_declare(queue, passive=True)
        # It is there: now whether it is as it should be.
        channel.queue_declare(queue, durable=True, arguments=_quorum(_then_to(dead_queue(queue))))
        # To nobody, and twice: a broker whose alarm is on takes one message to say so.
        for _ in range(2):
            channel.basic_publish("", "", b"")
            self._read_what_came()

    def _declare_queue(self, name: str, arguments: Mapping[str, Any]) -> None:
        self._ask_in_time(
            lambda channel: channel.queue_declare(name, durable=True, arguments=_quorum(arguments))
        )

    def _declare_dead_queue(self, name: str) -> None:
        """One that is there stays, whatever its arguments: it may hold letters.

        RabbitMQ 4 drops what was returned 20 times, so that reading the letters would use them up:
        not here.
        """
        try:
            self._ask_in_time(lambda channel: channel.queue_declare(name, passive=True))
        except ChannelClosedByBroker as error:
            if error.reply_code != _NOT_FOUND:
                raise
        else:
            return
        # RabbitMQ 3 has no such limit by itself, and would drop a letter at its first return.
        is_limited = self._major_version() >= _FIRST_VERSION_WITH_A_LIMIT
        self._declare_queue(name, {"x-delivery-limit": -1} if is_limited else {})

    def _major_version(self) -> int:
        self._open_channel()
        # BlockingConnection keeps for itself what its connection was told.
        properties = self._connection._impl.server_properties if self._connection else {}
        return int(str(properties.get("version", "0")).partition(".")[0])

    def _ask_in_time(self, ask: Callable[[BlockingChannel], object]) -> None:
        channel = self._open_channel()
        self._read_what_came()
        assert self._connection is not None
        with _deadline(self._connection, _CONFIRM_TIMEOUT_SECONDS):
            ask(channel)

    def _read_what_came(self) -> None:
        """A close, missed heartbeats, or that the broker's alarm is on: then it reads nothing that
        is sent to it, and says when that ends.
        """
        assert self._connection is not None
        self._connection.process_data_events(0)
        if self._is_blocked:
            raise ServiceUnavailable("The broker takes no messages just now; try again")

    def _on_blocked(self, *_: object) -> None:
        self._is_blocked = True

    def _on_unblocked(self, *_: object) -> None:
        self._is_blocked = False

    def _publish(self, exchange: str, routing_key: str, message: Message, mandatory: bool) -> None:
        channel = self._open_channel()
        # Before the message is sent into nowhere.
        self._read_what_came()
        assert self._connection is not None
        with _deadline(self._connection, _CONFIRM_TIMEOUT_SECONDS):
            channel.basic_publish(
                exchange,
                routing_key,
                message.body,
                _properties(message),
                mandatory=mandatory,
            )

    def _open_channel(self) -> BlockingChannel:
        if self._channel is not None and self._channel.is_open:
            return self._channel
        self._drop()
        self._refuse_while_paused()
        try:
            self._connection = self._connected()
            self._connection.add_on_connection_blocked_callback(self._on_blocked)
            self._connection.add_on_connection_unblocked_callback(self._on_unblocked)
            with _deadline(self._connection, _OPENING_TIMEOUT_SECONDS):
                self._channel = self._connection.channel()
                self._channel.confirm_delivery()
        except _FAILURES as error:
            self._drop()
            self._pause()
            reason = type(error).__name__
            logger.warning("the broker cannot be reached", address=self._address, reason=reason)
            raise ServiceUnavailable(f"The broker cannot be reached ({reason})") from error
        return self._channel

    def _connected(self, heartbeat_seconds: int = _HEARTBEAT_SECONDS) -> BlockingConnection:
        try:
            return BlockingConnection(self._parameters(heartbeat_seconds))
        except ProbableAuthenticationError:
            if self._settings_now is None:
                raise
            self._settings = self._settings_now()
            return BlockingConnection(self._parameters(heartbeat_seconds))

    @property
    def _address(self) -> str:
        parameters = self._parameters()
        return f"{parameters.host}:{parameters.port}"

    def _pause(self) -> None:
        self._retry_at_seconds = time.monotonic() + _PAUSE_AFTER_FAILURE_SECONDS

    def _refuse_while_paused(self) -> None:
        if time.monotonic() < self._retry_at_seconds:
            raise ServiceUnavailable("The broker was away a moment ago; try again")

    def _parameters(self, heartbeat_seconds: int = _HEARTBEAT_SECONDS) -> pika.URLParameters:
        parameters = pika.URLParameters(self._settings.url)
        parameters.heartbeat = heartbeat_seconds
        parameters.socket_timeout = _CONNECT_TIMEOUT_SECONDS
        parameters.stack_timeout = _CONNECT_TIMEOUT_SECONDS * 2
        parameters.connection_attempts = 1
        return parameters

    def _drop(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        self._is_blocked = False
        if connection is not None and connection.is_open:
            # One that is blocked does not even read the goodbye.
            with suppress(*_FAILURES), _deadline(connection, _CLOSE_TIMEOUT_SECONDS):
                connection.close()

    def _unavailable(self, error: Exception, *, named: bool = False) -> ServiceUnavailable:
        """In words, without the broker's address unless `named`: the health check is public."""
        if not isinstance(error, ChannelClosedByBroker):
            detail = "The broker did not take the message; try again"
        elif error.reply_code == _OTHERWISE_DECLARED:
            detail = (
                f"The broker has a queue or an exchange with other arguments: {error.reply_text}. "
                "Delete it, or set RABBITMQ_QUEUE to another name"
            )
        else:
            detail = f"The broker lacks something, or refuses it: {error.reply_text}"
        return ServiceUnavailable(f"{self._address}: {detail}" if named else detail)


def _quorum(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {"x-queue-type": "quorum", **arguments}


def _properties(message: Message) -> pika.BasicProperties:
    return pika.BasicProperties(
        content_type=message.content_type,
        delivery_mode=2,
        message_id=message.message_id,
        correlation_id=message.correlation_id,
        type=message.type,
        timestamp=message.timestamp,
        app_id=APP_ID,
        headers=dict(message.headers) or None,
    )


def _then_to(queue: str) -> dict[str, str]:
    """Arguments of a queue whose messages go on to another one, without a gap to get lost in."""
    return {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


@contextmanager
def _deadline(connection: BlockingConnection, seconds: float) -> Iterator[None]:
    """Ends the connection when the block takes longer.

    pika waits for a confirm as long as heartbeats come, which a broker without a quorum sends for
    ever. Its own heartbeat checker ends a connection by the same two calls.
    """
    transport = connection._impl
    timer = transport._adapter_call_later(
        seconds,
        lambda: transport._terminate_stream(NoConfirm("no confirm came in time")),
    )
    try:
        yield
    finally:
        transport._adapter_remove_timeout(timer)
