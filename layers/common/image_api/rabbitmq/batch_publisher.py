"""Publishes many messages before the first confirm is awaited: a slow broker costs one wait."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pika
from pika.adapters.select_connection import IOLoop, SelectConnection
from pika.channel import Channel
from pika.exceptions import AMQPConnectionError, ProbableAuthenticationError
from pika.spec import Basic

# Sent before anything is known of how fast the broker confirms.
_FIRST_MESSAGES = 8
# How long the confirms of what was begun in time are awaited.
_GRACE_SECONDS = 2.0
_CLOSE_TIMEOUT_SECONDS = 1.0
# pika takes no time-out of 0.
_MIN_OPENING_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A mandatory message that no queue takes counts as not taken."""

    exchange: str
    routing_key: str
    body: bytes
    properties: pika.BasicProperties
    mandatory: bool


class BatchPublisher:
    """One batch over one connection of its own.

    Twice as many messages are under way after each round of confirms, but never more than will be
    confirmed in the time that is left: what is begun and not confirmed comes twice. So does what
    one of its queues refuses: `until_refused` begins no more as soon as that is known of one.
    """

    def __init__(
        self,
        parameters: pika.URLParameters,
        messages: Sequence[Outgoing],
        *,
        until_refused: bool = False,
    ) -> None:
        self._parameters = parameters
        self._messages = messages
        self._until_refused = until_refused
        self._sent = 0
        self._settled: set[int] = set()
        self._confirmed: set[int] = set()
        self._refused: set[int] = set()
        self._returned: set[str] = set()
        self._window = _FIRST_MESSAGES
        self._first_sent_at = 0.0
        self._deadline = 0.0
        self._channel: Channel | None = None
        self._failure: Exception | None = None
        self._is_over = False
        self._is_open = False
        self.is_blocked = False
        # Until anything came of the connection, and of what was sent.
        self.is_silent = True
        self._loop = IOLoop()

    def run(self, seconds: float) -> list[int]:
        """The positions of those that a queue has safely; takes little longer than the time.

        Raises what ended the connection before any was confirmed.
        """
        self._deadline = time.monotonic() + seconds
        # What opens later sends nothing. pika ends an opening by its own clock: whoever closes one
        # at the same moment brings its parts out of step.
        opening_seconds = max(seconds, _MIN_OPENING_SECONDS)
        self._parameters.stack_timeout = min(self._parameters.stack_timeout, opening_seconds)
        self._parameters.socket_timeout = min(self._parameters.socket_timeout, opening_seconds)
        # It counts for one address; a name may have several, or nobody who knows it.
        self._loop.call_later(opening_seconds + _GRACE_SECONDS, self._give_up_opening)
        try:
            self._connection = SelectConnection(
                self._parameters,
                on_open_callback=self._on_open,
                on_open_error_callback=self._on_end,
                on_close_callback=self._on_end,
                custom_ioloop=self._loop,
            )
            self._loop.start()
        except AssertionError as error:
            # pika's own, about its states.
            self._failure = AMQPConnectionError("the connection came out of step")
            self._failure.__cause__ = error
        finally:
            self._loop.close()
        if self._failure is not None and not self._confirmed:
            raise self._failure
        return self._positions(self._confirmed)

    @property
    def refused(self) -> list[int]:
        """The positions of those that a queue did not take; others may have them."""
        return self._positions(self._refused)

    def _positions(self, numbers: set[int]) -> list[int]:
        return sorted(
            number - 1
            for number in numbers
            if self._messages[number - 1].properties.message_id not in self._returned
        )

    def _on_open(self, connection: SelectConnection) -> None:
        self._is_open = True
        left_seconds = self._deadline - time.monotonic()
        self._loop.call_later(max(0.0, left_seconds + _GRACE_SECONDS), self._finish)
        connection.add_on_connection_blocked_callback(self._on_blocked)
        connection.channel(on_open_callback=self._on_channel)

    def _on_channel(self, channel: Channel) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._on_refusal)
        channel.add_on_return_callback(self._on_return)
        channel.confirm_delivery(self._on_confirm)
        self._first_sent_at = time.monotonic()
        self._send()
        if not self._sent:
            self.is_silent = False
            self._finish()

    def _send(self) -> None:
        assert self._channel is not None
        while self._sent < len(self._messages) and self._has_room():
            message = self._messages[self._sent]
            self._sent += 1
            self._channel.basic_publish(
                message.exchange,
                message.routing_key,
                message.body,
                message.properties,
                mandatory=message.mandatory,
            )

    def _has_room(self) -> bool:
        under_way = self._sent - len(self._settled)
        if under_way >= self._window or (self._until_refused and self._refused):
            return False
        now = time.monotonic()
        if not self._settled:
            return now < self._deadline
        seconds_each = (now - self._first_sent_at) / len(self._settled)
        return now + (under_way + 1) * seconds_each < self._deadline

    def _on_return(
        self, _channel: Channel, _method: Basic.Return, properties: Any, _body: bytes
    ) -> None:
        self._returned.add(properties.message_id)

    def _on_confirm(self, frame: Any) -> None:
        self.is_silent = False
        tag = frame.method.delivery_tag
        numbers = set(range(1, tag + 1)) - self._settled if frame.method.multiple else {tag}
        self._settled |= numbers
        self._window += len(numbers)
        if isinstance(frame.method, Basic.Ack):
            self._confirmed |= numbers
        else:
            self._refused |= numbers
        self._send()
        if len(self._settled) == self._sent:
            self._finish()

    def _on_blocked(self, _connection: SelectConnection, _frame: Any) -> None:
        """An alarm: the broker has taken one message to say so, and reads no other."""
        self.is_blocked = True
        self._deadline = time.monotonic()
        self._loop.call_later(_GRACE_SECONDS, self._finish)

    def _on_refusal(self, _channel: Channel, error: Exception) -> None:
        if not self._is_over:
            self.is_silent = False
        self._finish(error)

    def _on_end(self, _connection: SelectConnection, error: BaseException) -> None:
        if not self._is_over:
            self._is_over = True
            # One that does not let in has answered.
            self.is_silent = not (self._is_open or isinstance(error, ProbableAuthenticationError))
            self._failure = error if isinstance(error, Exception) else ConnectionError(str(error))
        self._loop.stop()

    def _finish(self, failure: Exception | None = None) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._failure = failure
        self._connection.close()
        self._loop.call_later(_CLOSE_TIMEOUT_SECONDS, self._abandon)

    def _give_up_opening(self) -> None:
        if not self._is_open:
            self._is_over = True
            self._failure = AMQPConnectionError("the broker was not reached in time")
            self._loop.stop()

    def _abandon(self) -> None:
        # A broker that does not even answer a goodbye: pika's own heartbeat checker ends the
        # connection by the same call, and there is no public one.
        self._connection._terminate_stream(TimeoutError("the broker does not answer"))
