"""Whatever order, repetition and outage the messages meet, the end is the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from image_api.core import events, processing
from image_api.core.events import Event
from image_api.core.messages import RETRY_DELAYS_SECONDS, ReceivedMessage
from image_api.core.processing import Processor
from image_api.core.settling import Consumer
from image_api.errors import DamagedImage, ServiceUnavailable
from image_api.imaging import Rendition
from tests.fakes import (
    OCCURRED_AT,
    FakeProcessingRecords,
    FakePublisher,
    FakeStorage,
    ProcessedImage,
)

# Small enough to meet each other, large enough for gaps.
MAX_IMAGES = 3
MAX_CHANGES = 5


def rendered(
    original: bytes, *, size: tuple[int, int] | None = None, fit: str = "cover"
) -> list[Rendition]:
    if original == b"damaged":
        raise DamagedImage("The image is damaged")
    width, height = size or (640, 480)
    image = original if size is None else b"%dx%d" % size
    return [
        Rendition("image", image, "image/png", "png", width, height, False),
        Rendition("thumbnail", b"of " + image, "image/webp", "webp", 32, 24, False),
    ]


class Crash(BaseException):
    """The process is gone: nothing after this line was run."""


class AnyOrder(RuleBasedStateMachine):
    """Accepts changes, delivers any messages that ever were in the queue, breaks the storage,
    kills the consumer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(processing, "render", rendered)
        self.records = FakeProcessingRecords()
        self.storage = FakeStorage()
        self.publisher = FakePublisher()
        processor = Processor(records=lambda: self.records, storage=self.storage)
        self.consumer = Consumer(processor, self.publisher, "events", workers=1)
        self.accepted: dict[int, list[Event]] = {}
        self.queue: list[ReceivedMessage] = []
        self.seen: list[ReceivedMessage] = []
        self.crashes = 0
        self.left_to_the_relay = 0

    @initialize()
    def storage_answers(self) -> None:
        self.storage.fault = lambda _operation, _key: None

    @precondition(lambda self: len(self.accepted) < MAX_IMAGES)
    @rule(damaged=st.booleans())
    def accept_upload(self, damaged: bool) -> None:
        image_id = len(self.accepted) + 1
        key = f"storage/{image_id:032x}/original.png"
        self.storage.objects[key] = (b"damaged" if damaged else b"original", "image/png")
        self.records.images[image_id] = ProcessedImage(original_key=key)
        self.accepted[image_id] = []
        self._send(image_id, events.UPLOAD_REQUESTED, {})

    @rule(
        number=st.integers(0, MAX_IMAGES - 1),
        changes=st.fixed_dictionaries(
            {},
            optional={
                "title": st.sampled_from(["a", "b"]),
                "visibility": st.sampled_from(["shared", "private"]),
                "resolution": st.sampled_from(["10x10", "20x20", "nonsense"]),
            },
        ),
    )
    def accept_update(self, number: int, changes: dict[str, str]) -> None:
        image = self._changeable(number + 1)
        if image is not None:
            image.accepted_sequence += 1
            image.status = "processing"
            self._send(number + 1, events.UPDATE_REQUESTED, {"changes": changes})

    @rule(number=st.integers(0, MAX_IMAGES - 1))
    def accept_delete(self, number: int) -> None:
        image = self._changeable(number + 1)
        if image is not None:
            image.accepted_sequence += 1
            image.deleted = True
            self._send(number + 1, events.DELETE_REQUESTED, {})

    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        """A batch in any order, of any size, from anywhere in the queue."""
        batch = data.draw(st.lists(st.sampled_from(self.queue), max_size=5)) if self.queue else []
        for delivery in batch:
            if delivery in self.queue:
                self.queue.remove(delivery)
        self._process(batch)

    @rule(data=st.data())
    def deliver_again(self, data: st.DataObject) -> None:
        """What was delivered before: as after a crash between the commit and the confirmation."""
        if self.seen:
            self._process(data.draw(st.lists(st.sampled_from(self.seen), max_size=3)))

    @rule(data=st.data(), operation=st.sampled_from(["put", "get", "delete"]))
    def deliver_during_an_outage(self, data: st.DataObject, operation: str) -> None:
        # One that is not at its last attempt: being given up is another matter.
        patient = [d for d in self.queue if d.attempt < len(RETRY_DELAYS_SECONDS) - 1]
        if patient:
            delivery = data.draw(st.sampled_from(patient))
            self.queue.remove(delivery)

            def away(attempted: str, _: str) -> None:
                if attempted == operation:
                    raise ServiceUnavailable("The storage did not answer")

            self.storage.fault = away
            self._process([delivery])
            self.storage_answers()

    @rule(data=st.data(), is_committed=st.booleans())
    def crash_around_the_commit(self, data: st.DataObject, is_committed: bool) -> None:
        """The objects are stored; the transaction is or is not; the message comes again."""
        if not self.queue:
            return
        delivery = data.draw(st.sampled_from(self.queue))
        outcomes = len(self.records.outcomes)
        with pytest.MonkeyPatch.context() as patch:
            for name in ("complete", "fail", "reject", "remove"):
                patch.setattr(
                    self.records, name, _crashing(getattr(self.records, name), is_committed)
                )
            try:
                self.consumer.consume([delivery])
            except Crash:
                self.crashes += 1
                self.left_to_the_relay += len(self.records.outcomes) - outcomes
            else:
                self.queue.remove(delivery)
                self._take_back([delivery])

    @invariant()
    def what_is_served_exists(self) -> None:
        for image in self.records.images.values():
            served = {rendition.object_key for rendition in image.renditions.values()}
            if not image.deleted:
                assert {image.original_key, *served} <= set(self.storage.objects)

    @invariant()
    def every_event_has_at_most_one_outcome(self) -> None:
        settled = [event.id for event, _ in self.records.outcomes]
        assert len(settled) == len(set(settled))

    @invariant()
    def the_changes_of_an_image_are_settled_in_order(self) -> None:
        for image_id in self.accepted:
            sequences = [
                event.sequence for event, _ in self.records.outcomes if event.image_id == image_id
            ]
            assert sequences == list(range(1, len(sequences) + 1))

    def teardown(self) -> None:
        try:
            while self.queue:
                batch, self.queue = self.queue, []
                self._process(batch)
            self._sweep()
            self._check_the_end()
        finally:
            self.patch.undo()
            self.consumer.close()

    def _sweep(self) -> None:
        """What the janitor does: only a crash leaves objects that no row speaks of."""
        named = {
            key
            for image in self.records.images.values()
            for key in {image.original_key, *_keys(image)}
        }
        orphans = set(self.storage.objects) - named
        assert not orphans or self.crashes
        for key in orphans:
            del self.storage.objects[key]

    def _check_the_end(self) -> None:
        objects: dict[str, bytes] = {}
        for image_id, changes in self.accepted.items():
            settled = [event.id for event, _ in self.records.outcomes if event.image_id == image_id]
            assert settled == [event.id for event in changes]
            if changes[-1].type == events.DELETE_REQUESTED:
                assert image_id not in self.records.images
                continue
            image = self.records.images[image_id]
            self._check_image(image, changes)
            objects.update(
                {key: self.storage.objects[key][0] for key in {image.original_key, *_keys(image)}}
            )
        assert {key: data for key, (data, _) in self.storage.objects.items()} == objects
        assert len(self.records.published) + self.left_to_the_relay == len(self.records.outcomes)

    def _check_image(self, image: ProcessedImage, changes: list[Event]) -> None:
        """The image as the changes make it when they are applied one after the other, once."""
        title, visibility, size, status = "photo.png", "shared", (640, 480), "ready"
        original = self.storage.objects[image.original_key][0]
        damaged, was_rendered = original == b"damaged", False
        for event in changes:
            wanted: dict[str, str] = event.data.get("changes") or {}
            resolution = wanted.get("resolution")
            renders = resolution is not None or not was_rendered
            if resolution == "nonsense" or (renders and damaged):
                status = "failed"
                continue
            title, visibility = wanted.get("title", title), wanted.get("visibility", visibility)
            status, was_rendered = "ready", True
            if renders:
                width, _, height = (resolution or "640x480").partition("x")
                size = (int(width), int(height))
        assert (image.title, image.visibility, image.status) == (title, visibility, status)
        if was_rendered:
            shown = image.renditions["image"]
            assert (shown.width, shown.height) == size
            assert shown.size_bytes == len(self.storage.objects[shown.object_key][0])

    def _changeable(self, image_id: int) -> ProcessedImage | None:
        image = self.records.images.get(image_id)
        if image is None or image.deleted or len(self.accepted[image_id]) >= MAX_CHANGES:
            return None
        return image

    def _send(self, image_id: int, event_type: str, data: dict[str, Any]) -> None:
        sequence = len(self.accepted[image_id]) + 1
        event = Event(events.new_id(), event_type, image_id, sequence, data, "", OCCURRED_AT)
        self.accepted[image_id].append(event)
        self.queue.append(ReceivedMessage(events.encode(event), event.id, "", event_type))

    def _process(self, batch: list[ReceivedMessage]) -> None:
        self.consumer.consume(batch)
        self._take_back(batch)

    def _take_back(self, batch: list[ReceivedMessage]) -> None:
        """What was sent to the delay queues is in the queue again, sooner or later."""
        self.seen += batch
        for queue, message in self.publisher.messages:
            if queue != "events.dead":
                self.queue.append(
                    ReceivedMessage(
                        message.body,
                        message.message_id,
                        message.correlation_id,
                        message.type,
                        message.headers,
                    )
                )
        self.publisher.messages.clear()


def _crashing(write: Callable[..., Event | None], is_committed: bool) -> Callable[..., None]:
    def crash(*arguments: Any, **options: Any) -> None:
        if is_committed:
            write(*arguments, **options)
        raise Crash

    return crash


def _keys(image: ProcessedImage) -> set[str]:
    return {rendition.object_key for rendition in image.renditions.values()}


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = hypothesis_settings(max_examples=80, stateful_step_count=40)
