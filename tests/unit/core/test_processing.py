"""What each change does: rows and files that agree, and an outcome."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from image_api.core.change_log import events
from image_api.core.change_log.changes import Work
from image_api.core.renditions.render_requests import REPORT
from image_api.errors import DamagedImage, ServiceUnavailable, StillDeleting
from image_api.imaging import Rendition
from tests.unit.core.consumer_bench import DEAD, Bench, away, rendered, use_fake_pixels
from tests.waiting import PATIENCE_SECONDS


def test_an_upload_becomes_ready_with_its_renditions(bench: Bench) -> None:
    image = bench.image(bench.ready_image())
    assert (image.status, image.error, image.rendered) == ("ready", None, True)
    assert set(image.renditions) == {"image", "preview", "thumbnail"}
    assert bench.outcome_types() == [events.UPLOAD_COMPLETED]


def test_an_original_with_nothing_to_remove_is_not_stored_twice(bench: Bench) -> None:
    image = bench.image(bench.ready_image())
    assert image.renditions["image"].object_key == image.original_key
    assert set(bench.storage.objects) == {
        image.original_key,
        image.renditions["preview"].object_key,
        image.renditions["thumbnail"].object_key,
    }


def test_the_outcome_is_published_and_carries_the_requests_correlation_id(bench: Bench) -> None:
    upload = bench.accept_upload()
    bench.process(upload)
    (outcome,) = bench.log.published
    assert outcome.correlation_id == upload.correlation_id
    assert outcome.id != upload.id


def test_an_image_with_changes_ahead_stays_processing(bench: Bench) -> None:
    upload = bench.accept_upload()
    update = bench.accept_update(upload.image_id, title="new")
    bench.process(upload)
    assert bench.image(upload.image_id).status == "processing"
    bench.process(update)
    assert bench.image(upload.image_id).status == "ready"


def test_a_new_resolution_is_rendered_from_the_original_each_time(bench: Bench) -> None:
    image_id = bench.ready_image()
    for resolution in ("10x5", "4000x2000"):
        bench.process(bench.accept_update(image_id, resolution=resolution, fit="contain"))
        key = bench.image(image_id).renditions["image"].object_key
        assert bench.storage.objects[key][0] == f"original {resolution} contain".encode()


def test_a_resolution_that_a_later_change_replaces_is_not_rendered(bench: Bench) -> None:
    image_id = bench.ready_image()
    bench.renderer.tasks.clear()
    wanted = ["10x10", "20x20", "30x30"]
    changes = [bench.accept_update(image_id, title=size, resolution=size) for size in wanted]
    assert bench.process(*changes) == {"applied": 3}
    image = bench.image(image_id)
    assert (image.title, image.renditions["image"].width) == ("30x30", 30)
    assert len(bench.renderer.tasks) == 1


def test_a_title_or_a_visibility_renders_nothing(bench: Bench) -> None:
    image_id = bench.ready_image()
    bench.storage.operations.clear()
    bench.process(bench.accept_update(image_id, title="new", visibility="shared"))
    image = bench.image(image_id)
    assert (image.title, image.visibility) == ("new", "shared")
    assert set(image.renditions) == {"image", "preview", "thumbnail"}
    assert bench.storage.operations == []


def test_what_was_hidden_lies_under_other_keys_and_nothing_is_left_under_the_old_ones(
    bench: Bench,
) -> None:
    image_id = bench.ready_image()
    image, before = bench.image(image_id), dict(bench.storage.objects)
    bench.process(bench.accept_update(image_id, visibility="private", title="new"))
    served = {rendition.object_key for rendition in image.renditions.values()}
    assert set(bench.storage.objects) == {image.original_key, *served}
    assert not bench.storage.objects.keys() & before.keys()
    assert sorted(bench.storage.objects.values()) == sorted(before.values())
    assert (image.status, image.title, image.exposed_key) == ("ready", "new", None)
    # It is where it was when it is hidden again: nobody else knows that.
    there = dict(bench.storage.objects)
    bench.process(bench.accept_update(image_id, visibility="private"))
    assert bench.storage.objects == there


@pytest.mark.parametrize("operation", ["copy", "delete", "get", "put"])
def test_what_was_hidden_moves_although_the_storage_fails_in_the_middle(
    bench: Bench, operation: str
) -> None:
    image_id = bench.ready_image()
    image, before = bench.image(image_id), set(bench.storage.objects)
    update = bench.accept_update(image_id, visibility="private", resolution="10x10")
    for times in range(1, 3):
        bench.storage.fault = _on_call(times, operation)
        bench.process(update)
        bench.log.now += 600
    bench.storage.fault = lambda _operation, _key: None
    bench.process(update)
    served = {rendition.object_key for rendition in image.renditions.values()}
    assert set(bench.storage.objects) == {image.original_key, *served}
    assert not bench.storage.objects.keys() & before
    assert (image.status, image.exposed_key) == ("ready", None)


def test_an_image_whose_change_failed_is_hidden_and_moves_all_the_same(bench: Bench) -> None:
    image_id = bench.ready_image()
    image, before = bench.image(image_id), set(bench.storage.objects)
    bench.process(bench.accept_update(image_id, visibility="private", resolution="damaged"))
    assert (image.status, image.visibility) == ("failed", "private")
    assert not bench.storage.objects.keys() & before


def test_an_image_without_its_file_can_be_hidden(bench: Bench) -> None:
    image_id = bench.ready_image()
    del bench.storage.objects[bench.image(image_id).original_key]
    counts = bench.process(bench.accept_update(image_id, visibility="private"))
    assert counts == {"applied": 1}
    assert bench.image(image_id).exposed_key is None


def test_what_somebody_else_moves_meanwhile_is_found_by_the_next_attempt(bench: Bench) -> None:
    image_id = bench.ready_image()
    image = bench.image(image_id)
    folder = image.original_key.rpartition("/")[0] + "/"

    def moved(operation: str, _key: str) -> None:
        if operation == "copy" and image.original_key.startswith(folder):
            for key in [each for each in bench.storage.objects if each.startswith(folder)]:
                there = "storage/elsewhere/" + key.removeprefix(folder)
                bench.storage.objects[there] = bench.storage.objects[key]
            bench.log.move(image_id, folder, "storage/elsewhere/")

    bench.storage.fault = moved
    hide = bench.accept_update(image_id, visibility="private")
    assert bench.process(hide) == {"postponed": 1, "waiting": 1}
    bench.log.now += 600
    assert bench.process(hide) == {"applied": 1}
    served = {rendition.object_key for rendition in image.renditions.values()}
    assert {image.original_key, *served} <= bench.storage.objects.keys()
    assert image.original_key.startswith("storage/elsewhere/")
    assert not [key for key in bench.storage.objects if key.startswith(folder)]


def test_what_is_deleted_before_it_has_moved_is_gone_from_both_places(bench: Bench) -> None:
    image_id = bench.ready_image()
    hide = bench.accept_update(image_id, visibility="private")
    bench.storage.fault = away("delete")
    bench.process(hide)
    assert len(bench.storage.objects) == 6
    bench.storage.fault = lambda _operation, _key: None
    bench.process(bench.accept_delete(image_id))
    assert bench.storage.objects == {}


def test_what_is_deleted_while_it_moves_is_gone_from_both_places(bench: Bench) -> None:
    image_id = bench.ready_image()

    def delete(operation: str, _key: str) -> None:
        if operation == "copy" and not bench.image(image_id).deleted:
            removals.append(bench.accept_delete(image_id))

    removals: list[events.Event] = []
    bench.storage.fault = delete
    bench.process(bench.accept_update(image_id, visibility="private"))
    bench.process(*removals)
    assert bench.storage.objects == {}


def test_showing_it_again_before_it_was_hidden_does_not_show_it(bench: Bench) -> None:
    image_id = bench.ready_image()
    image = bench.image(image_id)
    changes = [
        bench.accept_update(image_id, visibility=visibility)
        for visibility in ("private", "shared", "private")
    ]
    seen = []
    for change in changes:
        bench.process(change)
        seen.append(image.visibility)
    assert seen == ["private"] * 3
    bench.process(bench.accept_update(image_id, visibility="shared"))
    assert image.visibility == "shared"


def _on_call(times: int, operation: str) -> Callable[[str, str], None]:
    """Fails the call of this operation that is the `times`-th."""
    calls = count(1)

    def fail(called: str, _key: str) -> None:
        if called == operation and next(calls) == times:
            raise ServiceUnavailable("away")

    return fail


def test_what_an_update_replaces_is_deleted_and_the_original_never(bench: Bench) -> None:
    image_id = bench.ready_image()
    image = bench.image(image_id)
    for resolution in ("10x5", "20x10", "30x15"):
        bench.process(bench.accept_update(image_id, resolution=resolution))
        served = {rendition.object_key for rendition in image.renditions.values()}
        assert set(bench.storage.objects) == {image.original_key, *served}
    assert bench.storage.objects[image.original_key][0] == b"original"


@pytest.mark.parametrize("before", ["a failure", "a crash", "a late renderer", "it is given up"])
def test_what_the_next_change_stores_stays_although_the_one_before_tidies_up_late(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    image_id = bench.ready_image()
    image = bench.image(image_id)
    bench.renderer.tasks.clear()
    first = bench.accept_update(
        image_id, resolution="huge" if before == "it is given up" else "10x5"
    )
    if before == "a late renderer":
        bench.renderer.is_slow = True
        bench.process(first)
        bench.renderer.is_slow = False
        bench.renderer.finish()
        bench.log.now += 1
    row = bench.log.changes[first.id]
    row.attempts, row.failures = {"a failure": (1, 1), "a crash": (1, 0)}.get(before, (0, 0))
    complete, fail = bench.log.complete, bench.log.fail

    def followed(settle: Callable[..., Any]) -> Callable[..., Any]:
        def settled(work: Work, *arguments: Any, **options: Any) -> Any:
            outcome = settle(work, *arguments, **options)
            if work.event.id == first.id:
                bench.process(bench.accept_update(image_id, resolution="20x10"))
            return outcome

        return settled

    monkeypatch.setattr(bench.log, "complete", followed(complete))
    monkeypatch.setattr(bench.log, "fail", followed(fail))

    bench.process(first)

    served = {rendition.object_key for rendition in image.renditions.values()}
    assert (image.status, image.renditions["image"].width) == ("ready", 20)
    assert set(bench.storage.objects) == {image.original_key, *served}


def test_the_old_version_stays_readable_until_the_new_one_is_there(bench: Bench) -> None:
    image_id = bench.ready_image()
    image = bench.image(image_id)
    before = {rendition.object_key for rendition in image.renditions.values()}
    bench.storage.fault = away("put")
    counts = bench.process(bench.accept_update(image_id, resolution="9x9"))
    assert counts == {"postponed": 1, "waiting": 1}
    assert before == {rendition.object_key for rendition in image.renditions.values()}
    assert before <= set(bench.storage.objects)


def test_what_could_not_be_deleted_does_not_undo_the_change(bench: Bench) -> None:
    image_id = bench.ready_image()
    bench.storage.fault = away("delete")
    assert bench.process(bench.accept_update(image_id, resolution="9x9")) == {"applied": 1}
    assert bench.image(image_id).status == "ready"


def test_a_picture_that_cannot_be_rendered_fails_at_once_and_says_why(bench: Bench) -> None:
    upload = bench.accept_upload(b"damaged")
    assert bench.process(upload) == {"dead": 1}
    image = bench.image(upload.image_id)
    assert (image.status, image.error) == ("failed", "The image is damaged")
    (dead,) = bench.publisher.to(DEAD)
    assert dead.headers == {"x-reason": "The image is damaged", "x-attempt": 1}
    assert events.decode(dead.body) == upload
    assert bench.outcome_types() == [events.UPLOAD_FAILED]


def test_a_missing_file_fails_at_once_without_naming_its_place(bench: Bench) -> None:
    upload = bench.accept_upload()
    bench.storage.objects.clear()
    assert bench.process(upload) == {"dead": 1}
    assert bench.image(upload.image_id).error == "The stored file is missing"


@pytest.mark.parametrize(
    "changes",
    [
        {"resolution": "huge"},
        {"resolution": "99999x99999"},
        {"resolution": 7},
        {"resolution": "10x10", "fit": "fill"},
        "title",
        ["title"],
    ],
    ids=str,
)
def test_a_change_that_cannot_be_understood_is_given_up_and_delays_no_other(
    bench: Bench, changes: Any
) -> None:
    image_id = bench.ready_image()
    bad = bench.log.accept_update(image_id, changes)
    assert bench.process(bad, bench.accept_upload()) == {"dead": 1, "applied": 1}
    image = bench.image(image_id)
    assert (image.status, image.rendered) == ("failed", True)
    assert image.renditions["image"].object_key in bench.storage.objects


def test_a_failed_image_gets_another_chance_with_its_next_change(bench: Bench) -> None:
    upload = bench.accept_upload(b"damaged")
    bench.process(upload)
    image = bench.image(upload.image_id)
    bench.storage.objects[image.original_key] = (b"repaired", "image/png")
    bench.process(bench.accept_update(upload.image_id, title="new"))
    assert (image.status, image.error, image.rendered) == ("ready", None, True)


def test_the_images_of_a_batch_are_processed_side_by_side(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    meeting = threading.Barrier(2, timeout=PATIENCE_SECONDS)

    def together(original: bytes, **options: Any) -> list[Rendition]:
        meeting.wait()
        return rendered(original, **options)

    use_fake_pixels(monkeypatch, together)
    assert bench.process(bench.accept_upload(), bench.accept_upload()) == {"applied": 2}


def test_a_rendition_is_sent_while_the_next_is_made(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = threading.Event()

    def one_by_one(original: bytes, **options: Any) -> Iterator[Rendition]:
        first, *others = rendered(original, **options)
        yield first
        assert sent.wait(PATIENCE_SECONDS)
        yield from others

    image_id = bench.ready_image()
    use_fake_pixels(monkeypatch, one_by_one)
    bench.storage.fault = lambda operation, _key: sent.set() if operation == "put" else None
    assert bench.process(bench.accept_update(image_id, resolution="10x5")) == {"applied": 1}


def test_what_was_made_is_read_side_by_side(bench: Bench) -> None:
    meeting = threading.Barrier(3, timeout=PATIENCE_SECONDS)
    update = bench.accept_update(bench.ready_image(), resolution="10x5")

    def together(operation: str, key: str) -> None:
        if operation == "get" and "original" not in key:
            meeting.wait()

    bench.storage.fault = together
    assert bench.process(update) == {"applied": 1}


def test_a_picture_found_damaged_after_its_image_was_made_leaves_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged_at_last(original: bytes, **options: Any) -> Iterator[Rendition]:
        yield rendered(original, size=(10, 5))[0]
        raise DamagedImage("The image is damaged")

    use_fake_pixels(monkeypatch, damaged_at_last)
    upload = bench.accept_upload()
    assert bench.process(upload) == {"dead": 1}
    assert bench.image(upload.image_id).error == "The image is damaged"
    assert list(bench.storage.objects) == [bench.image(upload.image_id).original_key]


@pytest.mark.parametrize("data", [b"original", b"damaged"])
def test_a_deletion_removes_row_original_and_renditions(bench: Bench, data: bytes) -> None:
    upload = bench.accept_upload(data)
    bench.process(upload)
    bench.process(bench.accept_update(upload.image_id, resolution="10x5"))
    assert bench.process(bench.accept_delete(upload.image_id)) == {"applied": 1}
    assert bench.storage.objects == {}
    assert bench.log.images == {}
    assert bench.outcome_types()[-1] == events.DELETE_COMPLETED


def test_files_left_by_a_render_that_was_given_up_go_with_the_image(bench: Bench) -> None:
    image_id = bench.ready_image()
    update = bench.accept_update(image_id, resolution="10x5")

    def fault(operation: str, key: str) -> None:
        if operation == "put" and key.endswith("/thumbnail.webp"):
            raise MemoryError

    bench.storage.fault = fault
    row = bench.log.changes[update.id]
    row.attempts = row.failures = row.renderer_failures = 2
    assert bench.process(update) == {"dead": 1}
    # What is served stays, and the attempt leaves nothing.
    assert len(bench.storage.objects) == 3
    bench.process(bench.accept_delete(image_id))
    assert bench.storage.objects == {}


def test_a_renderer_that_was_nearly_given_up_leaves_no_report(bench: Bench) -> None:
    bench.consumer.close()
    bench.now_seconds = count(step=3.5).__next__
    bench.restart()
    bench.renderer.is_late = True
    image_id = bench.ready_image()
    assert not [key for key in bench.storage.objects if key.endswith(REPORT)]
    assert len(bench.storage.objects) == 3
    assert bench.image(image_id).status == "ready"


def test_a_deletion_waits_for_nothing_and_makes_void_what_was_accepted_before(
    bench: Bench,
) -> None:
    upload = bench.accept_upload()
    bench.storage.fault = away("get")
    assert bench.process(upload) == {"postponed": 1, "waiting": 1}
    bench.accept_update(upload.image_id, title="late")
    removal = bench.accept_delete(upload.image_id)

    assert bench.process(removal) == {"applied": 1}

    assert bench.outcome_types() == [
        *(events.UPLOAD_FAILED, events.UPDATE_FAILED, events.DELETE_COMPLETED)
    ]
    assert bench.log.published == bench.log.outcomes
    assert bench.log.outcomes[0].data["error"] == "The image was deleted"
    assert bench.storage.objects == {}
    assert bench.publisher.to(DEAD) == []


def test_what_was_stored_while_the_image_was_removed_goes_as_well(bench: Bench) -> None:
    upload = bench.accept_upload()
    removals: list[events.Event] = []

    def remove_meanwhile(operation: str, _key: str) -> None:
        if operation == "put":
            bench.storage.fault = away()
            removals.append(bench.accept_delete(upload.image_id))
            assert bench.process(removals[0]) == {"postponed": 1, "waiting": 1}
            assert bench.storage.objects == {}

    bench.storage.fault = remove_meanwhile
    assert bench.process(upload) == {"duplicate": 1, "waiting": 1}
    assert bench.storage.objects == {}
    bench.log.now += 5
    # It waits for nothing any more.
    assert bench.process(*removals) == {"applied": 1}
    assert bench.outcome_types() == [events.UPLOAD_FAILED, events.DELETE_COMPLETED]


def test_a_removal_is_never_given_up_and_told_to_the_dead_once(bench: Bench) -> None:
    image_id = bench.ready_image()
    bench.storage.fault = away("delete")
    removal = bench.accept_delete(image_id)
    delays = []
    for _ in range(9):
        assert bench.process(removal)["postponed"] == 1
        delays.append(bench.log.changes[removal.id].due_at - bench.log.now)
        bench.log.now += delays[-1]
    assert delays == [1, 5, 30, 120, 600, 3600, 3600, 3600, 3600]
    (dead,) = bench.publisher.to(DEAD)
    assert dead.headers["x-reason"] == "The storage did not answer"
    bench.storage.fault = away()
    assert bench.process(removal) == {"applied": 1}
    assert bench.storage.objects == {}


def test_what_takes_long_to_delete_goes_on_at_another_time_and_has_not_failed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id = bench.ready_image()
    folder = bench.image(image_id).original_key.rpartition("/")[0] + "/"
    for number in range(20):
        bench.storage.put(f"{folder}on-demand/{number}/rendition.webp", b"", "image/webp")

    def two_at_a_time(prefix: str) -> None:
        found = bench.storage.versions(prefix)
        bench.storage.delete_versions(found[:2])
        if found[2:]:
            raise StillDeleting

    monkeypatch.setattr(bench.storage, "delete_folder", two_at_a_time)
    removal = bench.accept_delete(image_id)
    for _ in range(11):
        assert bench.process(removal) == {"postponed": 1, "waiting": 1}
        # Others have their turn.
        assert bench.process(bench.accept_upload()) == {"applied": 1}
        bench.log.now += 5
    assert bench.log.changes[removal.id].failures == 0
    assert bench.process(removal) == {"applied": 1}
    assert not [key for key in bench.storage.objects if key.startswith(folder)]
    assert bench.publisher.to(DEAD) == []


def test_the_changes_of_an_image_that_is_gone_end_without_a_dead_letter(bench: Bench) -> None:
    changes = [bench.accept_upload()]
    changes.append(bench.accept_update(changes[0].image_id, title="x"))
    changes.append(bench.accept_delete(changes[0].image_id))
    # As the release before, rolled back to, may have removed it.
    bench.log.images.clear()
    outcomes = bench.process(*changes)
    # The deletion does not wait for those that it makes void, and may be the first to end one.
    assert outcomes.pop("applied") == 1
    assert sum(outcomes.values()) == 2 and outcomes.keys() <= {"failed", "duplicate"}
    assert all(row.outcome is not None for row in bench.log.changes.values())
    assert bench.publisher.messages == []
