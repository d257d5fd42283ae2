"""What the consumer does with each message: once, in order, and never at others' cost."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from image_api.core import events, processing
from image_api.core.events import Event
from image_api.core.messages import Message, ReceivedMessage
from image_api.core.processing import Processor
from image_api.core.settling import Consumer
from image_api.errors import DamagedImage, ServiceUnavailable
from image_api.imaging import Rendition
from image_api.rabbitmq import lambda_event
from tests.fakes import (
    OCCURRED_AT,
    FakeProcessingRecords,
    FakePublisher,
    FakeStorage,
    ProcessedImage,
)
from tests.waiting import PATIENCE_SECONDS

QUEUE = "events"
DEAD = "events.dead"


def rendered(
    original: bytes, *, size: tuple[int, int] | None = None, fit: str = "cover"
) -> list[Rendition]:
    """Stands in for Pillow: outputs that tell their input, size and fit apart."""
    if original.startswith(b"damaged"):
        raise DamagedImage("The image is damaged")
    if original.startswith(b"crash"):
        raise MemoryError
    width, height = size or (640, 480)
    made = b"%b %dx%d %b" % (original, width, height, fit.encode())
    return [
        Rendition(
            name="image",
            data=original if size is None else made,
            content_type="image/png",
            extension="png",
            width=width,
            height=height,
            animated=False,
        ),
        Rendition(
            name="thumbnail",
            data=b"thumbnail of " + made,
            content_type="image/webp",
            extension="webp",
            width=32,
            height=24,
            animated=False,
        ),
    ]


@dataclass
class Bench:
    """A processor on fakes, and what was accepted for it to process."""

    records: FakeProcessingRecords = field(default_factory=FakeProcessingRecords)
    storage: FakeStorage = field(default_factory=FakeStorage)
    publisher: FakePublisher = field(default_factory=FakePublisher)

    def __post_init__(self) -> None:
        processor = Processor(records=lambda: self.records, storage=self.storage)
        self.consumer = Consumer(processor, self.publisher, QUEUE, workers=2)

    def accept_upload(self, data: bytes = b"original") -> Event:
        image_id = 1 + len(self.storage.objects)
        key = f"storage/{image_id:032x}/original.png"
        self.storage.objects[key] = (data, "image/png")
        self.records.images[image_id] = ProcessedImage(original_key=key)
        return event(events.UPLOAD_REQUESTED, image_id, 1)

    def accept_update(self, image_id: int, **changes: str) -> Event:
        sequence = self._accept(image_id)
        self.records.images[image_id].status = "processing"
        return event(events.UPDATE_REQUESTED, image_id, sequence, changes=changes)

    def accept_delete(self, image_id: int) -> Event:
        self.records.images[image_id].deleted = True
        return event(events.DELETE_REQUESTED, image_id, self._accept(image_id))

    def process(self, *deliveries: ReceivedMessage | Event) -> dict[str, int]:
        return self.consumer.consume(
            [item if isinstance(item, ReceivedMessage) else delivery(item) for item in deliveries]
        )

    def ready_image(self, data: bytes = b"original") -> int:
        upload = self.accept_upload(data)
        assert self.process(upload) == {"applied": 1}
        return upload.image_id

    def outcome_types(self) -> list[str]:
        return [outcome.type for _, outcome in self.records.outcomes]

    def _accept(self, image_id: int) -> int:
        image = self.records.images[image_id]
        image.accepted_sequence += 1
        return image.accepted_sequence


def event(event_type: str, image_id: int, sequence: int, **data: Any) -> Event:
    return Event(
        events.new_id(), event_type, image_id, sequence, data, f"request-{sequence}", OCCURRED_AT
    )


def delivery(accepted: Event, **headers: Any) -> ReceivedMessage:
    return ReceivedMessage(
        body=events.encode(accepted),
        message_id=accepted.id,
        correlation_id=accepted.correlation_id,
        type=accepted.type,
        headers=headers,
    )


def again(message: Message) -> ReceivedMessage:
    """A message as it comes back from a delay queue."""
    return ReceivedMessage(
        message.body, message.message_id, message.correlation_id, message.type, message.headers
    )


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(processing, "render", rendered)
    made = Bench()
    yield made
    made.consumer.close()


def test_an_upload_becomes_ready_with_its_renditions(bench: Bench) -> None:
    upload = bench.accept_upload()
    assert bench.process(upload) == {"applied": 1}
    image = bench.records.images[upload.image_id]
    assert (image.status, image.error, image.rendered) == ("ready", None, True)
    assert set(image.renditions) == {"image", "thumbnail"}
    assert bench.outcome_types() == [events.UPLOAD_COMPLETED]


def test_an_original_with_nothing_to_remove_is_not_stored_twice(bench: Bench) -> None:
    image = bench.records.images[bench.ready_image()]
    assert image.renditions["image"].object_key == image.original_key
    assert set(bench.storage.objects) == {
        image.original_key,
        image.renditions["thumbnail"].object_key,
    }


def test_the_outcome_is_published_and_carries_the_requests_correlation_id(bench: Bench) -> None:
    upload = bench.accept_upload()
    bench.process(upload)
    (outcome,) = bench.records.published
    assert outcome.correlation_id == upload.correlation_id
    assert outcome.id != upload.id


def test_a_duplicate_changes_nothing_and_is_told_to_nobody(bench: Bench) -> None:
    upload = bench.accept_upload()
    assert bench.process(upload, upload) == {"applied": 1, "duplicate": 1}
    assert bench.process(upload) == {"duplicate": 1}
    assert bench.outcome_types() == [events.UPLOAD_COMPLETED]
    assert len(bench.records.published) == 1


def test_a_duplicate_costs_no_rendering(bench: Bench) -> None:
    upload = bench.accept_upload()
    bench.process(upload)
    bench.storage.operations.clear()
    bench.process(upload)
    assert bench.storage.operations == []


def test_the_changes_of_one_image_apply_in_order_within_a_batch(bench: Bench) -> None:
    upload = bench.accept_upload()
    first = bench.accept_update(upload.image_id, title="first")
    second = bench.accept_update(upload.image_id, title="second")
    assert bench.process(upload, first, second) == {"applied": 3}
    image = bench.records.images[upload.image_id]
    assert (image.title, image.status) == ("second", "ready")


def test_a_change_that_overtook_another_waits_for_it(bench: Bench) -> None:
    upload = bench.accept_upload()
    first = bench.accept_update(upload.image_id, title="first")
    second = bench.accept_update(upload.image_id, title="second")
    assert bench.process(second, upload) == {"waiting": 1, "applied": 1}
    (waiting,) = bench.publisher.to("events.retry.1s")
    assert bench.process(again(waiting)) == {"waiting": 1}
    assert bench.process(first, again(waiting)) == {"applied": 2}
    assert bench.records.images[upload.image_id].title == "second"


def test_an_image_with_changes_ahead_stays_processing(bench: Bench) -> None:
    upload = bench.accept_upload()
    update = bench.accept_update(upload.image_id, title="new")
    bench.process(upload)
    assert bench.records.images[upload.image_id].status == "processing"
    bench.process(update)
    assert bench.records.images[upload.image_id].status == "ready"


def test_waiting_grows_rarer_and_does_not_count_as_an_attempt(bench: Bench) -> None:
    upload = bench.accept_upload()
    update = bench.accept_update(upload.image_id, title="new")
    queues = []
    message = delivery(update)
    while bench.process(message) == {"waiting": 1}:
        queue, sent = bench.publisher.messages.pop()
        queues.append(queue)
        message = again(sent)
        assert message.attempt == 0
    assert len(queues) == 300
    seconds = [int(queue.removeprefix("events.retry.").removesuffix("s")) for queue in queues]
    assert seconds == sorted(seconds)
    # Longer than all retries of the change before it together.
    assert sum(seconds) > 1 + 5 + 30 + 120 + 600
    assert [message.message_id for message in bench.publisher.to(DEAD)] == [update.id]


def test_a_change_whose_predecessor_never_comes_leaves_no_image_processing(bench: Bench) -> None:
    upload = bench.accept_upload()
    update = bench.accept_update(upload.image_id, title="new")
    bench.process(delivery(update, **{"x-waits": 300}))
    assert bench.records.images[upload.image_id].status == "failed"


def test_a_change_that_comes_after_its_successor_was_given_up_changes_nothing(
    bench: Bench,
) -> None:
    upload = bench.accept_upload()
    update = bench.accept_update(upload.image_id, title="new")
    bench.process(delivery(update, **{"x-waits": 300}))
    assert bench.process(upload) == {"duplicate": 1}
    assert bench.outcome_types() == [events.UPDATE_FAILED]
    # The next change gives the image another chance.
    bench.process(bench.accept_update(upload.image_id, title="newer"))
    image = bench.records.images[upload.image_id]
    assert (image.status, image.title, image.rendered) == ("ready", "newer", True)


def test_a_temporary_fault_is_retried_with_growing_delays_and_then_given_up(bench: Bench) -> None:
    upload = bench.accept_upload()

    def away(operation: str, key: str) -> None:
        raise ServiceUnavailable("The storage did not answer")

    bench.storage.fault = away
    queues = []
    message = delivery(upload)
    while bench.process(message) == {"retried": 1}:
        queue, sent = bench.publisher.messages.pop()
        queues.append(queue)
        message = again(sent)
        assert message.attempt == len(queues)
    assert queues == [f"events.retry.{seconds}s" for seconds in (1, 5, 30, 120, 600)]
    (dead,) = bench.publisher.to(DEAD)
    assert dead.headers["x-reason"] == "It failed 6 times; at last: The storage did not answer"
    assert dead.headers["x-attempt"] == 6
    image = bench.records.images[upload.image_id]
    assert (image.status, image.error) == ("failed", dead.headers["x-reason"])
    assert bench.outcome_types() == [events.UPLOAD_FAILED]


def test_a_retry_carries_the_message_unchanged(bench: Bench) -> None:
    upload = bench.accept_upload()
    bench.records.down = True
    bench.process(delivery(upload, tenant="a"))
    ((queue, message),) = bench.publisher.messages
    assert queue == "events.retry.1s"
    assert message.body == events.encode(upload)
    assert (message.message_id, message.correlation_id, message.type) == (
        upload.id,
        upload.correlation_id,
        upload.type,
    )
    assert message.headers["tenant"] == "a"


def test_a_retry_does_not_carry_the_brokers_own_account_of_earlier_delays(bench: Bench) -> None:
    # Lambda hands these over in a form of its own: sent back, they would grow with every round.
    upload = bench.accept_upload()
    bench.records.down = True
    history = {"queue": {"bytes": [101]}, "count": 1, "time": "Jan 1, 1970, 12:33:41 AM"}
    headers = {
        "x-death": [history],
        "x-first-death-queue": "events.retry.1s",
        "x-first-death-reason": "expired",
        "x-first-death-exchange": "",
        "x-last-death-queue": "events.retry.1s",
        "x-last-death-reason": "expired",
        "x-last-death-exchange": "",
        "x-delivery-count": 1,
        "x-attempt": 1,
    }
    bench.process(delivery(upload, **headers))
    ((_, message),) = bench.publisher.messages
    assert set(message.headers) == {"x-attempt", "x-reason"}


def test_after_a_retry_everything_is_as_if_nothing_had_happened(bench: Bench) -> None:
    upload = bench.accept_upload()
    failures = iter([True, False])

    def once(operation: str, key: str) -> None:
        if operation == "put" and next(failures):
            raise ServiceUnavailable("away")

    bench.storage.fault = once
    assert bench.process(upload) == {"retried": 1}
    ((_, message),) = bench.publisher.messages
    assert bench.process(again(message)) == {"applied": 1}
    image = bench.records.images[upload.image_id]
    assert image.status == "ready"
    assert set(bench.storage.objects) == {
        image.original_key,
        *(rendition.object_key for rendition in image.renditions.values()),
    }


def test_a_picture_that_cannot_be_rendered_fails_at_once_and_says_why(bench: Bench) -> None:
    upload = bench.accept_upload(b"damaged")
    assert bench.process(upload) == {"dead": 1}
    image = bench.records.images[upload.image_id]
    assert (image.status, image.error) == ("failed", "The image is damaged")
    (dead,) = bench.publisher.to(DEAD)
    assert dead.headers["x-reason"] == "The image is damaged"
    assert bench.outcome_types() == [events.UPLOAD_FAILED]


def test_a_missing_file_fails_at_once_without_naming_its_place(bench: Bench) -> None:
    upload = bench.accept_upload()
    bench.storage.objects.clear()
    assert bench.process(upload) == {"dead": 1}
    assert bench.records.images[upload.image_id].error == "The stored file is missing"


def test_an_unexpected_error_is_retried_and_reveals_only_its_kind(bench: Bench) -> None:
    upload = bench.accept_upload(b"crash")
    assert bench.process(upload) == {"retried": 1}
    assert bench.process(delivery(upload, **{"x-attempt": 5})) == {"dead": 1}
    assert bench.records.images[upload.image_id].error == "It failed 6 times; at last: MemoryError"


def test_a_failed_image_gets_another_chance_with_its_next_change(bench: Bench) -> None:
    upload = bench.accept_upload(b"damaged")
    bench.process(upload)
    key = bench.records.images[upload.image_id].original_key
    bench.storage.objects[key] = (b"repaired", "image/png")
    bench.process(bench.accept_update(upload.image_id, title="new"))
    image = bench.records.images[upload.image_id]
    assert (image.status, image.error, image.rendered) == ("ready", None, True)


BAD_MESSAGES = {
    "no JSON": b"\xff",
    "another document": b"{}",
    "deep": b"[" * 100_000,
    "another type": events.encode(event("image.upload.completed", 1, 1)),
    "unknown type": events.encode(event("image.rotate.requested", 1, 1)),
}


@pytest.mark.parametrize("body", BAD_MESSAGES.values(), ids=BAD_MESSAGES.keys())
def test_a_bad_message_is_buried_and_delays_no_other(bench: Bench, body: bytes) -> None:
    uploads = [bench.accept_upload() for _ in range(3)]
    bad = ReceivedMessage(body=body, message_id="m-1", correlation_id="", type="")
    assert bench.process(uploads[0], bad, *uploads[1:]) == {"applied": 3, "dead": 1}
    (dead,) = bench.publisher.to(DEAD)
    assert dead.body == body
    assert dead.headers["x-reason"]
    assert bench.process(bad) == {"dead": 1}


@pytest.mark.parametrize(
    "data",
    [
        {"changes": {"resolution": "huge"}},
        {"changes": {"resolution": "99999x99999"}},
        {"changes": {"resolution": 7}},
        {"changes": {"resolution": "10x10", "fit": "fill"}},
        {"changes": "title"},
        {"changes": ["title"]},
    ],
    ids=str,
)
def test_a_change_that_cannot_be_understood_is_given_up_and_delays_no_other(
    bench: Bench, data: dict[str, Any]
) -> None:
    image_id = bench.ready_image()
    bench.accept_update(image_id)
    bad = event(events.UPDATE_REQUESTED, image_id, 2, **data)
    assert bench.process(bad, bench.accept_upload()) == {"dead": 1, "applied": 1}
    image = bench.records.images[image_id]
    assert image.status == "failed"
    assert image.rendered
    assert image.renditions["image"].object_key in bench.storage.objects


def test_the_images_of_a_batch_are_processed_side_by_side(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    meeting = threading.Barrier(2, timeout=PATIENCE_SECONDS)

    def together(original: bytes, **options: Any) -> list[Rendition]:
        meeting.wait()
        return rendered(original, **options)

    monkeypatch.setattr(processing, "render", together)
    assert bench.process(bench.accept_upload(), bench.accept_upload()) == {"applied": 2}


def test_a_new_resolution_is_rendered_from_the_original_each_time(bench: Bench) -> None:
    image_id = bench.ready_image()
    for resolution in ("10x5", "4000x2000"):
        bench.process(bench.accept_update(image_id, resolution=resolution, fit="contain"))
        key = bench.records.images[image_id].renditions["image"].object_key
        assert bench.storage.objects[key][0] == f"original {resolution} contain".encode()


def test_a_title_or_a_visibility_renders_nothing(bench: Bench) -> None:
    image_id = bench.ready_image()
    bench.storage.operations.clear()
    bench.process(bench.accept_update(image_id, title="new", visibility="private"))
    image = bench.records.images[image_id]
    assert (image.title, image.visibility) == ("new", "private")
    assert set(image.renditions) == {"image", "thumbnail"}
    assert bench.storage.operations == []


def test_what_an_update_replaces_is_deleted_and_the_original_never(bench: Bench) -> None:
    image_id = bench.ready_image()
    image = bench.records.images[image_id]
    for resolution in ("10x5", "20x10", "30x15"):
        bench.process(bench.accept_update(image_id, resolution=resolution))
        served = {rendition.object_key for rendition in image.renditions.values()}
        assert set(bench.storage.objects) == {image.original_key, *served}
    assert bench.storage.objects[image.original_key][0] == b"original"


def test_the_old_version_stays_readable_until_the_new_one_is_there(bench: Bench) -> None:
    image_id = bench.ready_image()
    image = bench.records.images[image_id]
    before = {rendition.object_key for rendition in image.renditions.values()}

    def away(operation: str, key: str) -> None:
        if operation == "put" and key.endswith(".webp"):
            raise ServiceUnavailable("away")

    bench.storage.fault = away
    assert bench.process(bench.accept_update(image_id, resolution="9x9")) == {"retried": 1}
    assert before == {rendition.object_key for rendition in image.renditions.values()}
    assert before <= set(bench.storage.objects)


def test_what_could_not_be_deleted_does_not_undo_the_change(bench: Bench) -> None:
    image_id = bench.ready_image()

    def away(operation: str, key: str) -> None:
        if operation == "delete":
            raise ServiceUnavailable("away")

    bench.storage.fault = away
    assert bench.process(bench.accept_update(image_id, resolution="9x9")) == {"applied": 1}
    assert bench.records.images[image_id].status == "ready"


def test_a_deletion_removes_row_original_and_renditions(bench: Bench) -> None:
    image_id = bench.ready_image()
    bench.process(bench.accept_update(image_id, resolution="10x5"))
    assert bench.process(bench.accept_delete(image_id)) == {"applied": 1}
    assert bench.storage.objects == {}
    assert bench.records.images == {}
    assert bench.outcome_types()[-1] == events.DELETE_COMPLETED


def test_a_deletion_of_a_failed_image_removes_its_original(bench: Bench) -> None:
    upload = bench.accept_upload(b"damaged")
    bench.process(upload)
    bench.process(bench.accept_delete(upload.image_id))
    assert bench.storage.objects == {}


def test_files_left_by_a_render_that_was_given_up_go_with_the_image(bench: Bench) -> None:
    upload = bench.accept_upload()

    def away(operation: str, key: str) -> None:
        if operation == "put" and key.endswith("/2/thumbnail.webp"):
            raise ServiceUnavailable("away")

    bench.process(upload)
    update = bench.accept_update(upload.image_id, resolution="10x5")
    bench.storage.fault = away
    assert bench.process(delivery(update, **{"x-attempt": 5})) == {"dead": 1}
    bench.process(bench.accept_delete(upload.image_id))
    assert bench.storage.objects == {}


def test_a_deletion_that_is_given_up_keeps_the_row_and_can_be_sent_again(bench: Bench) -> None:
    image_id = bench.ready_image()

    def away(operation: str, key: str) -> None:
        raise ServiceUnavailable("away")

    bench.storage.fault = away
    removal = bench.accept_delete(image_id)
    assert bench.process(delivery(removal, **{"x-attempt": 5})) == {"dead": 1}
    (dead,) = bench.publisher.to(DEAD)
    assert image_id in bench.records.images
    bench.storage.fault = lambda _operation, _key: None
    assert bench.process(again(dead)) == {"applied": 1}
    assert bench.storage.objects == {}


def redriven(dead: Message) -> ReceivedMessage:
    """A dead letter as `make redrive` sends it back."""
    headers = {name: value for name, value in dead.headers.items() if name == "x-redriven"}
    return ReceivedMessage(
        dead.body,
        dead.message_id,
        dead.correlation_id,
        dead.type,
        {"x-redriven": 1 + headers.get("x-redriven", 0)},
    )


def test_a_dead_letter_that_is_sent_back_has_another_chance(bench: Bench) -> None:
    upload = bench.accept_upload()
    key = bench.records.images[upload.image_id].original_key
    original = bench.storage.objects.pop(key)
    assert bench.process(upload) == {"dead": 1}
    (dead,) = bench.publisher.to(DEAD)
    bench.storage.objects[key] = original
    # By itself, as a broker may repeat it, it stays what it was.
    assert bench.process(again(dead)) == {"duplicate": 1}

    assert bench.process(redriven(dead)) == {"applied": 1}

    image = bench.records.images[upload.image_id]
    assert (image.status, image.error, image.applied_sequence) == ("ready", None, 1)
    assert bench.outcome_types() == [events.UPLOAD_FAILED, events.UPLOAD_COMPLETED]
    assert bench.process(redriven(dead)) == {"duplicate": 1}


def test_a_dead_letter_that_fails_again_returns_to_the_dead(bench: Bench) -> None:
    upload = bench.accept_upload(b"damaged")
    assert bench.process(upload) == {"dead": 1}
    (first,) = bench.publisher.to(DEAD)

    assert bench.process(redriven(first)) == {"dead": 1}

    _, second = bench.publisher.to(DEAD)
    assert second.body == first.body
    assert second.headers == {
        "x-redriven": 1,
        "x-attempt": 1,
        "x-reason": first.headers["x-reason"],
    }
    assert bench.records.images[upload.image_id].status == "failed"
    assert bench.outcome_types() == [events.UPLOAD_FAILED]


def test_a_dead_letter_that_is_sent_back_undoes_no_later_change(bench: Bench) -> None:
    image_id = bench.ready_image()
    broken = bench.accept_update(image_id, resolution="nonsense")
    assert bench.process(broken) == {"dead": 1}
    (dead,) = bench.publisher.to(DEAD)
    later = bench.accept_update(image_id, title="later")
    # Neither before the later change is applied nor after it.
    assert bench.process(redriven(dead)) == {"duplicate": 1}
    assert bench.process(later) == {"applied": 1}
    assert bench.process(redriven(dead)) == {"duplicate": 1}
    image = bench.records.images[image_id]
    assert (image.title, image.status, image.applied_sequence) == ("later", "ready", 3)


def test_a_dead_letter_of_an_image_that_is_being_deleted_stays_dead(bench: Bench) -> None:
    upload = bench.accept_upload(b"damaged")
    bench.process(upload)
    (dead,) = bench.publisher.to(DEAD)
    key = bench.records.images[upload.image_id].original_key
    bench.storage.objects[key] = (b"repaired", "image/png")
    removal = bench.accept_delete(upload.image_id)
    assert bench.process(redriven(dead)) == {"duplicate": 1}
    assert bench.process(removal) == {"applied": 1}
    assert bench.storage.objects == {}


def test_an_update_that_comes_after_the_deletion_is_a_clean_failure(bench: Bench) -> None:
    image_id = bench.ready_image()
    update = bench.accept_update(image_id, title="late")
    removal = bench.accept_delete(image_id)
    # In the order in which they were accepted, but when the image is hidden already.
    assert bench.process(update, removal) == {"failed": 1, "applied": 1}
    assert bench.outcome_types()[-2:] == [events.UPDATE_FAILED, events.DELETE_COMPLETED]
    assert bench.publisher.messages == []
    assert bench.storage.objects == {}


def test_an_update_of_an_image_that_is_gone_is_a_clean_failure(bench: Bench) -> None:
    update = event(events.UPDATE_REQUESTED, 99, 2, changes={"title": "x"})
    assert bench.process(update) == {"failed": 1}
    assert bench.process(update) == {"duplicate": 1}
    assert bench.outcome_types() == [events.UPDATE_FAILED]
    assert bench.publisher.messages == []


def test_a_deletion_of_an_image_that_is_gone_is_told_to_nobody(bench: Bench) -> None:
    removal = event(events.DELETE_REQUESTED, 99, 2)
    bench.process(removal)
    bench.process(removal)
    assert bench.outcome_types() == []
    assert bench.publisher.messages == []


def test_an_upload_of_an_image_deleted_meanwhile_renders_nothing(bench: Bench) -> None:
    upload = bench.accept_upload()
    removal = bench.accept_delete(upload.image_id)
    assert bench.process(upload) == {"failed": 1}
    assert ("get", bench.records.images[upload.image_id].original_key) not in (
        bench.storage.operations
    )
    assert bench.process(removal) == {"applied": 1}
    assert bench.storage.objects == {}


def test_while_the_broker_takes_no_retry_the_whole_batch_comes_again(bench: Bench) -> None:
    good, bad = bench.accept_upload(), bench.accept_upload(b"damaged")
    bench.publisher.down = True
    with pytest.raises(ServiceUnavailable):
        bench.process(good, bad)
    assert bench.records.images[bad.image_id].status == "processing"
    bench.publisher.down = False
    assert bench.process(good, bad) == {"duplicate": 1, "dead": 1}


def test_while_the_database_is_away_nothing_is_given_up(bench: Bench) -> None:
    upload = bench.accept_upload()
    bench.records.down = True
    assert bench.process(delivery(upload, **{"x-attempt": 5})) == {"retried": 1}
    ((queue, message),) = bench.publisher.messages
    assert queue == "events.retry.600s"
    bench.records.down = False
    assert bench.process(again(message)) == {"applied": 1}


def test_an_empty_batch_is_nothing_to_do(bench: Bench) -> None:
    assert bench.process() == {}


@pytest.mark.parametrize("value", [None, "3", -1, True, 1.5, {"a": 1}], ids=str)
def test_a_count_that_is_no_count_is_none(value: object) -> None:
    message = delivery(event(events.UPLOAD_REQUESTED, 1, 1), **{"x-attempt": value})
    assert (message.attempt, message.waits) == (0, 0)


def lambda_message(**properties: Any) -> dict[str, Any]:
    names = (
        "contentType",
        "contentEncoding",
        "headers",
        "deliveryMode",
        "priority",
        "correlationId",
        "replyTo",
        "expiration",
        "messageId",
        "timestamp",
        "type",
        "userId",
        "appId",
        "clusterId",
    )
    return {
        "basicProperties": {**dict.fromkeys(names), "bodySize": 2, **properties},
        "redelivered": False,
        "data": base64.b64encode(b"{}").decode(),
    }


def test_an_event_of_lambda_is_read_in_the_order_of_the_queue() -> None:
    messages = [lambda_message(messageId=f"m-{number}") for number in range(3)]
    read = lambda_event.messages_of(
        {"eventSource": "aws:rmq", "rmqMessagesByQueue": {"image_events::/": messages}}
    )
    assert [message.message_id for message in read] == ["m-0", "m-1", "m-2"]
    assert {message.body for message in read} == {b"{}"}


def test_properties_that_are_missing_are_empty() -> None:
    (message,) = lambda_event.messages_of({"rmqMessagesByQueue": {"q::/": [lambda_message()]}})
    assert message == ReceivedMessage(
        body=b"{}", message_id="", correlation_id="", type="", headers={}
    )


def test_headers_are_read_as_lambda_hands_them_over() -> None:
    text = {"bytes": list("Zoë".encode())}
    # A byte of Java has a sign.
    signed = {"bytes": [byte - 256 if byte > 127 else byte for byte in "Zoë".encode()]}
    message = lambda_message(
        headers={"x-attempt": 2, "text": text, "signed": signed, "none": None, "flag": True}
    )
    (read,) = lambda_event.messages_of({"rmqMessagesByQueue": {"q::/": [message]}})
    assert read.headers == {
        "x-attempt": 2,
        "text": "Zoë",
        "signed": "Zoë",
        "none": None,
        "flag": True,
    }
    assert read.attempt == 2
