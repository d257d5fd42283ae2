"""What the consumer does with each accepted change: apply it once, in order, or say why not."""

from __future__ import annotations

import base64
import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, cast

from image_api.aws.s3 import ObjectMissing
from image_api.core import events, images
from image_api.core.events import Event, MalformedEvent
from image_api.errors import InvalidImage, ServiceUnavailable
from image_api.imaging import Rendition
from image_api.imaging.rendering import render
from image_api.observability import logger
from image_api.rabbitmq.broker import RETRY_DELAYS_SECONDS, Message, dead_queue, retry_queue

Outcome = Literal["applied", "failed", "duplicate", "waiting", "retried", "dead"]

_ATTEMPT = "x-attempt"
_WAITS = "x-waits"
_REASON = "x-reason"
_REDRIVEN = "x-redriven"
# What the broker writes down when a delay ends. Lambda hands it over in a form of its own: sent
# back, it would grow with every round until the message is too large for its queue.
_BROKERS_NOTES = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count")
# An event that overtook an earlier one of its image comes back soon, then less and less often.
# The earlier one has 13 minutes for its own retries; after hours it is not coming.
_WAIT_DELAYS_SECONDS = ((20, 1), (40, 5), (300, 30))

_DELETED = "The image was deleted"

_COMPLETED = {
    events.UPLOAD_REQUESTED: events.UPLOAD_COMPLETED,
    events.UPDATE_REQUESTED: events.UPDATE_COMPLETED,
    events.DELETE_REQUESTED: events.DELETE_COMPLETED,
}
_FAILED = {
    events.UPLOAD_REQUESTED: events.UPLOAD_FAILED,
    events.UPDATE_REQUESTED: events.UPDATE_FAILED,
}


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message as the event source mapping hands it over."""

    body: bytes
    message_id: str
    correlation_id: str
    type: str
    headers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def attempt(self) -> int:
        """How often it was tried before."""
        return _count(self.headers.get(_ATTEMPT))

    @property
    def waits(self) -> int:
        """How often it came before its turn."""
        return _count(self.headers.get(_WAITS))

    @property
    def is_redriven(self) -> bool:
        """Whether somebody sent it back from among the dead letters."""
        return _count(self.headers.get(_REDRIVEN)) > 0


@dataclass(frozen=True, slots=True)
class ImageState:
    """What processing needs to know of an image; `rendition_keys` are those served until now."""

    original_key: str
    applied_sequence: int
    rendered: bool
    failed: bool
    deleted: bool
    rendition_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoredRendition:
    name: str
    object_key: str
    content_type: str
    size_bytes: int
    width: int
    height: int
    animated: bool


class ProcessingRecords(Protocol):
    """Each of the four writers applies one event, its inbox row and its outcome in one
    transaction. It returns the outcome to publish, or None when the event was applied meanwhile.
    """

    def state(self, event: Event) -> tuple[bool, ImageState | None]:
        """Whether the event was applied before, and the image it is about."""

    def complete(
        self,
        event: Event,
        outcome_type: str,
        renditions: list[StoredRendition],
        *,
        after_failure: bool = False,
    ) -> Event | None:
        """`after_failure`: this event was given up and must still be the image's last word."""

    def fail(self, event: Event, outcome_type: str, reason: str) -> Event | None:
        """Gives the event up, and with it those before it that never came."""

    def reject(self, event: Event, outcome_type: str | None, reason: str) -> Event | None:
        """For an image that is gone; `outcome_type` is None where nobody is to be told."""

    def remove(self, event: Event, outcome_type: str) -> Event | None: ...

    def deliver(self, event: Event) -> None:
        """Publishes an outcome, or leaves it to the relay."""


class ObjectStorage(Protocol):
    def get(self, key: str) -> bytes: ...

    def put(self, key: str, data: bytes, content_type: str) -> None: ...

    def delete(self, keys: list[str]) -> None: ...

    def delete_folder(self, prefix: str) -> None:
        """Deletes whatever lies below `prefix`, which ends with a slash."""


class MessagePublisher(Protocol):
    def publish(self, exchange: str, routing_key: str, message: Message) -> None: ...


class _TooEarly(Exception):
    """An earlier change of the same image has not been applied yet."""


class _NeverPossible(Exception):
    """No repetition would help; the text says why, for the image's owner."""


class Processor:
    """Settles every message of a batch by itself, so that none can fail the batch.

    Images are processed in parallel, the events of one image in order.
    """

    def __init__(
        self,
        *,
        records: Callable[[], ProcessingRecords],
        storage: ObjectStorage,
        publisher: MessagePublisher,
        queue: str,
        workers: int | None = None,
    ) -> None:
        """`records` is called once for each thread."""
        self._make_records = records
        self._storage = storage
        self._publisher = publisher
        self._queue = queue
        self._local = threading.local()
        self._threads = ThreadPoolExecutor(
            max_workers=workers or os.cpu_count() or 2, thread_name_prefix="processing"
        )

    def process(self, deliveries: list[Delivery]) -> dict[str, int]:
        """Counts of outcomes. Raises ServiceUnavailable when the broker takes no retry or dead
        letter: then the whole batch comes again, and what was applied is recognised.
        """
        groups: dict[object, list[tuple[Delivery, Event | MalformedEvent]]] = {}
        for delivery in deliveries:
            try:
                event = events.decode(delivery.body)
            except MalformedEvent as error:
                groups[object()] = [(delivery, error)]
            else:
                groups.setdefault(event.image_id, []).append((delivery, event))
        counts: dict[str, int] = {}
        for outcomes in self._threads.map(self._settle_group, groups.values()):
            for outcome in outcomes:
                counts[outcome] = counts.get(outcome, 0) + 1
        return counts

    def _settle_group(self, group: list[tuple[Delivery, Event | MalformedEvent]]) -> list[Outcome]:
        return [self._settle(delivery, event) for delivery, event in group]

    def _settle(self, delivery: Delivery, event: Event | MalformedEvent) -> Outcome:
        started_at = time.perf_counter()
        if isinstance(event, MalformedEvent):
            self._bury(delivery, str(event))
            outcome: Outcome = "dead"
        elif event.type not in events.REQUESTS:
            self._bury(delivery, "The type of the event is unknown")
            outcome = "dead"
        else:
            outcome = self._attempt(delivery, event)
        logger.info(
            "event settled",
            outcome=outcome,
            event_id=delivery.message_id,
            event_type=delivery.type,
            image_id=None if isinstance(event, MalformedEvent) else event.image_id,
            correlation_id=delivery.correlation_id,
            attempt=delivery.attempt,
            duration_ms=round((time.perf_counter() - started_at) * 1000, 1),
        )
        return outcome

    def _attempt(self, delivery: Delivery, event: Event) -> Outcome:
        try:
            return self._apply(delivery, event)
        except _TooEarly:
            return self._wait(delivery, event)
        except (_NeverPossible, InvalidImage, ObjectMissing) as error:
            reason = (
                "The stored file is missing" if isinstance(error, ObjectMissing) else str(error)
            )
            return self._give_up(delivery, event, reason)
        except ServiceUnavailable as error:
            return self._retry(delivery, event, error.detail)
        except Exception as error:
            # One image must not hold up the others, whatever it does to the code: it gets its
            # retries like a temporary fault, and the log and the metrics say what happened.
            logger.exception(
                "unexpected error while processing",
                event_id=event.id,
                image_id=event.image_id,
                correlation_id=event.correlation_id,
            )
            return self._retry(delivery, event, type(error).__name__)

    def _apply(self, delivery: Delivery, event: Event) -> Outcome:
        applied, image = self._records.state(event)
        after_failure = _may_be_repeated(delivery, event, image)
        if applied and not after_failure:
            return "duplicate"
        if image is None:
            return self._finish(
                self._records.reject(event, _FAILED.get(event.type), _DELETED), "failed"
            )
        if event.sequence <= image.applied_sequence and not after_failure:
            return "duplicate"
        if event.sequence > image.applied_sequence + 1:
            raise _TooEarly
        if event.type == events.DELETE_REQUESTED:
            # The whole folder: a render that was given up may have left files no row names.
            self._storage.delete_folder(_folder(image))
            return self._finish(self._records.remove(event, _COMPLETED[event.type]), "applied")
        if image.deleted:
            return self._finish(self._records.fail(event, _FAILED[event.type], _DELETED), "failed")
        renditions = self._render(event, image)
        outcome = self._finish(
            self._records.complete(
                event, _COMPLETED[event.type], renditions, after_failure=after_failure
            ),
            "applied",
        )
        if renditions and outcome == "applied":
            self._delete_superseded(image, renditions)
        return outcome

    def _render(self, event: Event, image: ImageState) -> list[StoredRendition]:
        """Renders what the event asks for and stores it, under keys that a repetition finds again.

        A change of title or visibility renders nothing, but a picture that could not be
        processed before gets another chance.
        """
        size, fit = _wanted_size(event)
        if size is None and image.rendered:
            return []
        original = self._storage.get(image.original_key)
        folder = f"{_folder(image)}{event.sequence}"
        return [
            self._store(rendition, folder, original, image.original_key)
            for rendition in render(original, size=size, fit=fit)
        ]

    def _store(
        self, rendition: Rendition, folder: str, original: bytes, original_key: str
    ) -> StoredRendition:
        if rendition.data == original:
            key = original_key
        else:
            key = f"{folder}/{rendition.name}.{rendition.extension}"
            self._storage.put(key, rendition.data, rendition.content_type)
        return StoredRendition(
            name=rendition.name,
            object_key=key,
            content_type=rendition.content_type,
            size_bytes=len(rendition.data),
            width=rendition.width,
            height=rendition.height,
            animated=rendition.animated,
        )

    def _delete_superseded(self, image: ImageState, renditions: list[StoredRendition]) -> None:
        kept = {image.original_key, *(rendition.object_key for rendition in renditions)}
        superseded = sorted(set(image.rendition_keys) - kept)
        if not superseded:
            return
        try:
            self._storage.delete(superseded)
        except ServiceUnavailable as error:
            # The change is applied and must not be repeated for this.
            logger.warning("superseded objects were left behind", reason=error.detail)

    def _finish(self, outcome_event: Event | None, outcome: Outcome) -> Outcome:
        if outcome_event is None:
            return "duplicate"
        self._records.deliver(outcome_event)
        return outcome

    def _wait(self, delivery: Delivery, event: Event) -> Outcome:
        for limit, delay_seconds in _WAIT_DELAYS_SECONDS:
            if delivery.waits < limit:
                self._send(
                    retry_queue(self._queue, delay_seconds),
                    delivery,
                    {_WAITS: delivery.waits + 1},
                )
                return "waiting"
        return self._give_up(delivery, event, "An earlier change of this image never came")

    def _retry(self, delivery: Delivery, event: Event, reason: str) -> Outcome:
        if delivery.attempt >= len(RETRY_DELAYS_SECONDS):
            return self._give_up(
                delivery, event, f"It failed {delivery.attempt + 1} times; at last: {reason}"
            )
        self._send(
            retry_queue(self._queue, RETRY_DELAYS_SECONDS[delivery.attempt]),
            delivery,
            {_ATTEMPT: delivery.attempt + 1, _REASON: reason},
        )
        return "retried"

    def _give_up(self, delivery: Delivery, event: Event, reason: str) -> Outcome:
        """Buries the message and fails the image; a crash between the two repeats both.

        A removal has no failure: the image is hidden already, and the dead letter, sent again,
        removes its files.
        """
        if event.type == events.DELETE_REQUESTED:
            self._bury(delivery, reason)
            return "dead"
        try:
            applied, image = self._records.state(event)
            if applied and not _may_be_repeated(delivery, event, image):
                return "duplicate"
            self._bury(delivery, reason)
            settle = self._records.reject if image is None else self._records.fail
            outcome_event = settle(event, _FAILED[event.type], reason)
        except ServiceUnavailable as error:
            # Without the database nobody can be told: it comes back after the longest delay.
            self._send(
                retry_queue(self._queue, RETRY_DELAYS_SECONDS[-1]),
                delivery,
                {_ATTEMPT: delivery.attempt, _REASON: error.detail},
            )
            return "retried"
        self._finish(outcome_event, "dead")
        return "dead"

    def _bury(self, delivery: Delivery, reason: str) -> None:
        self._send(
            dead_queue(self._queue),
            delivery,
            {_REASON: reason, _ATTEMPT: delivery.attempt + 1},
        )

    def _send(self, queue: str, delivery: Delivery, headers: dict[str, Any]) -> None:
        self._publisher.publish(
            "",
            queue,
            Message(
                body=delivery.body,
                message_id=delivery.message_id,
                correlation_id=delivery.correlation_id,
                type=delivery.type,
                timestamp=int(time.time()),
                headers={
                    **{
                        name: value
                        for name, value in delivery.headers.items()
                        if not name.startswith(_BROKERS_NOTES)
                    },
                    **headers,
                },
            ),
        )

    @property
    def _records(self) -> ProcessingRecords:
        records: ProcessingRecords | None = getattr(self._local, "records", None)
        if records is None:
            records = self._local.records = self._make_records()
        return records


def messages_of(event: dict[str, Any]) -> list[Delivery]:
    """The messages of an `aws:rmq` event, in the order of the queue."""
    return [
        _delivery(message)
        for messages in event["rmqMessagesByQueue"].values()
        for message in messages
    ]


def _delivery(message: dict[str, Any]) -> Delivery:
    properties = message["basicProperties"]
    return Delivery(
        body=base64.b64decode(message["data"]),
        message_id=properties.get("messageId") or "",
        correlation_id=properties.get("correlationId") or "",
        type=properties.get("type") or "",
        headers={name: _header(value) for name, value in (properties.get("headers") or {}).items()},
    )


def _header(value: Any) -> Any:
    """Lambda hands over a string header as a list of its bytes."""
    if isinstance(value, dict) and set(value) == {"bytes"}:
        return bytes(byte & 0xFF for byte in value["bytes"]).decode("utf-8", "replace")
    return value


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def _folder(image: ImageState) -> str:
    """Where everything of one image lies, with a slash at the end."""
    return image.original_key.rpartition("/")[0] + "/"


def _may_be_repeated(delivery: Delivery, event: Event, image: ImageState | None) -> bool:
    """A dead letter that was sent back has another chance, unless a later change was applied: an
    older one never undoes a newer one.
    """
    return (
        delivery.is_redriven
        and image is not None
        and image.failed
        and not image.deleted
        and image.applied_sequence == event.sequence
    )


def _wanted_size(event: Event) -> tuple[tuple[int, int] | None, images.Fit]:
    changes = event.data.get("changes") or {}
    if not isinstance(changes, dict):
        raise _NeverPossible("The requested changes cannot be understood")
    resolution = changes.get("resolution")
    if resolution is None:
        return None, "cover"
    try:
        size = images.parse_resolution(resolution)
    except (ValueError, AttributeError) as error:
        raise _NeverPossible("The requested resolution cannot be understood") from error
    fit = changes.get("fit") or "cover"
    if fit not in ("cover", "contain", "stretch"):
        raise _NeverPossible("The requested fit is unknown")
    return size, cast(images.Fit, fit)
