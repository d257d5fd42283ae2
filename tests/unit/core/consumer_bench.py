"""A consumer on fakes, with whatever was accepted for it to do."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from image_api.core.change_log import dead_letters, events
from image_api.core.change_log.events import Event
from image_api.core.change_log.messages import Message, ReceivedMessage
from image_api.core.consumer import settling
from image_api.core.consumer.processing import Processor
from image_api.core.consumer.settling import Consumer
from image_api.core.renditions import render_requests, renderer
from image_api.core.renditions.render_requests import (
    RendererBusy,
    RendererFailed,
    RendererLost,
    Renderings,
    StillRendering,
    Upload,
)
from image_api.errors import DamagedImage, ServiceUnavailable
from image_api.imaging import Rendition
from image_api.imaging.model import PNG, WEBP, StoredPicture
from tests.fakes import FakeChangeLog, FakePublisher, FakeStorage, ProcessedImage
from tests.waiting import PATIENCE_SECONDS

QUEUE = "events"
DEAD = "events.dead"
# What Lambda allows for a batch.
TIMEOUT_MILLISECONDS = 300_000


class ProcessEnded(BaseException):
    """What a picture does that ends its process: nothing after this line was run."""


def rendered(
    original: bytes, *, size: tuple[int, int] | None = None, fit: str = "cover"
) -> list[Rendition]:
    """Stands in for Pillow: outputs that tell their input, size and fit apart."""
    match original:
        case b"damaged":
            raise DamagedImage("The image is damaged")
        case b"crash":
            raise MemoryError
        case b"killer":
            raise ProcessEnded
    width, height = size or (640, 480)
    made = b"%b %dx%d %b" % (original, width, height, fit.encode())
    image = original if size is None else made
    return [
        Rendition("image", image, "image/png", "png", width, height, False),
        Rendition("preview", b"preview of " + made, "image/webp", "webp", 64, 48, False),
        Rendition("thumbnail", b"thumbnail of " + made, "image/webp", "webp", 32, 24, False),
    ]


def _header(data: bytes) -> StoredPicture:
    """Of what `rendered` makes."""
    if data.startswith(b"preview"):
        return StoredPicture(WEBP, 64, 48)
    if data.startswith(b"thumbnail"):
        return StoredPicture(WEBP, 32, 24)
    if size := re.search(rb" (\d+)x(\d+) ", data):
        return StoredPicture(PNG, int(size[1]), int(size[2]))
    return StoredPicture(PNG, 640, 480)


def use_fake_pixels(
    patch: pytest.MonkeyPatch, render: Callable[..., Iterable[Rendition]] = rendered
) -> None:
    patch.setattr(renderer, "one_by_one", render)
    patch.setattr(render_requests, "formats", SimpleNamespace(header=_header))
    # However busy the machine is, a batch does no more than its messages ask for.
    patch.setattr(settling, "_LOOKOUT_SECONDS", PATIENCE_SECONDS)


@dataclass
class FakeRenderer:
    """The renderer's function, its URLs and its forms, beside a storage.

    `is_slow`: it is not waited for, and ends with `finish`; `is_late`: it ends just before that;
    `is_lost`: it is not heard of any more; `is_busy`: it has no place.
    `answer` is what it says instead of the truth.
    """

    storage: Any
    is_slow: bool = False
    is_late: bool = False
    is_lost: bool = False
    is_busy: bool = False
    answer: bytes | None = None
    tasks: list[dict[str, Any]] = field(default_factory=list)

    def invoke(self, payload: bytes, wait_seconds: float) -> bytes:
        if self.is_busy:
            raise RendererBusy
        self.tasks.append(json.loads(payload))
        if self.is_slow:
            raise StillRendering
        if self.is_lost:
            raise RendererLost("The connection to the renderer broke")
        try:
            ends_at = 1e12 if self.is_late else 0
            report = renderer.run(self.tasks[-1], self, lambda: 60, lambda: ends_at)
        except Exception as error:
            raise RendererFailed(f"The renderer failed: {type(error).__name__}") from error
        return self.answer or json.dumps(report).encode()

    def finish(self) -> None:
        """Those that were not waited for end now."""
        for task in self.tasks:
            renderer.run(task, self, lambda: 60, lambda: 1e12, lambda _seconds: None)

    def signed(self, key: str) -> str:
        return key

    def forms(self, uploads: Iterable[Upload]) -> tuple[str, dict[str, str], list[dict[str, str]]]:
        own = [{"key": upload.key, "Content-Type": upload.content_type} for upload in uploads]
        return "https://storage.example.com/", {}, own

    def get(self, url: str) -> bytes:
        data: bytes = self.storage.get(url)
        return data

    def post(self, _url: str, fields: Mapping[str, str], data: bytes) -> None:
        self.storage.put(fields["key"], data, fields["Content-Type"])


def processor_of(
    log: Any,
    storage: Any,
    fake: FakeRenderer | None = None,
    now_seconds: Callable[[], float] = time.monotonic,
) -> Processor:
    fake = fake or FakeRenderer(storage)
    return Processor(lambda: log, Renderings(fake, fake, storage), storage, now_seconds)


def away(*operations: str) -> Any:
    """A fault of FakeStorage."""

    def fault(operation: str, _key: str) -> None:
        if operation in operations:
            raise ServiceUnavailable("The storage did not answer")

    return fault


@dataclass
class Bench:
    log: FakeChangeLog = field(default_factory=FakeChangeLog)
    storage: FakeStorage = field(default_factory=FakeStorage)
    publisher: FakePublisher = field(default_factory=FakePublisher)
    workers: int = 2
    remaining_milliseconds: int = TIMEOUT_MILLISECONDS
    now_seconds: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.renderer = FakeRenderer(self.storage)
        self.restart()

    def restart(self) -> None:
        """Another process goes on."""
        processor = processor_of(self.log, self.storage, self.renderer, self.now_seconds)
        self.consumer = Consumer(
            lambda: self.log, processor, self.publisher, QUEUE, workers=self.workers
        )

    def accept_upload(self, data: bytes = b"original", *, user_id: int = 1) -> Event:
        key = f"storage/{len(self.log.changes):032x}/original.png"
        self.storage.objects[key] = (data, "image/png")
        return self.log.accept_upload(key, user_id=user_id)

    def accept_update(self, image_id: int, **changes: str) -> Event:
        return self.log.accept_update(image_id, changes)

    def accept_delete(self, image_id: int) -> Event:
        return self.log.accept_delete(image_id)

    def process(self, *deliveries: ReceivedMessage | Event) -> dict[str, int]:
        messages = [
            item if isinstance(item, ReceivedMessage) else sent(item) for item in deliveries
        ]
        return self.consumer.consume(messages, lambda: self.remaining_milliseconds)

    def send_owed_letters(self) -> int:
        """What the relay does about dead letters."""
        return dead_letters.send_owed(self.log, self.publisher, QUEUE, lambda: TIMEOUT_MILLISECONDS)

    def ready_image(self, data: bytes = b"original", *, user_id: int = 1) -> int:
        upload = self.accept_upload(data, user_id=user_id)
        assert self.process(upload) == {"applied": 1}
        return upload.image_id

    def image(self, image_id: int) -> ProcessedImage:
        return self.log.images[image_id]

    def returned(self) -> list[ReceivedMessage]:
        """What comes back from the delay queues, whenever that may be."""
        found = [again(message) for queue, message in self.publisher.messages if queue != DEAD]
        self.publisher.messages = [
            (queue, message) for queue, message in self.publisher.messages if queue == DEAD
        ]
        return found

    def outcome_types(self) -> list[str]:
        return [outcome.type for outcome in self.log.outcomes]


def sent(event: Event, *, redelivered: bool = False, **headers: Any) -> ReceivedMessage:
    """The message of an event, as the queue hands it over."""
    return ReceivedMessage(
        body=events.encode(event),
        message_id=event.id,
        correlation_id=event.correlation_id,
        type=event.type,
        headers=headers,
        redelivered=redelivered,
    )


def again(message: Message) -> ReceivedMessage:
    """A message as it comes back from a delay queue."""
    return ReceivedMessage(
        message.body, message.message_id, message.correlation_id, message.type, message.headers
    )
