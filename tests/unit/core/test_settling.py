"""What becomes of a batch of messages: nobody is held up, whatever they hold or do."""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import replace
from typing import Any, NoReturn
from unittest.mock import Mock

import pytest

from image_api.core.change_log import events
from image_api.core.change_log.changes import (
    CRASH_PAUSE_SECONDS,
    LATE_SECONDS,
    LEASE_SECONDS,
    MAX_FAILURES,
    AppliedChange,
    LoggedChange,
    Work,
)
from image_api.core.change_log.events import Event
from image_api.core.change_log.messages import Message, ReceivedMessage
from image_api.core.consumer import settling
from image_api.core.renditions import renderer
from image_api.core.renditions.render_requests import RENDERER_TIMEOUT_SECONDS, REPORT
from image_api.errors import ServiceUnavailable
from image_api.imaging import Rendition
from image_api.rabbitmq import lambda_event
from tests.bad_messages import HEADERS, KINDS, bad_bodies, deep
from tests.unit.core.consumer_bench import (
    DEAD,
    Bench,
    ProcessEnded,
    again,
    away,
    rendered,
    sent,
    use_fake_pixels,
)
from tests.waiting import PATIENCE_SECONDS


def test_a_duplicate_changes_nothing_costs_nothing_and_is_told_to_nobody(bench: Bench) -> None:
    upload = bench.accept_upload()
    assert bench.process(upload, upload) == {"applied": 1, "duplicate": 1}
    bench.storage.operations.clear()
    assert bench.process(upload) == {"duplicate": 1}
    assert bench.storage.operations == []
    assert len(bench.log.published) == len(bench.log.outcomes) == 1


def test_an_empty_batch_is_nothing_to_do(bench: Bench) -> None:
    assert bench.process() == {}


def test_the_changes_of_one_image_apply_in_order_within_a_batch(bench: Bench) -> None:
    upload = bench.accept_upload()
    updates = [bench.accept_update(upload.image_id, title=title) for title in ("first", "second")]
    assert bench.process(*updates[::-1], upload) == {"applied": 3}
    image = bench.image(upload.image_id)
    assert (image.title, image.status) == ("second", "ready")


def test_what_becomes_possible_meanwhile_is_done_as_well(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = bench.accept_upload()
    updates = [bench.accept_update(upload.image_id, title=title) for title in ("first", "second")]
    nothing_to_do, begin = threading.Event(), bench.log.begin

    def watched_begin(*arguments: Any, **options: Any) -> Work | None:
        work = begin(*arguments, **options)
        if work is None:
            nothing_to_do.set()
        return work

    def after_the_other_thread(original: bytes, **options: Any) -> list[Rendition]:
        assert nothing_to_do.wait(60)
        return rendered(original, **options)

    monkeypatch.setattr(bench.log, "begin", watched_begin)
    use_fake_pixels(monkeypatch, after_the_other_thread)
    assert bench.process(upload, *updates) == {"applied": 3}


def test_a_message_that_overtook_another_does_its_work_and_waits_for_its_own(bench: Bench) -> None:
    upload = bench.accept_upload()
    update = bench.accept_update(upload.image_id, title="new")
    assert bench.process(update) == {"applied": 1, "waiting": 1}
    assert bench.image(upload.image_id).rendered
    (waiting,) = bench.publisher.to("events.retry.1s")
    assert (waiting.message_id, waiting.headers) == (update.id, {"x-waits": 1})
    assert bench.process(upload) == {"duplicate": 1}
    assert bench.process(again(waiting)) == {"applied": 1}
    assert bench.image(upload.image_id).title == "new"


def test_the_users_who_wait_have_their_turns_one_after_the_other(bench: Bench) -> None:
    greedy = [bench.accept_upload(user_id=1) for _ in range(20)]
    modest = {user_id: bench.accept_upload(user_id=user_id) for user_id in (2, 3)}
    # Whosever messages they are.
    assert bench.process(*greedy[:4]) == {"applied": 4, "waiting": 2}
    assert {bench.image(upload.image_id).status for upload in modest.values()} == {"ready"}
    assert [bench.image(upload.image_id).status for upload in greedy].count("ready") == 2
    # And each user's changes in the order in which they were accepted.
    assert bench.process(*greedy[4:], *bench.returned()) == {"applied": 18}


def test_a_message_waits_ever_more_rarely_as_long_as_its_change_does(bench: Bench) -> None:
    upload = bench.accept_upload()
    update = bench.accept_update(upload.image_id, title="new")
    # Somebody else is at work on it, without end.
    bench.log.changes[upload.id].due_at = 1e9
    message = sent(update)
    delays = []
    for _ in range(50):
        assert bench.process(message) == {"waiting": 1}
        delays += [queue for queue, _ in bench.publisher.messages]
        (message,) = bench.returned()
    assert (
        delays == [*["events.retry.1s"] * 20, *["events.retry.5s"] * 20] + ["events.retry.30s"] * 10
    )


def test_a_temporary_fault_is_retried_with_growing_delays_and_then_given_up(bench: Bench) -> None:
    upload = bench.accept_upload()
    bench.storage.fault = away("get")
    message = sent(upload)
    for seconds in (1, 5, 30, 120, 600):
        assert bench.process(message) == {"postponed": 1, "waiting": 1}
        # Neither it nor another message begins it before its time.
        assert bench.process(upload) == {"waiting": 1}
        assert {queue for queue, _ in bench.publisher.messages} == {f"events.retry.{seconds}s"}
        message = bench.returned()[0]
        bench.log.now += seconds
    assert bench.process(message) == {"dead": 1}
    (dead,) = bench.publisher.to(DEAD)
    assert dead.headers == {
        "x-reason": "It failed 6 times; at last: The renderer could not reach the storage",
        "x-attempt": 6,
    }
    image = bench.image(upload.image_id)
    assert (image.status, image.error) == ("failed", dead.headers["x-reason"])
    assert bench.outcome_types() == [events.UPLOAD_FAILED]


def test_after_a_retry_everything_is_as_if_nothing_had_happened(bench: Bench) -> None:
    upload = bench.accept_upload()
    bench.storage.fault = away("put")
    assert bench.process(upload) == {"postponed": 1, "waiting": 1}
    bench.storage.fault = away()
    bench.log.now += 1
    assert bench.process(*bench.returned()) == {"applied": 1}
    image = bench.image(upload.image_id)
    assert image.status == "ready"
    assert set(bench.storage.objects) == {
        image.original_key,
        *(rendition.object_key for rendition in image.renditions.values()),
    }


def test_an_unexpected_error_is_retried_and_reveals_only_its_kind(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.renderer, "invoke", _unexpected)
    upload = bench.accept_upload()
    for seconds in (1, 5, 30, 120, 600):
        assert bench.process(upload) == {"postponed": 1, "waiting": 1}
        bench.log.now += seconds
    assert bench.process(upload) == {"dead": 1}
    assert bench.image(upload.image_id).error == "It failed 6 times; at last: KeyError"


def test_a_picture_that_ends_its_renderer_three_times_is_given_up(bench: Bench) -> None:
    upload, bystander = bench.accept_upload(b"crash"), bench.accept_upload(user_id=2)
    assert bench.process(upload, bystander) == {"postponed": 1, "waiting": 1, "applied": 1}
    bench.log.now += 1
    assert bench.process(upload) == {"postponed": 1, "waiting": 1}
    assert bench.process(upload) == {"waiting": 1}
    bench.log.now += 5
    assert bench.process(upload) == {"dead": 1}
    image = bench.image(upload.image_id)
    reason = "Rendering it failed 3 times; at last: The renderer failed: MemoryError"
    assert (image.status, image.error) == ("failed", reason)
    assert bench.publisher.to(DEAD)[0].headers == {"x-reason": reason, "x-attempt": 3}
    assert bench.process(bench.accept_delete(upload.image_id)) == {"applied": 1}


def test_a_slow_picture_is_left_to_its_renderer_and_looked_for_later(bench: Bench) -> None:
    bench.renderer.is_slow = True
    upload = bench.accept_upload()
    assert bench.process(upload) == {"rendering": 1, "waiting": 1}
    # It is looked for as often as it takes, and not begun again.
    for _ in range(10):
        bench.log.now += 1
        assert bench.process(*bench.returned()) == {"rendering": 1, "waiting": 1}
    bench.renderer.finish()
    bench.log.now += 1
    assert bench.process(*bench.returned()) == {"applied": 1}
    image = bench.image(upload.image_id)
    assert (image.status, len(bench.renderer.tasks)) == ("ready", 1)
    assert bench.log.changes[upload.id].attempts == 1
    # The report goes, what was made stays.
    assert set(bench.storage.objects) == {
        image.original_key,
        *(rendition.object_key for rendition in image.renditions.values()),
    }


def test_a_report_that_the_storage_does_not_take_is_sent_until_it_does(bench: Bench) -> None:
    """One that is lost would be taken for a crash, and three of them for the picture's fault."""
    tries = []

    def refuses_reports(operation: str, key: str) -> None:
        if operation == "put" and key.endswith(REPORT):
            tries.append(key)
            if len(tries) < 20:
                raise ServiceUnavailable("The storage did not answer")

    bench.renderer.is_slow = True
    upload = bench.accept_upload()
    assert bench.process(upload) == {"rendering": 1, "waiting": 1}
    bench.storage.fault = refuses_reports
    bench.renderer.finish()
    bench.log.now += 1
    assert bench.process(*bench.returned()) == {"applied": 1}
    assert len(tries) == 20


def test_a_report_is_given_up_when_the_renderers_time_ends(bench: Bench) -> None:
    bench.renderer.is_slow = True
    bench.process(bench.accept_upload())
    bench.storage.fault = away("put")
    seconds_left = iter([60.0, 30.0, 1.0])
    with pytest.raises(ServiceUnavailable):
        renderer.run(
            *(bench.renderer.tasks[0], bench.renderer, lambda: next(seconds_left)),
            *(lambda: 1e12, lambda _seconds: None),
        )
    assert next(seconds_left, None) is None


def test_a_renderer_that_never_ends_is_one_failed_attempt(bench: Bench) -> None:
    bench.renderer.is_slow = True
    upload = bench.accept_upload()
    for attempt in (1, 2, 3):
        bench.process(upload)
        bench.log.now += RENDERER_TIMEOUT_SECONDS
        assert len(bench.renderer.tasks) == attempt
        counts = bench.process(upload)
        assert counts == ({"postponed": 1, "waiting": 1} if attempt < 3 else {"dead": 1})
        bench.log.now += 600
    assert bench.image(upload.image_id).error == (
        "Rendering it failed 3 times; at last: The renderer did not end within 90 s"
    )
    # Each attempt had keys of its own: what comes late overwrites nothing.
    assert len({task["results"]["image.png"]["key"] for task in bench.renderer.tasks}) == 3


def test_a_picture_that_others_are_in_the_way_of_is_not_tried(bench: Bench) -> None:
    bench.renderer.is_busy = True
    upload = bench.accept_upload()
    for _ in range(20):
        assert bench.process(upload) == {"postponed": 1, "waiting": 1}
        bench.log.now += 1
    bench.renderer.is_busy = False
    assert bench.process(upload) == {"applied": 1}
    assert bench.log.changes[upload.id].attempts == 1


def test_one_user_has_few_renderers_and_the_others_go_on(bench: Bench) -> None:
    bench.log.renderers_per_account = 2
    bench.renderer.is_slow = True
    uploads = [bench.accept_upload() for _ in range(5)]
    assert bench.process(*uploads) == {"rendering": 2, "waiting": 5}
    assert len(bench.renderer.tasks) == 2
    bench.renderer.is_slow = False
    other = bench.accept_upload(user_id=2)
    assert bench.process(other) == {"applied": 1}
    # What takes no renderer goes on, too.
    removal = bench.accept_delete(uploads[4].image_id)
    assert bench.process(removal) == {"applied": 1}


def test_work_that_comes_while_a_renderer_is_waited_for_is_done_meanwhile(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "_LOOKOUT_SECONDS", 0.01)
    waited_for = threading.Event()
    invoke = bench.renderer.invoke

    def second_frees_first(payload: bytes, wait_seconds: float) -> bytes:
        if not bench.renderer.tasks:
            answer = invoke(payload, wait_seconds)
            bench.accept_upload(user_id=2)
            assert waited_for.wait(PATIENCE_SECONDS)
            return answer
        waited_for.set()
        return invoke(payload, wait_seconds)

    bench.renderer.invoke = second_frees_first  # type: ignore[method-assign]
    # One message, two changes: that of the other is behind this batch.
    assert bench.process(bench.accept_upload()) == {"applied": 2}


def test_what_a_slow_renderer_stores_after_a_removal_goes_as_well(bench: Bench) -> None:
    bench.renderer.is_slow = True
    upload = bench.accept_upload()
    bench.process(upload)
    removal = bench.accept_delete(upload.image_id)
    assert bench.process(removal) == {"postponed": 1, "waiting": 1}
    assert bench.storage.objects == {}
    bench.storage.objects[bench.image(upload.image_id).original_key] = (b"original", "image/png")
    bench.renderer.finish()
    bench.log.now += RENDERER_TIMEOUT_SECONDS
    assert bench.process(removal) == {"applied": 1}
    assert bench.storage.objects == {}


def test_a_slow_renderer_is_not_forgotten_while_the_storage_is_away(bench: Bench) -> None:
    bench.renderer.is_slow = True
    upload = bench.accept_upload()
    bench.process(upload)
    bench.storage.fault = away("get")
    bench.log.now += 1
    assert bench.process(upload) == {"rendering": 1, "waiting": 1}
    bench.storage.fault = away()
    bench.renderer.finish()
    bench.log.now += 1
    assert bench.process(upload) == {"applied": 1}
    assert (bench.log.changes[upload.id].failures, len(bench.renderer.tasks)) == (0, 1)


def test_what_is_rendered_while_its_image_is_removed_goes_as_well(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has written down yet that a renderer is at work."""
    upload = bench.accept_upload()
    late: list[dict[str, int]] = []

    def removed_meanwhile(payload: bytes, wait_seconds: float) -> bytes:
        monkeypatch.setattr(bench.renderer, "invoke", invoke)
        bench.renderer.is_slow = True
        removals.append(bench.accept_delete(upload.image_id))
        late.append(bench.process(removals[0]))
        return invoke(payload, wait_seconds)

    removals: list[Event] = []
    original = dict(bench.storage.objects)
    invoke = bench.renderer.invoke
    monkeypatch.setattr(bench.renderer, "invoke", removed_meanwhile)
    assert bench.process(upload) == {"rendering": 1, "waiting": 1}
    assert late == [{"postponed": 1, "waiting": 1}]
    bench.log.now += 10
    assert bench.process(*removals) == {"postponed": 1, "waiting": 1}
    bench.storage.objects |= original
    bench.renderer.finish()
    bench.log.now += RENDERER_TIMEOUT_SECONDS
    assert bench.process(*removals) == {"applied": 1}
    assert bench.storage.objects == {}


@pytest.mark.parametrize("attempts", [1, 2, MAX_FAILURES])
def test_what_a_renderer_stores_whose_connection_broke_goes_with_the_image(
    bench: Bench, attempts: int
) -> None:
    upload = bench.accept_upload()
    bench.renderer.is_lost = True
    for number in range(attempts):
        if number:
            bench.log.now = bench.log.changes[upload.id].due_at
        bench.process(upload)
    assert len(bench.renderer.tasks) == attempts
    original = dict(bench.storage.objects)
    removal = bench.accept_delete(upload.image_id)
    # An earlier one may have ended meanwhile, the last has not.
    assert bench.process(removal) == {"postponed": 1, "waiting": 1}
    bench.storage.objects |= original
    bench.renderer.finish()
    bench.log.now += LATE_SECONDS
    assert bench.process(removal) == {"applied": 1}
    assert bench.storage.objects == {}


@pytest.mark.parametrize("is_tried_again", [False, True])
def test_what_a_renderer_stores_whose_consumer_died_goes_with_the_image(
    bench: Bench, is_tried_again: bool
) -> None:
    upload = bench.accept_upload()
    assert bench.log.begin(upload.id, 0, crashed=False) is not None
    if is_tried_again:
        assert bench.process(sent(upload, redelivered=True)) == {"applied": 1}
    else:
        bench.log.free([upload.id])
    removal = bench.accept_delete(upload.image_id)
    assert bench.process(removal) == {"postponed": 1, "waiting": 1}
    key = bench.image(upload.image_id).original_key.replace("original", "1-0a/image")
    bench.storage.put(key, b"late", "image/png")
    bench.log.now += LATE_SECONDS
    assert bench.process(removal) == {"applied": 1}
    assert bench.storage.objects == {}


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        (b"[]", "has an unexpected format"),
        (b"{}", "has an unexpected format"),
        (b'"\xff', "is not JSON"),
        (b"[" * 16_000, "is not JSON"),
        (b" " * 20_000, "is too long"),
        (b'{"renditions": 1, "renderer_version": 1}', "has an unexpected format"),
        (b'{"renditions": [], "renderer_version": 1}', "something other than requested"),
    ],
)
def test_nonsense_of_a_renderer_is_a_failed_attempt(
    bench: Bench, claim: bytes, reason: str
) -> None:
    bench.renderer.answer = claim
    upload = bench.accept_upload()
    assert bench.process(upload) == {"postponed": 1, "waiting": 1}
    assert reason in (bench.log.changes[upload.id].reason or "")


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("image", {"width": 641}),
        ("image", {"size_bytes": 1}),
        ("image", {"extension": "gif"}),
        ("image", {"extension": "../original.png"}),
        ("preview", {"extension": None}),
        ("thumbnail", {"extension": "png"}),
        ("thumbnail", {"name": "image"}),
        ("thumbnail", {"name": "other"}),
        ("thumbnail", {"height": "24"}),
        ("preview", {"size_bytes": True}),
    ],
    ids=str,
)
def test_what_a_renderer_claims_is_measured(
    bench: Bench, name: str, changes: dict[str, Any]
) -> None:
    upload = bench.accept_upload()
    invoke = bench.renderer.invoke

    def lie(payload: bytes, wait_seconds: float) -> bytes:
        report = json.loads(invoke(payload, wait_seconds))
        (claim,) = [claim for claim in report["renditions"] if claim["name"] == name]
        claim.update(changes)
        return json.dumps(report).encode()

    bench.renderer.invoke = lie  # type: ignore[method-assign]
    assert bench.process(upload) == {"postponed": 1, "waiting": 1}
    assert bench.log.changes[upload.id].renderer_failures == 1


def test_a_refusal_is_shown_to_the_owner_bounded_and_in_plain_text(bench: Bench) -> None:
    bench.renderer.answer = json.dumps({"refused": "bad\n\x1b[31m" + "x" * 1000}).encode()
    upload = bench.accept_upload()
    assert bench.process(upload) == {"dead": 1}
    assert bench.image(upload.image_id).error == ("bad[31m" + "x" * 1000)[:300]


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_that_is_no_accepted_change_changes_nothing_and_delays_nobody(
    bench: Bench, kind: str
) -> None:
    other_image_id, image_id = bench.ready_image(), bench.ready_image()
    # Not yet settled when the message comes, so that it is about something.
    real = bench.accept_update(image_id, title="real")
    bench.log.changes[real.id].due_at = 1e9
    bad = ReceivedMessage(bad_bodies(real, other_image_id)[kind], "m-1", "request-9", "")
    before = (repr(bench.log.images), repr(bench.log.changes))
    assert bench.process(bad) == {"rejected": 1}
    assert (repr(bench.log.images), repr(bench.log.changes)) == before
    (dead,) = bench.publisher.to(DEAD)
    assert dead.body == bad.body
    assert dead.headers["x-reason"]

    uploads = [bench.accept_upload() for _ in range(3)]
    assert bench.process(uploads[0], bad, *uploads[1:]) == {"applied": 3, "rejected": 1}
    bench.log.changes[real.id].due_at = 0
    assert bench.process(bad, real, bad) == {"applied": 1, "rejected": 2}
    assert bench.image(image_id).title == "real"


def test_a_message_that_is_set_aside_wakes_all_the_same(bench: Bench) -> None:
    upload = bench.accept_upload()
    assert bench.process(replace(upload, id=events.new_id())) == {"applied": 1, "rejected": 1}
    assert bench.image(upload.image_id).status == "ready"


@pytest.mark.parametrize(
    "headers", [*HEADERS.values(), {"a": deep(100_000)}], ids=[*HEADERS, "endless lists"]
)
def test_what_cannot_be_written_back_is_written_as_text_or_left_out(
    bench: Bench, headers: dict[str, Any]
) -> None:
    long = "x" * 1000
    bad = ReceivedMessage(b"bad", long, long, long, headers)
    assert bench.process(bad, bench.accept_upload()) == {"rejected": 1, "applied": 1}
    (dead,) = bench.publisher.to(DEAD)
    assert len(dead.message_id) == len(dead.correlation_id) == len(dead.type) == 255
    assert len(dead.headers) <= 33
    assert not [name for name in dead.headers if name.startswith(("x-death", "x-first-death"))]
    for name, value in dead.headers.items():
        assert 0 < len(name.encode()) <= 128
        assert value is None or isinstance(value, str | int)
        assert len(str(value).encode()) <= 1024
        assert not isinstance(value, int) or abs(value) < 2**63


def test_what_no_dead_letter_queue_takes_holds_up_nobody(bench: Bench) -> None:
    bench.publisher.refuses.add(DEAD)
    assert bench.process(ReceivedMessage(b"bad", "", "", ""), bench.accept_upload()) == {
        "rejected": 1,
        "applied": 1,
    }


def test_a_dead_letter_is_owed_until_the_broker_takes_it(bench: Bench) -> None:
    upload = bench.accept_upload(b"damaged")
    bench.publisher.refuses.add(DEAD)
    # Its owner need not wait for that.
    assert bench.process(upload) == {"dead": 1}
    assert bench.image(upload.image_id).status == "failed"
    assert bench.process(upload) == {"duplicate": 1}
    assert bench.send_owed_letters() == 0
    bench.publisher.refuses.clear()
    assert bench.send_owed_letters() == 1
    assert bench.send_owed_letters() == 0
    (dead,) = bench.publisher.to(DEAD)
    assert dead.headers == {"x-reason": "The image is damaged", "x-attempt": 1}
    assert events.decode(dead.body) == upload


def test_a_crash_after_the_verdict_loses_no_dead_letter(bench: Bench) -> None:
    upload = bench.accept_upload(b"damaged")

    def killed(*_: Any) -> None:
        raise ProcessEnded

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench.publisher, "publish", killed)
        with pytest.raises(ProcessEnded):
            bench.process(upload)
    bench.restart()
    assert bench.process(sent(upload, redelivered=True)) == {"duplicate": 1}
    assert bench.send_owed_letters() == 1
    assert len(bench.publisher.to(DEAD)) == 1


def test_an_owed_letter_that_went_back_to_work_is_owed_no_more(bench: Bench) -> None:
    upload = bench.accept_upload(b"damaged")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench.log, "letter_sent", _unexpected)
        assert bench.process(upload) == {"dead": 1}
    (dead,) = bench.publisher.to(DEAD)
    bench.storage.objects[bench.image(upload.image_id).original_key] = (b"original", "image/png")
    assert bench.process(redriven(dead)) == {"applied": 1}
    assert bench.send_owed_letters() == 0


def test_a_removal_that_fails_six_times_has_one_letter_and_goes_on(bench: Bench) -> None:
    removal = bench.accept_delete(bench.ready_image())
    bench.storage.fault = away("delete")
    for _ in range(5):
        assert bench.process(removal) == {"postponed": 1, "waiting": 1}
        bench.log.now += 600
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench.log, "postpone", _cut_off)
        for _ in range(8):
            with pytest.raises(ServiceUnavailable):
                bench.process(removal)
            bench.log.free([removal.id])
            bench.log.now += CRASH_PAUSE_SECONDS
    for _ in range(3):
        assert bench.process(removal) == {"postponed": 1, "waiting": 1}
        bench.log.now += 3600
    assert len(bench.publisher.to(DEAD)) == 1
    bench.storage.fault = away()
    assert bench.process(removal) == {"applied": 1}


def test_a_batch_that_comes_again_for_a_look_at_the_log_sets_nothing_aside_twice(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, bad = bench.accept_upload(), ReceivedMessage(b"bad", "", "", "")
    bench.log.changes[upload.id].due_at = 1e9
    look_up, looks = bench.log.look_up, Mock()

    def every_second_fails(received: list[Event]) -> dict[str, LoggedChange]:
        looks()
        return look_up(received) if looks.call_count % 2 else _cut_off()

    with monkeypatch.context() as patch:
        patch.setattr(bench.log, "look_up", every_second_fails)
        for _ in range(8):
            with pytest.raises(ServiceUnavailable):
                bench.process(bad, upload)
    assert bench.publisher.messages == []
    assert bench.process(bad, upload) == {"rejected": 1, "waiting": 1}
    assert len(bench.publisher.to(DEAD)) == 1


def test_of_two_that_are_set_aside_the_first_is_not_set_aside_again_for_the_second(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, same = (ReceivedMessage(body, "", "", "") for body in (b"1", b"2", b"1"))
    publish = bench.publisher.publish

    def without_second(exchange: str, queue: str, message: Message) -> None:
        if message.body == second.body:
            _cut_off()
        publish(exchange, queue, message)

    with monkeypatch.context() as patch:
        patch.setattr(bench.publisher, "publish", without_second)
        for _ in range(8):
            with pytest.raises(ServiceUnavailable):
                bench.process(first, same, second)
    # The broker may hand them over in other batches.
    assert bench.process(second, first) == {"rejected": 2}
    assert bench.process(bench.accept_upload()) == {"applied": 1}
    assert bench.process(same) == {"rejected": 1}
    assert sorted(dead.body for dead in bench.publisher.to(DEAD)) == [b"1", b"1", b"2"]
    assert bench.process(first) == {"rejected": 1}
    assert len(bench.publisher.to(DEAD)) == 4


def test_while_the_broker_is_away_work_is_done_and_nothing_is_sent_twice(bench: Bench) -> None:
    good, damaged = bench.accept_upload(), bench.accept_upload(b"damaged")
    bad = ReceivedMessage(b"bad", "", "", "")
    bench.publisher.down = True
    for counts in ({"applied": 1, "dead": 1}, {"duplicate": 2}):
        assert bench.process(good, damaged) == counts
    with pytest.raises(ServiceUnavailable):
        bench.process(bad)
    bench.publisher.down = False
    assert bench.process(good, bad, damaged) == {"duplicate": 2, "rejected": 1}
    assert bench.send_owed_letters() == 1
    assert len(bench.publisher.messages) == 2


@pytest.mark.parametrize("operation", ["complete", "postpone", "fail"])
def test_while_the_database_is_away_the_batch_comes_again_and_nothing_is_given_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    upload = bench.accept_upload(b"damaged" if operation == "fail" else b"original")
    if operation == "postpone":
        bench.storage.fault = away("get")

    def cut_off(*_: Any, **__: Any) -> None:
        bench.log.down = True
        _cut_off()

    with monkeypatch.context() as patch:
        patch.setattr(bench.log, operation, cut_off)
        # More often than an attempt may fail, or end its process.
        for _ in range(8):
            with pytest.raises(ServiceUnavailable):
                bench.process(upload)
            assert bench.publisher.messages == []
            with pytest.raises(ServiceUnavailable):
                bench.process(upload)
            bench.log.down = False
            bench.log.free([upload.id])
            bench.log.now += CRASH_PAUSE_SECONDS
    bench.storage.fault = away()
    assert bench.process(upload) == {"dead" if operation == "fail" else "applied": 1}
    assert len(bench.publisher.to(DEAD)) == (operation == "fail")
    image = bench.image(upload.image_id)
    assert image.status == ("failed" if operation == "fail" else "ready")
    assert image.error == ("The image is damaged" if operation == "fail" else None)


def test_what_a_lost_answer_of_the_database_has_begun_is_tried_again_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = bench.accept_upload()
    begin = bench.log.begin

    def begin_and_lose_the_answer(*arguments: Any, **options: Any) -> None:
        begin(*arguments, **options)
        raise ServiceUnavailable("The database did not answer; try again")

    with monkeypatch.context() as patch:
        patch.setattr(bench.log, "begin", begin_and_lose_the_answer)
        # So the batch comes again, which is how that change becomes free.
        with pytest.raises(ServiceUnavailable):
            bench.process(upload)
    assert bench.publisher.messages == []
    assert bench.process(sent(upload, redelivered=True)) == {"applied": 1}


def test_an_event_on_which_the_log_chokes_is_set_aside_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads = [bench.accept_upload() for _ in range(3)]
    bad = replace(uploads[0], id=events.new_id())
    look_up = bench.log.look_up

    def choking(received: list[Event]) -> dict[str, LoggedChange]:
        if bad in received:
            raise KeyError("a mistake of ours")
        return look_up(received)

    monkeypatch.setattr(bench.log, "look_up", choking)
    assert bench.process(uploads[0], bad, *uploads[1:]) == {"applied": 3, "rejected": 1}


@pytest.mark.parametrize("operation", ["look_up", "reopen", "begin", "complete", "fail"])
def test_an_unexpected_error_of_the_log_fails_no_batch(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    failed = bench.accept_upload(b"damaged")
    if operation != "fail":
        bench.process(failed)
    upload = bench.accept_upload()
    with monkeypatch.context() as patch:
        patch.setattr(bench.log, operation, _unexpected)
        bench.process(upload, redriven_again(failed))
    bench.log.now += LEASE_SECONDS
    bench.process(upload)
    bench.process(upload)
    assert bench.image(upload.image_id).status == "ready"


def _cut_off(*_: Any, **__: Any) -> NoReturn:
    raise ServiceUnavailable("The database did not answer; try again")


def _unexpected(*_: Any, **__: Any) -> None:
    raise KeyError("a mistake of ours")


def test_what_ends_its_process_is_given_up_alone_after_three_attempts(bench: Bench) -> None:
    bench.workers = 1
    bench.restart()
    innocents = [bench.accept_upload(user_id=user_id) for user_id in (1, 3)]
    killer = bench.accept_upload(b"killer", user_id=2)
    messages = [sent(event) for event in (*innocents, killer)]
    for ends in (1, 2, 3):
        with pytest.raises(ProcessEnded):
            bench.process(*messages)
        # Nobody else's attempt ended with it, and all others are done by the second time.
        assert [row.attempts for row in bench.log.changes.values()] == [1, ends > 1, ends]
        bench.restart()
        messages = [replace(message, redelivered=True) for message in messages]
        # It is not even begun before a pause, when somebody else's fault may be over.
        if ends == 2:
            assert bench.process(*messages[:2], sent(killer)) == {"duplicate": 2, "waiting": 1}
            bench.publisher.messages.clear()
            assert bench.process(*messages)["waiting"] == 1
            bench.publisher.messages.clear()
            bench.log.now += CRASH_PAUSE_SECONDS
    bench.process(*messages)
    bench.log.now += CRASH_PAUSE_SECONDS
    assert bench.process(*messages) == {"duplicate": 2, "dead": 1}
    (dead,) = bench.publisher.to(DEAD)
    assert dead.headers["x-reason"] == "3 attempts ended the process that made them"
    assert bench.image(killer.image_id).error == dead.headers["x-reason"]
    assert {bench.image(event.image_id).status for event in innocents} == {"ready"}


def test_what_was_in_work_beside_a_killer_is_tried_again_at_once(bench: Bench) -> None:
    innocent = bench.accept_upload()
    other = bench.accept_upload(user_id=2)
    # For the message of another change, in a process that is gone.
    assert bench.log.begin(other.id, 0, crashed=False) is not None
    bench.log.changes[other.id].due_at = 1e9
    assert bench.process(innocent) == {"waiting": 1}
    assert bench.process(sent(other, redelivered=True)) == {"applied": 1, "waiting": 1}
    assert bench.image(innocent.image_id).status == "ready"


def test_an_attempt_whose_consumer_and_message_are_gone_is_free_when_its_lease_ends(
    bench: Bench,
) -> None:
    upload = bench.accept_upload()
    assert bench.log.begin(events.new_id(), 0, crashed=False) is not None
    assert bench.process(upload) == {"waiting": 1}
    assert bench.publisher.messages[0][0] == "events.retry.600s"
    bench.log.now += LEASE_SECONDS
    assert bench.process(upload) == {"applied": 1}


def test_a_suspect_has_its_turn_however_many_others_wait(bench: Bench) -> None:
    suspect = bench.accept_upload()
    assert bench.log.begin(suspect.id, 0, crashed=False) is not None
    others = [bench.accept_upload(user_id=2) for _ in range(10)]
    bench.log.now += LEASE_SECONDS
    assert bench.process(others[0]) == {"applied": 2}
    assert bench.image(suspect.image_id).status == "ready"


def test_near_its_end_a_batch_begins_nothing_that_might_not_end(bench: Bench) -> None:
    bench.workers, bench.remaining_milliseconds = 1, 50_000
    bench.restart()
    uploads = [bench.accept_upload() for _ in range(3)]
    # One even then, or a function with little time would never do anything.
    assert bench.process(*uploads) == {"applied": 1, "waiting": 2}
    bench.remaining_milliseconds = 300_000
    assert bench.process(*bench.returned()) == {"applied": 2}


def test_near_its_end_a_batch_sends_nothing_that_might_not_be_taken(bench: Bench) -> None:
    bench.remaining_milliseconds = 14_000
    upload = bench.accept_upload()
    assert bench.log.begin(events.new_id(), 0, crashed=False) is not None
    # The relay knows of it.
    assert bench.process(upload) == {"waiting": 1}
    # Nobody else knows of this one: it has to come again.
    with pytest.raises(ServiceUnavailable):
        bench.process(replace(upload, id=events.new_id()))
    assert bench.publisher.messages == []


def test_a_dead_letter_that_is_sent_back_has_another_chance(bench: Bench) -> None:
    upload = bench.accept_upload()
    key = bench.image(upload.image_id).original_key
    original = bench.storage.objects.pop(key)
    assert bench.process(upload) == {"dead": 1}
    (dead,) = bench.publisher.to(DEAD)
    bench.storage.objects[key] = original
    # By itself, as a broker may repeat it, it stays what it was.
    assert bench.process(again(dead)) == {"duplicate": 1}
    assert bench.process(redriven(dead)) == {"applied": 1}
    image = bench.image(upload.image_id)
    assert (image.status, image.error, image.applied_sequence) == ("ready", None, 1)
    assert bench.outcome_types() == [events.UPLOAD_FAILED, events.UPLOAD_COMPLETED]
    assert bench.process(redriven(dead)) == {"duplicate": 1}


def test_a_dead_letter_that_fails_again_returns_to_the_dead(bench: Bench) -> None:
    upload = bench.accept_upload(b"damaged")
    assert bench.process(upload) == {"dead": 1}
    assert bench.process(redriven(bench.publisher.to(DEAD)[0])) == {"dead": 1}
    first, second = bench.publisher.to(DEAD)
    assert (second.body, second.headers) == (first.body, first.headers)
    assert bench.image(upload.image_id).status == "failed"


def test_a_dead_letter_that_is_sent_back_undoes_no_later_change(bench: Bench) -> None:
    image_id = bench.ready_image()
    assert bench.process(bench.accept_update(image_id, resolution="nonsense")) == {"dead": 1}
    (dead,) = bench.publisher.to(DEAD)
    later = bench.accept_update(image_id, title="later")
    # Neither before the later change is applied nor after it.
    assert bench.process(redriven(dead)) == {"duplicate": 1}
    assert bench.process(later) == {"applied": 1}
    assert bench.process(redriven(dead)) == {"duplicate": 1}
    image = bench.image(image_id)
    assert (image.title, image.status, image.applied_sequence) == ("later", "ready", 3)


def test_a_dead_letter_of_an_image_that_is_being_deleted_stays_dead(bench: Bench) -> None:
    upload = bench.accept_upload(b"damaged")
    bench.process(upload)
    (dead,) = bench.publisher.to(DEAD)
    removal = bench.accept_delete(upload.image_id)
    assert bench.process(redriven(dead)) == {"duplicate": 1}
    assert bench.process(removal) == {"applied": 1}
    assert bench.storage.objects == {}


def redriven_again(event: Event) -> ReceivedMessage:
    return replace(sent(event), headers={"x-redriven": 1})


def redriven(dead: Message) -> ReceivedMessage:
    """A dead letter as `make redrive` sends it back."""
    return replace(again(dead), headers={"x-redriven": 1})


@pytest.mark.parametrize("value", [None, "3", -1, True, 1.5, {"a": 1}], ids=str)
def test_a_count_that_is_no_count_is_none(value: object) -> None:
    message = ReceivedMessage(b"", "", "", "", {"x-waits": value, "x-redriven": value})
    assert (message.waits, message.is_redriven) == (0, False)


def lambda_message(**properties: Any) -> dict[str, Any]:
    names = (
        *("contentType", "contentEncoding", "headers", "deliveryMode", "priority"),
        *("correlationId", "replyTo", "expiration", "messageId", "timestamp", "type"),
        *("userId", "appId", "clusterId"),
    )
    return {
        "basicProperties": {**dict.fromkeys(names), "bodySize": 2, **properties},
        "redelivered": False,
        "data": base64.b64encode(b"{}").decode(),
    }


def read(*messages: dict[str, Any]) -> list[ReceivedMessage]:
    return lambda_event.messages_of(
        {"eventSource": "aws:rmq", "rmqMessagesByQueue": {"image_events::/": list(messages)}}
    )


def test_an_event_of_lambda_is_read_in_the_order_of_the_queue() -> None:
    found = read(*(lambda_message(messageId=f"m-{number}") for number in range(3)))
    assert [message.message_id for message in found] == ["m-0", "m-1", "m-2"]
    assert {message.body for message in found} == {b"{}"}


@pytest.mark.parametrize(
    ("message", "body"),
    [
        (lambda_message(), b"{}"),
        ({"data": "e30="}, b"{}"),
        ({"basicProperties": None, "data": None}, b""),
        ({"data": "no base64, alas"}, b"no base64, alas"),
        (lambda_message(messageId=7, correlationId={}, type=[]), b"{}"),
    ],
    ids=["null", "missing", "no data", "other data", "other types"],
)
def test_what_is_missing_or_strange_is_empty(message: dict[str, Any], body: bytes) -> None:
    assert read(message) == [
        ReceivedMessage(body=body, message_id="", correlation_id="", type="", headers={})
    ]


def test_headers_are_read_as_lambda_hands_them_over() -> None:
    signed = [byte - 256 if byte > 127 else byte for byte in "Zoë".encode()]
    headers = {
        "x-waits": 2,
        "text": {"bytes": list("Zoë".encode())},
        # A byte of Java has a sign.
        "signed": {"bytes": signed},
        "none": None,
        "flag": True,
        # A table of somebody's own, which has a field of this name.
        "table": {"bytes": [{"bytes": [97]}]},
        "number": {"bytes": 7},
    }
    (message,) = read(lambda_message(headers=headers))
    assert message.headers == headers | {"text": "Zoë", "signed": "Zoë"}
    assert message.waits == 2


def test_many_titles_are_applied_at_once_and_their_messages_find_them_settled(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_ids = [bench.ready_image(user_id=number % 3) for number in range(6)]
    updates = [
        bench.accept_update(image_id, title=f"{image_id} {number}")
        for number in range(20)
        for image_id in image_ids
    ]
    monkeypatch.setattr(settling, "_PLAIN_STEP", 6)
    begin = Mock(wraps=bench.log.begin)
    monkeypatch.setattr(bench.log, "begin", begin)
    # Of each image the next, in four steps; then as many as messages ask for.
    assert bench.process(updates[0]) == {"applied": 25}
    assert len(bench.log.published) == 6 + 25
    while waiting := [row.event for row in bench.log.changes.values() if row.outcome is None]:
        bench.process(waiting[0])
    assert len(bench.log.published) == 6 + len(updates)
    assert bench.process(*updates) == {"duplicate": len(updates)}
    assert [bench.image(image_id).title for image_id in image_ids] == [
        f"{image_id} 19" for image_id in image_ids
    ]
    outcomes = [outcome for outcome in bench.log.outcomes if outcome.image_id == image_ids[0]]
    assert [outcome.sequence for outcome in outcomes] == list(range(1, 22))
    assert begin.call_count < len(updates)


@pytest.mark.parametrize("error", [ServiceUnavailable("a row is held"), KeyError("a mistake")])
def test_what_cannot_be_applied_with_others_is_tried_by_itself(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    image_ids = [bench.ready_image() for _ in range(3)]
    updates = [bench.accept_update(image_id, title="new") for image_id in image_ids]
    tried: list[int] = []

    def fail(after_user_id: int, _most: int) -> list[AppliedChange]:
        tried.append(after_user_id)
        raise error

    monkeypatch.setattr(bench.log, "apply_plain", fail)
    assert bench.process(*updates[:2]) == {"applied": 2}
    # Not at every batch.
    assert bench.process(updates[2]) == {"applied": 1}
    assert len(tried) == 1
