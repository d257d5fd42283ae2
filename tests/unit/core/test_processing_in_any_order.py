"""Whatever order, repetition, loss and outage the messages meet, the end is the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from image_api.core.change_log import events
from image_api.core.change_log.changes import LEASE_SECONDS, MAX_FAILURES
from image_api.core.change_log.dead_letters import send_owed
from image_api.core.change_log.events import Event
from image_api.core.change_log.messages import ReceivedMessage
from image_api.core.consumer.settling import Consumer
from image_api.errors import ServiceUnavailable
from tests.fakes import FakeChangeLog, FakePublisher, FakeStorage, ProcessedImage
from tests.unit.core.consumer_bench import (
    TIMEOUT_MILLISECONDS,
    again,
    away,
    processor_of,
    sent,
    use_fake_pixels,
)

# Small enough to meet each other, large enough for gaps.
MAX_IMAGES = 3
MAX_CHANGES = 5
# Why a change may fail that could have been applied: each only after faults of its kind.
_GIVEN_UP = ("It failed 6 times", "3 attempts ended the process", "Rendering it failed 3 times")


class Crash(BaseException):
    """The process is gone: nothing after this line was run."""


class Fuse:
    """Counts the calls of everything behind it, and breaks before or after one of them."""

    def __init__(self) -> None:
        self.calls_left: int | None = None
        self.breaks_after = False
        self.error: BaseException = Crash()

    def behind(self, target: Any) -> Any:
        fuse = self

        class Behind:
            def __getattr__(self, name: str) -> Any:
                found = getattr(target, name)
                return fuse._wrapped(found) if callable(found) else found

        return Behind()

    def _wrapped(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **options: Any) -> Any:
            if self.calls_left is not None:
                self.calls_left -= 1
            if self.calls_left != 0:
                return call(*arguments, **options)
            self.calls_left = None
            if self.breaks_after:
                call(*arguments, **options)
            raise self.error

        return called


class AnyOrder(RuleBasedStateMachine):
    """Accepts changes, delivers, repeats and loses any messages, breaks storage, broker and
    database at any call, kills the consumer, lets time pass.
    """

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        use_fake_pixels(self.patch)
        self.log = FakeChangeLog()
        self.storage = FakeStorage()
        self.publisher = FakePublisher()
        self.fuse = Fuse()
        self.accepted: dict[int, list[Event]] = {}
        self.queue: list[ReceivedMessage] = []
        self.seen: list[ReceivedMessage] = []
        self.letters = Counter[str]()
        self.breaks = 0
        self.consumer = self._another_process()

    @precondition(lambda self: len(self.accepted) < MAX_IMAGES)
    @rule(damaged=st.booleans(), user_id=st.integers(1, 2), arrives=st.booleans())
    def accept_upload(self, damaged: bool, user_id: int, arrives: bool) -> None:
        key = f"storage/{len(self.accepted):032x}/original.png"
        self.storage.objects[key] = (b"damaged" if damaged else b"original", "image/png")
        self._send(self.log.accept_upload(key, user_id=user_id), arrives)

    @rule(
        image_id=st.integers(1, MAX_IMAGES),
        changes=st.fixed_dictionaries(
            {},
            optional={
                "title": st.sampled_from(["a", "b"]),
                "visibility": st.sampled_from(["shared", "private"]),
                "resolution": st.sampled_from(["10x10", "20x20", "nonsense"]),
            },
        ),
        arrives=st.booleans(),
    )
    def accept_update(self, image_id: int, changes: dict[str, str], arrives: bool) -> None:
        if self._is_changeable(image_id):
            self._send(self.log.accept_update(image_id, changes), arrives)

    @rule(image_id=st.integers(1, MAX_IMAGES), arrives=st.booleans())
    def accept_delete(self, image_id: int, arrives: bool) -> None:
        if self._is_changeable(image_id):
            self._send(self.log.accept_delete(image_id), arrives)

    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        """A batch in any order, of any size, from anywhere in the queue."""
        self._process(self._drawn(data, max_size=5))

    @rule(data=st.data())
    def deliver_again(self, data: st.DataObject) -> None:
        """What was delivered before: as after a crash between the commit and the confirmation."""
        if self.seen:
            self._process(data.draw(st.lists(st.sampled_from(self.seen), max_size=3)))

    @rule(
        data=st.data(),
        calls=st.integers(1, 12),
        breaks_after=st.booleans(),
        error=st.sampled_from([Crash(), ServiceUnavailable("away"), KeyError("a mistake")]),
    )
    def deliver_and_break(
        self, data: st.DataObject, calls: int, breaks_after: bool, error: BaseException
    ) -> None:
        """At one call of the log, the storage or the broker; what was not confirmed comes again."""
        batch = self._drawn(data, max_size=3)
        self.fuse.calls_left, self.fuse.breaks_after = calls, breaks_after
        self.fuse.error = error
        try:
            self._process(batch)
        except (Crash, ServiceUnavailable):
            self.queue += [replace(message, redelivered=True) for message in batch]
            self._take_back()
        if self.fuse.calls_left is None:
            self.breaks += 1
        self.fuse.calls_left = None
        if isinstance(error, Crash):
            self.consumer = self._another_process()

    @rule(data=st.data(), operation=st.sampled_from(["put", "get", "delete"]))
    def deliver_during_an_outage_of_the_storage(self, data: st.DataObject, operation: str) -> None:
        self.breaks += 1
        self.storage.fault = away(operation)
        self._process(self._drawn(data, max_size=3))
        self.storage.fault = away()

    @rule()
    def lose_all_messages(self) -> None:
        self.queue.clear()

    @rule(seconds=st.sampled_from([1, 30, LEASE_SECONDS]))
    def let_time_pass(self, seconds: int) -> None:
        self.log.now += seconds

    @rule()
    def relay(self) -> None:
        """Sends again what is not settled."""
        self.queue += [sent(row.event) for row in self.log.changes.values() if row.outcome is None]

    @invariant()
    def what_is_served_exists(self) -> None:
        for image in self.log.images.values():
            if not image.deleted:
                assert {image.original_key, *_keys(image)} <= set(self.storage.objects)

    @invariant()
    def the_changes_of_an_image_are_settled_once_and_in_order(self) -> None:
        for image_id in self.accepted:
            sequences = [
                outcome.sequence for outcome in self.log.outcomes if outcome.image_id == image_id
            ]
            assert sequences == list(range(1, len(sequences) + 1))

    def teardown(self) -> None:
        try:
            for _ in range(200):
                self.relay()
                if not self.queue:
                    break
                batch, self.queue = self.queue, []
                self._process(batch)
                self.let_time_pass(600)
            send_owed(self.log, self.publisher, "events", lambda: TIMEOUT_MILLISECONDS)
            self._take_back()
            self._check_the_end()
        finally:
            self.patch.undo()
            self.consumer.close()

    def _check_the_end(self) -> None:
        objects: set[str] = set()
        for image_id, changes in self.accepted.items():
            rows = [self.log.changes[event.id] for event in changes]
            assert all(row.outcome for row in rows)
            assert len([o for o in self.log.outcomes if o.image_id == image_id]) == len(changes)
            if changes[-1].type == events.DELETE_REQUESTED:
                assert image_id not in self.log.images
                continue
            image = self.log.images[image_id]
            self._check_image(image, changes)
            objects |= {image.original_key, *_keys(image)}
        # Only what broke in its midst leaves objects that no row speaks of, for the janitor.
        assert set(self.storage.objects) - objects == set() or self.breaks
        assert objects <= set(self.storage.objects)
        self._check_letters()
        unpublished = len(self.log.outcomes) - len(self.log.published)
        assert 0 <= unpublished <= self.breaks * MAX_CHANGES

    def _check_letters(self) -> None:
        """One of each change that was given up, and of a removal that nobody could do for long.
        What broke between a letter and its note sends it again, once.
        """
        given_up = {
            row.event.id
            for row in self.log.changes.values()
            if row.outcome == "failed" and row.reason != "The image was deleted"
        }
        removals = {
            row.event.id
            for row in self.log.changes.values()
            if row.event.type == events.DELETE_REQUESTED and row.failures >= MAX_FAILURES
        }
        assert self.letters.keys() == given_up | removals
        assert sum(self.letters.values()) - len(self.letters) <= self.breaks
        assert not self.log.owed

    def _check_image(self, image: ProcessedImage, changes: list[Event]) -> None:
        """The image as the changes make it when they are applied one after the other, once."""
        title, visibility, status, was_rendered = "photo.png", "shared", "ready", False
        sizes = {(640, 480)}
        damaged = self.storage.objects[image.original_key][0] == b"damaged"
        for number, event in enumerate(changes):
            wanted: dict[str, str] = event.data.get("changes") or {}
            if wanted.get("visibility") == "private":
                # Whatever becomes of the rest.
                visibility = "private"
            resolution = wanted.get("resolution")
            # One that a later change replaces need not be rendered.
            is_replaced = was_rendered and any(
                "resolution" in (later.data.get("changes") or {}) for later in changes[number + 1 :]
            )
            renders = not was_rendered or (resolution is not None and not is_replaced)
            row = self.log.changes[event.id]
            if self.breaks and (row.reason or "").startswith(_GIVEN_UP):
                status = "failed"
                continue
            if resolution == "nonsense" or (renders and damaged):
                assert row.outcome == "failed"
                status = "failed"
                continue
            assert row.outcome == "applied"
            title, visibility = wanted.get("title", title), wanted.get("visibility", visibility)
            width, _, height = (resolution or "640x480").partition("x")
            if renders:
                sizes = {(int(width), int(height))}
            elif resolution is not None:
                sizes |= {(int(width), int(height))}
            status, was_rendered = "ready", True
        assert (image.title, image.visibility, image.status) == (title, visibility, status)
        if was_rendered:
            shown = image.renditions["image"]
            assert (shown.width, shown.height) in sizes
            assert shown.size_bytes == len(self.storage.objects[shown.object_key][0])

    def _is_changeable(self, image_id: int) -> bool:
        image = self.log.images.get(image_id)
        return (
            image is not None and not image.deleted and len(self.accepted[image_id]) < MAX_CHANGES
        )

    def _send(self, event: Event, arrives: bool) -> None:
        self.accepted.setdefault(event.image_id, []).append(event)
        if arrives:
            self.queue.append(sent(event))

    def _drawn(self, data: st.DataObject, *, max_size: int) -> list[ReceivedMessage]:
        if not self.queue:
            return []
        positions = data.draw(
            st.lists(st.integers(0, len(self.queue) - 1), max_size=max_size, unique=True)
        )
        batch = [self.queue[position] for position in positions]
        self.queue = [
            message for position, message in enumerate(self.queue) if position not in positions
        ]
        return batch

    def _process(self, batch: list[ReceivedMessage]) -> None:
        self.consumer.consume(batch, lambda: TIMEOUT_MILLISECONDS)
        self.seen += batch
        self._take_back()

    def _take_back(self) -> None:
        """What was sent to the delay queues is in the queue again, sooner or later."""
        self.queue += [
            again(message) for queue, message in self.publisher.messages if queue != "events.dead"
        ]
        self.letters.update(
            message.message_id
            for queue, message in self.publisher.messages
            if queue == "events.dead"
        )
        self.publisher.messages.clear()

    def _another_process(self) -> Consumer:
        log, storage = self.fuse.behind(self.log), self.fuse.behind(self.storage)
        publisher = self.fuse.behind(self.publisher)
        return Consumer(lambda: log, processor_of(log, storage), publisher, "events", workers=1)


def _keys(image: ProcessedImage) -> set[str]:
    return {rendition.object_key for rendition in image.renditions.values()}


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = hypothesis_settings(max_examples=100, stateful_step_count=40)
