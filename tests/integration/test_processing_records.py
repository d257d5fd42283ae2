"""What processing writes: event, effect and outcome together, once; as the fake of it does."""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pg8000.native import Connection

from image_api.core import events
from image_api.core.events import Event
from image_api.core.images import Caller
from image_api.core.processing import StoredRendition
from image_api.core.uploads import NewImage
from image_api.postgres.database import Database
from image_api.postgres.images import PostgresImageRecords
from image_api.postgres.processing import PostgresProcessingRecords
from tests.fakes import OCCURRED_AT, FakeProcessingRecords, ProcessedImage

KEY = "storage/0000/original.png"
NEW_IMAGE = NewImage("photo.png", "shared", KEY, "image/png", 1234, 640, 480)


class Recorder:
    def __init__(self) -> None:
        self.published: list[Event] = []

    def publish_event(self, event: Event) -> None:
        self.published.append(event)


@pytest.fixture
def publisher() -> Recorder:
    return Recorder()


@pytest.fixture
def records(database: Database, publisher: Recorder) -> PostgresProcessingRecords:
    return PostgresProcessingRecords(database, publisher)


@pytest.fixture
def upload(image_records: PostgresImageRecords, add_user: Callable[[str], int]) -> Event:
    return image_records.accept_upload(Caller(add_user("Ada"), "request-1"), NEW_IMAGE)


def renditions(width: int = 640, folder: str = "1") -> list[StoredRendition]:
    return [
        StoredRendition(
            "image", f"storage/0000/{folder}/image.png", "image/png", 99, width, 5, False
        ),
        StoredRendition(
            "thumbnail", f"storage/0000/{folder}/thumbnail.webp", "image/webp", 9, 3, 2, False
        ),
    ]


def next_event(before: Event, event_type: str, **data: Any) -> Event:
    return replace(
        before, id=events.new_id(), type=event_type, sequence=before.sequence + 1, data=data
    )


def outcome_rows(sql: Connection) -> list[list[Any]]:
    rows: list[list[Any]] = sql.run(
        "SELECT type, sequence, correlation_id FROM outbox "
        "WHERE type NOT LIKE '%.requested' ORDER BY id"
    )
    return rows


def test_a_completed_upload_is_ready_with_what_was_measured(
    records: PostgresProcessingRecords,
    image_records: PostgresImageRecords,
    upload: Event,
    sql: Connection,
) -> None:
    outcome = records.complete(upload, events.UPLOAD_COMPLETED, renditions())
    image = image_records.find(1, upload.image_id)
    assert image is not None
    assert (image["status"], image["resolution"], image["size"]) == ("ready", "640x5", 99)
    assert image["url"] == image["file_path"] == "storage/0000/1/image.png"
    assert image["thumbnail_url"] == "storage/0000/1/thumbnail.webp"
    assert outcome is not None
    assert outcome.data["status"] == "ready"
    assert outcome.data["resolution"] == "640x5"
    assert outcome_rows(sql) == [[events.UPLOAD_COMPLETED, 1, "request-1"]]
    applied, state = records.state(upload)
    assert applied
    assert state is not None
    assert state.rendition_keys == tuple(rendition.object_key for rendition in renditions())


def test_an_outcome_is_published_and_then_forgotten(
    records: PostgresProcessingRecords, publisher: Recorder, upload: Event, sql: Connection
) -> None:
    outcome = records.complete(upload, events.UPLOAD_COMPLETED, renditions())
    assert outcome is not None
    records.publish(outcome)
    assert publisher.published == [outcome]
    assert outcome_rows(sql) == []


def test_an_event_takes_effect_once_however_many_deliveries_run_at_once(
    make_database: Callable[[], Database], publisher: Recorder, upload: Event, sql: Connection
) -> None:
    def complete(database: Database) -> bool:
        records = PostgresProcessingRecords(database, publisher)
        return records.complete(upload, events.UPLOAD_COMPLETED, renditions()) is not None

    databases = [make_database() for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(complete, databases)) == 1
    assert len(outcome_rows(sql)) == 1
    assert sql.run("SELECT count(*) FROM inbox") == [[1]]


def test_what_was_given_up_is_completed_once_after_the_failure(
    make_database: Callable[[], Database],
    records: PostgresProcessingRecords,
    publisher: Recorder,
    upload: Event,
    sql: Connection,
) -> None:
    def complete(database: Database) -> bool:
        target = PostgresProcessingRecords(database, publisher)
        outcome = target.complete(upload, events.UPLOAD_COMPLETED, renditions(), after_failure=True)
        return outcome is not None

    assert records.fail(upload, events.UPLOAD_FAILED, "why") is not None
    assert records.complete(upload, events.UPLOAD_COMPLETED, renditions()) is None
    databases = [make_database() for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(complete, databases)) == 1
    assert [row[0] for row in outcome_rows(sql)] == [events.UPLOAD_FAILED, events.UPLOAD_COMPLETED]
    assert sql.run("SELECT count(*) FROM inbox") == [[1]]
    assert sql.run("SELECT status, error FROM images") == [["ready", None]]


def test_an_update_replaces_the_renditions_and_keeps_what_it_does_not_name(
    records: PostgresProcessingRecords, image_records: PostgresImageRecords, upload: Event
) -> None:
    records.complete(upload, events.UPLOAD_COMPLETED, renditions())
    image_records.accept_update(
        Caller(1, ""), upload.image_id, {"title": "new", "resolution": "10x5"}
    )
    update = next_event(upload, events.UPDATE_REQUESTED, changes={"title": "new"})
    assert records.complete(update, events.UPDATE_COMPLETED, renditions(10, "2")) is not None
    image = image_records.find(1, upload.image_id)
    assert image is not None
    assert (image["title"], image["visibility"], image["resolution"]) == ("new", "shared", "10x5")
    _, state = records.state(update)
    assert state is not None
    assert state.rendition_keys == tuple(rendition.object_key for rendition in renditions(10, "2"))


def test_a_removal_leaves_no_row_of_the_image(
    records: PostgresProcessingRecords,
    image_records: PostgresImageRecords,
    upload: Event,
    sql: Connection,
) -> None:
    records.complete(upload, events.UPLOAD_COMPLETED, renditions())
    image_records.accept_delete(Caller(1, ""), upload.image_id)
    removal = next_event(upload, events.DELETE_REQUESTED)
    assert records.remove(removal, events.DELETE_COMPLETED) is not None
    assert records.remove(removal, events.DELETE_COMPLETED) is None
    for table in ("images", "renditions"):
        assert sql.run(f"SELECT count(*) FROM {table}") == [[0]]
    assert records.state(removal) == (True, None)


def test_a_time_in_an_outcome_is_rfc_3339_in_utc(
    records: PostgresProcessingRecords, upload: Event
) -> None:
    outcome = records.fail(upload, events.UPLOAD_FAILED, "why")
    assert outcome is not None
    assert outcome.occurred_at.endswith("Z")
    assert outcome.data == {"user_id": 1, "status": "failed", "error": "why"}


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["complete", "complete again", "redrive", "fail", "reject", "remove"]),
        # An image that exists or not; an event that is next, late, early or a repetition.
        st.sampled_from([1, 1, 1, 2]),
        st.integers(1, 4),
    ),
    max_size=8,
)


@hypothesis_settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(operations=OPERATIONS, accepted=st.integers(1, 4))
def test_the_fake_that_unit_tests_use_behaves_as_postgres_does(
    records: PostgresProcessingRecords,
    image_records: PostgresImageRecords,
    add_user: Callable[[str], int],
    sql: Connection,
    operations: list[tuple[str, int, int]],
    accepted: int,
) -> None:
    sql.run("TRUNCATE users, images, renditions, inbox, outbox RESTART IDENTITY")
    image_records.accept_upload(Caller(add_user("Ada"), "request-1"), NEW_IMAGE)
    for _ in range(accepted - 1):
        image_records.accept_update(Caller(1, "request-1"), 1, {"title": "new"})
    fake = FakeProcessingRecords(
        images={1: ProcessedImage(original_key=KEY, accepted_sequence=accepted)}
    )
    sequence_limit = accepted
    known: dict[tuple[int, int], Event] = {}
    for operation, image_id, wanted_sequence in operations:
        sequence = min(wanted_sequence, sequence_limit)
        event = known.setdefault(
            (image_id, sequence),
            Event(
                events.new_id(),
                events.UPDATE_REQUESTED,
                image_id,
                sequence,
                {"changes": {"title": f"title {sequence}"}},
                "",
                OCCURRED_AT,
            ),
        )
        results = [_apply(target, operation, event) for target in (fake, records)]
        assert results[0] == results[1], (operation, event)
        assert fake.state(event) == records.state(event)
    rows = sql.run("SELECT id, title, status, error, applied_sequence FROM images")
    assert rows == [
        [image_id, image.title, image.status, image.error, image.applied_sequence]
        for image_id, image in fake.images.items()
    ]
    assert {row[0] for row in sql.run("SELECT event_id::text FROM inbox")} == fake.inbox


def _apply(
    target: FakeProcessingRecords | PostgresProcessingRecords, operation: str, event: Event
) -> tuple[str, Any] | None:
    match operation:
        case "complete":
            outcome = target.complete(event, events.UPDATE_COMPLETED, renditions())
        case "complete again":
            outcome = target.complete(event, events.UPDATE_COMPLETED, [])
        case "redrive":
            outcome = target.complete(event, events.UPDATE_COMPLETED, [], after_failure=True)
        case "fail":
            outcome = target.fail(event, events.UPDATE_FAILED, "why")
        case "reject":
            # Processing asks for it only where the image is gone.
            if target.state(event)[1] is not None:
                return None
            outcome = target.reject(event, events.UPDATE_FAILED, "gone")
        case _:
            outcome = target.remove(event, events.DELETE_COMPLETED)
    return None if outcome is None else (outcome.type, copy.copy(outcome.data.get("error")))
