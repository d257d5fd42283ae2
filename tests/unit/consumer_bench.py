"""A consumer on fakes, with whatever was accepted for it to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from image_api.core import events
from image_api.core.events import Event
from image_api.core.messages import Message, ReceivedMessage
from image_api.core.processing import Processor
from image_api.core.settling import Consumer
from image_api.errors import DamagedImage, ServiceUnavailable
from image_api.imaging import Rendition
from tests.fakes import FakeChangeLog, FakePublisher, FakeStorage, ProcessedImage

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
        Rendition("thumbnail", b"thumbnail of " + made, "image/webp", "webp", 32, 24, False),
    ]


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

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Another process goes on."""
        processor = Processor(lambda: self.log, self.storage)
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
