"""How each message of a batch ends: applied, sent around again, or buried."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from image_api.core import events
from image_api.core.events import Event, MalformedEvent
from image_api.core.messages import (
    ATTEMPT_HEADER,
    REASON_HEADER,
    RETRY_DELAYS_SECONDS,
    WAITS_HEADER,
    MessagePublisher,
    ReceivedMessage,
    dead_queue,
    retry_queue,
)
from image_api.core.processing import NeverPossible, Outcome, Processor, TooEarly
from image_api.errors import InvalidImage, ObjectMissing, ServiceUnavailable
from image_api.observability import logger

# An event that overtook an earlier one of its image comes back soon, then less and less often.
# The earlier one has 13 minutes for its own retries; after hours it is not coming.
_WAIT_DELAYS_SECONDS = ((20, 1), (40, 5), (300, 30))

_Decoded = Event | MalformedEvent


class Consumer:
    """Settles every message of a batch by itself, so that none can fail the batch.

    Images are processed in parallel, the events of one image in order.
    """

    def __init__(
        self,
        processor: Processor,
        publisher: MessagePublisher,
        queue: str,
        *,
        workers: int | None = None,
    ) -> None:
        self._processor = processor
        self._publisher = publisher
        self._queue = queue
        self._threads = ThreadPoolExecutor(
            max_workers=workers or os.cpu_count() or 2, thread_name_prefix="processing"
        )

    def consume(self, messages: list[ReceivedMessage]) -> dict[str, int]:
        """Counts of outcomes. Raises ServiceUnavailable when the broker takes no retry or dead
        letter: then the whole batch comes again, and what was applied is recognised.
        """
        groups: dict[object, list[tuple[ReceivedMessage, _Decoded]]] = {}
        for message in messages:
            try:
                event = events.decode(message.body)
            except MalformedEvent as error:
                groups[object()] = [(message, error)]
            else:
                groups.setdefault(event.image_id, []).append((message, event))
        counts: dict[str, int] = {}
        for outcomes in self._threads.map(self._settle_group, groups.values()):
            for outcome in outcomes:
                counts[outcome] = counts.get(outcome, 0) + 1
        return counts

    def close(self) -> None:
        self._threads.shutdown()

    def _settle_group(self, group: list[tuple[ReceivedMessage, _Decoded]]) -> list[Outcome]:
        return [self._settle(message, event) for message, event in group]

    def _settle(self, message: ReceivedMessage, event: _Decoded) -> Outcome:
        started_at = time.perf_counter()
        if isinstance(event, MalformedEvent):
            outcome = self._bury(message, str(event))
        elif event.type not in events.REQUESTS:
            outcome = self._bury(message, "The type of the event is unknown")
        else:
            outcome = self._attempt(message, event)
        logger.info(
            "event settled",
            outcome=outcome,
            event_id=message.message_id,
            event_type=message.type,
            image_id=None if isinstance(event, MalformedEvent) else event.image_id,
            correlation_id=message.correlation_id,
            attempt=message.attempt,
            duration_ms=round((time.perf_counter() - started_at) * 1000, 1),
        )
        return outcome

    def _attempt(self, message: ReceivedMessage, event: Event) -> Outcome:
        try:
            return self._processor.apply(event, redriven=message.is_redriven)
        except TooEarly:
            return self._wait(message, event)
        except (NeverPossible, InvalidImage) as error:
            return self._give_up(message, event, str(error))
        except ObjectMissing:
            return self._give_up(message, event, "The stored file is missing")
        except ServiceUnavailable as error:
            return self._retry(message, event, error.detail)
        except Exception as error:
            # One image must not hold up the others, whatever it does to the code: it gets its
            # retries like a temporary fault, and the log and the metrics say what happened.
            logger.exception(
                "unexpected error while processing",
                event_id=event.id,
                image_id=event.image_id,
                correlation_id=event.correlation_id,
            )
            return self._retry(message, event, type(error).__name__)

    def _wait(self, message: ReceivedMessage, event: Event) -> Outcome:
        for limit, delay_seconds in _WAIT_DELAYS_SECONDS:
            if message.waits < limit:
                self._delay(message, delay_seconds, {WAITS_HEADER: message.waits + 1})
                return "waiting"
        return self._give_up(message, event, "An earlier change of this image never came")

    def _retry(self, message: ReceivedMessage, event: Event, reason: str) -> Outcome:
        attempts = message.attempt + 1
        if attempts > len(RETRY_DELAYS_SECONDS):
            return self._give_up(message, event, f"It failed {attempts} times; at last: {reason}")
        delay_seconds = RETRY_DELAYS_SECONDS[message.attempt]
        self._delay(message, delay_seconds, {ATTEMPT_HEADER: attempts, REASON_HEADER: reason})
        return "retried"

    def _give_up(self, message: ReceivedMessage, event: Event, reason: str) -> Outcome:
        """Buries the message and fails the image; a crash between the two repeats both.

        A removal has no failure: the image is hidden already, and the dead letter, sent again,
        removes its files.
        """
        if event.type == events.DELETE_REQUESTED:
            return self._bury(message, reason)
        try:
            if self._processor.is_settled(event, redriven=message.is_redriven):
                return "duplicate"
            self._bury(message, reason)
            self._processor.fail(event, reason)
        except ServiceUnavailable as error:
            # Without the database nobody can be told: it comes back after the longest delay.
            self._delay(
                message,
                RETRY_DELAYS_SECONDS[-1],
                {ATTEMPT_HEADER: message.attempt, REASON_HEADER: error.detail},
            )
            return "retried"
        return "dead"

    def _bury(self, message: ReceivedMessage, reason: str) -> Outcome:
        headers = {REASON_HEADER: reason, ATTEMPT_HEADER: message.attempt + 1}
        self._publisher.publish("", dead_queue(self._queue), message.resent(headers))
        return "dead"

    def _delay(
        self, message: ReceivedMessage, delay_seconds: int, headers: Mapping[str, Any]
    ) -> None:
        queue = retry_queue(self._queue, delay_seconds)
        self._publisher.publish("", queue, message.resent(headers))
