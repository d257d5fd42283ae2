"""Which images whom concerns, and how pages of them are found, in real Postgres."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from pg8000.native import Connection

from image_api.core.change_log import events
from image_api.core.change_log.events import Event
from image_api.core.library import images
from image_api.core.library.images import Caller, Visibility
from image_api.core.library.listing import Filters, ListQuery
from image_api.core.library.uploads import NewImage
from image_api.errors import Unauthenticated
from image_api.postgres.database import Database, UniqueViolation
from image_api.postgres.images import PostgresImageRecords
from tests.integration.accepting import changes


class Keys:
    number = 0


def new_image(title: str = "photo.png", visibility: Visibility = "shared") -> NewImage:
    Keys.number += 1
    return NewImage(
        title=title,
        visibility=visibility,
        original_key=f"storage/{Keys.number:032x}/original.png",
        content_type="image/png",
        size_bytes=1234,
        width=640,
        height=480,
    )


@pytest.fixture
def users(add_user: Callable[[str], int]) -> tuple[int, int]:
    return add_user("Ada"), add_user("Bob")


def add(
    records: PostgresImageRecords,
    user_id: int,
    title: str = "photo.png",
    visibility: Visibility = "shared",
) -> int:
    return records.accept_upload(
        Caller(user_id, "request-1"), new_image(title, visibility)
    ).image_id


def accepted(sql: Connection) -> list[list[Any]]:
    return changes(sql, "change_id::text, user_id, type, image_id, sequence, data, correlation_id")


def ids(found: list[dict[str, Any]]) -> list[int]:
    return [image["id"] for image in found]


def test_row_and_event_of_an_upload_appear_together(
    image_records: PostgresImageRecords, users: tuple[int, int], sql: Connection
) -> None:
    event = image_records.accept_upload(
        Caller(users[0], "request-1"), new_image("a.png", "private")
    )
    assert (event.type, event.sequence) == (events.UPLOAD_REQUESTED, 1)
    assert accepted(sql) == [
        [event.id, users[0], event.type, event.image_id, 1, event.data, "request-1"],
    ]
    assert event.data["resolution"] == "640x480"


def test_an_image_has_the_fields_of_the_contract_in_their_order(
    image_records: PostgresImageRecords, users: tuple[int, int]
) -> None:
    image = image_records.find(users[0], add(image_records, users[0], "a.png"))
    assert image is not None
    assert list(image) == list(images.ImageView.model_fields)
    images.ImageView.model_validate(image)
    assert image["status"] == "processing"
    not_yet = (
        *("error", "url", "thumbnail_url", "preview_url", "rendition_url", "placeholder"),
        "taken_at",
    )
    assert [image[name] for name in not_yet] == [None] * len(not_yet)
    assert (image["resolution"], image["size"], image["user_id"]) == ("640x480", 1234, users[0])
    assert image["created_at"] == image["updated_at"]
    assert len(image["created_at"]) == len("2024-11-02T18:10:16.510939Z")
    assert image["created_at"].endswith("Z")


def test_the_camera_s_clock_is_for_the_owner_alone(
    image_records: PostgresImageRecords, users: tuple[int, int], sql: Connection
) -> None:
    ada, bob = users
    taken = replace(new_image(), taken_at="2024-11-02T18:10:16")
    image_id = image_records.accept_upload(Caller(ada, "request-1"), taken).image_id

    for user, expected in ((ada, "2024-11-02T18:10:16"), (bob, None)):
        image = image_records.find(user, image_id)
        assert image is not None
        assert image["taken_at"] == expected
        assert image_records.page(user, ListQuery())[0] == [image]
    assert "taken" not in str(accepted(sql))


def test_only_its_owner_gets_at_the_original(
    image_records: PostgresImageRecords, users: tuple[int, int]
) -> None:
    ada, bob = users
    image_id = add(image_records, ada, "a.png")

    found = image_records.original(ada, image_id)
    assert found is not None
    assert found == (f"storage/{Keys.number:032x}/original.png", "a.png")
    assert image_records.original(bob, image_id) is None
    assert image_records.original(ada, image_id + 1) is None
    image_records.accept_delete(Caller(ada, ""), image_id)
    assert image_records.original(ada, image_id) is None
    with pytest.raises(Unauthenticated):
        image_records.original(999, image_id)


def test_a_list_shows_an_image_as_it_shows_itself(
    image_records: PostgresImageRecords, users: tuple[int, int]
) -> None:
    image_id = add(image_records, users[0], "Zoë 'x' \"y\" \\ 🖼.png")
    found, total, *_ = image_records.page(users[0], ListQuery())
    assert found == [image_records.find(users[0], image_id)]
    assert total == 1


def test_nobody_else_sees_a_private_image(
    image_records: PostgresImageRecords, users: tuple[int, int]
) -> None:
    ada, bob = users
    shared, private = add(image_records, ada), add(image_records, ada, visibility="private")
    assert image_records.find(bob, shared) is not None
    assert image_records.find(bob, private) is None
    assert image_records.find(ada, private) is not None
    assert ids(image_records.page(bob, ListQuery())[0]) == [shared]
    assert ids(image_records.page(ada, ListQuery())[0]) == [private, shared]
    assert image_records.page(bob, ListQuery())[1] == 1
    assert image_records.page(ada, ListQuery())[1] == 2


@pytest.mark.parametrize("visibility", ["shared", "private"])
def test_only_the_owner_changes_or_deletes(
    image_records: PostgresImageRecords,
    users: tuple[int, int],
    sql: Connection,
    visibility: Visibility,
) -> None:
    ada, bob = users
    image_id = add(image_records, ada, visibility=visibility)
    before = accepted(sql)
    assert image_records.accept_update(Caller(bob, ""), image_id, {"title": "mine"}) is None
    assert image_records.accept_delete(Caller(bob, ""), image_id) is None
    assert accepted(sql) == before
    assert image_records.find(ada, image_id) is not None


@pytest.mark.parametrize("image_id", [0, 99, 2**63 - 1])
def test_an_image_that_does_not_exist_is_none(
    image_records: PostgresImageRecords, users: tuple[int, int], image_id: int
) -> None:
    assert image_records.find(users[0], image_id) is None
    assert image_records.accept_update(Caller(users[0], ""), image_id, {"title": "x"}) is None
    assert image_records.accept_delete(Caller(users[0], ""), image_id) is None


def test_an_accepted_change_is_the_next_of_its_image(
    image_records: PostgresImageRecords, users: tuple[int, int], sql: Connection
) -> None:
    image_id = add(image_records, users[0])
    updates: list[Event] = []
    for wanted in ({"title": "a"}, {"resolution": "10x10", "fit": "contain"}):
        event = image_records.accept_update(Caller(users[0], "request-2"), image_id, wanted)
        assert event is not None
        assert event.data["changes"] == wanted
        updates.append(event)
    removal = image_records.accept_delete(Caller(users[0], "request-3"), image_id)
    assert removal is not None
    assert [event.sequence for event in [*updates, removal]] == [2, 3, 4]
    assert [row[0] for row in accepted(sql)][1:] == [event.id for event in [*updates, removal]]


def test_during_a_change_the_last_good_version_stays_readable(
    image_records: PostgresImageRecords, users: tuple[int, int], sql: Connection
) -> None:
    image_id = add(image_records, users[0])
    sql.run("UPDATE images SET status = 'ready', rendered_at = now(), applied_sequence = 1")
    image_records.accept_update(Caller(users[0], ""), image_id, {"title": "new"})
    image = image_records.find(users[0], image_id)
    assert image is not None
    assert (image["status"], image["title"]) == ("processing", "photo.png")
    assert image["url"] == image["file_path"]


def test_a_deleted_image_is_gone_at_once_and_for_ever(
    image_records: PostgresImageRecords, users: tuple[int, int]
) -> None:
    ada, _ = users
    image_id = add(image_records, ada)
    assert image_records.accept_delete(Caller(ada, ""), image_id) is not None
    for user_id in users:
        assert image_records.find(user_id, image_id) is None
        assert image_records.page(user_id, ListQuery()) == ([], 0, True, None)
    assert image_records.accept_delete(Caller(ada, ""), image_id) is None
    assert image_records.accept_update(Caller(ada, ""), image_id, {"title": "x"}) is None


def test_a_user_who_was_deleted_is_not_signed_in_any_more(
    image_records: PostgresImageRecords, users: tuple[int, int], sql: Connection
) -> None:
    gone = users[1]
    sql.run("DELETE FROM users WHERE id = :gone", gone=gone)
    image_id = add(image_records, users[0])
    asks: list[Callable[[], object]] = [
        lambda: image_records.require_user(gone),
        lambda: image_records.accept_upload(Caller(gone, ""), new_image()),
        lambda: image_records.accept_update(Caller(gone, ""), image_id, {"title": "x"}),
        lambda: image_records.accept_delete(Caller(gone, ""), image_id),
        lambda: image_records.find(gone, image_id),
        lambda: image_records.page(gone, ListQuery()),
    ]
    for ask in asks:
        with pytest.raises(Unauthenticated):
            ask()
    assert sql.run("SELECT count(*) FROM images") == [[1]]


def test_one_stored_file_becomes_one_image(
    image_records: PostgresImageRecords, users: tuple[int, int], sql: Connection
) -> None:
    image = new_image()
    image_records.accept_upload(Caller(users[0], ""), image)
    with pytest.raises(UniqueViolation):
        image_records.accept_upload(Caller(users[0], ""), image)
    assert sql.run("SELECT (SELECT count(*) FROM images), (SELECT count(*) FROM changes)") == [
        [1, 1]
    ]


def test_the_filters_select_and_their_totals_are_right(
    image_records: PostgresImageRecords, users: tuple[int, int], sql: Connection
) -> None:
    ada, bob = users
    of_ada = add(image_records, ada, "holiday.png")
    private = add(image_records, ada, "Holiday at home.png", "private")
    of_bob = add(image_records, bob, "work.png")
    sql.run("UPDATE images SET status = 'ready' WHERE id = :id", id=of_ada)
    sql.run("UPDATE images SET status = 'failed' WHERE id = :id", id=of_bob)

    def found(user_id: int, **filters: Any) -> list[int]:
        page, total, *_ = image_records.page(user_id, ListQuery(Filters(**filters)))
        assert total == len(page), filters
        return ids(page)

    assert found(ada) == [of_bob, private, of_ada]
    assert found(ada, owner_id=ada) == [private, of_ada]
    assert found(bob, owner_id=bob) == [of_bob]
    assert found(ada, status="ready") == [of_ada]
    assert found(ada, status="processing") == [private]
    assert found(bob, status="processing") == []
    assert found(bob, status="failed") == [of_bob]
    assert found(ada, title="HOLIDAY") == [private, of_ada]
    assert found(bob, title="holiday") == [of_ada]
    assert found(ada, title="holiday", status="processing", owner_id=ada) == [private]
    assert found(ada, title="nothing like it") == []


@pytest.mark.parametrize(
    ("part", "matching"),
    [
        ("%", "100%.png"),
        ("_", "a_b.png"),
        ("\\", "back\\slash"),
        ("\\%", None),
        ("0%.", "100%.png"),
        ("a_", "a_b.png"),
        ("'", "o'clock"),
        ("🖼", "🖼.png"),
    ],
)
def test_a_title_is_searched_for_as_it_is_written(
    image_records: PostgresImageRecords,
    users: tuple[int, int],
    part: str,
    matching: str | None,
) -> None:
    for title in ("100%.png", "a_b.png", "axb.png", "back\\slash", "o'clock", "🖼.png"):
        add(image_records, users[0], title)
    found, total, *_ = image_records.page(users[0], ListQuery(Filters(title=part)))
    assert [image["title"] for image in found] == ([matching] if matching else [])
    assert total == len(found)


def test_a_total_is_of_the_whole_list_and_not_of_the_page(
    image_records: PostgresImageRecords, users: tuple[int, int]
) -> None:
    for _ in range(5):
        add(image_records, users[0])
    first = image_records.page(users[1], ListQuery(limit=2))
    assert (len(first.images), first.total) == (2, 5)
    second = image_records.page(users[1], ListQuery(limit=4, after=first.next_after))
    assert (len(second.images), second.total, second.next_after) == (3, 5, None)


def test_changes_of_one_image_that_are_accepted_side_by_side_get_numbers_of_their_own(
    make_database: Callable[[], Database],
    image_records: PostgresImageRecords,
    users: tuple[int, int],
) -> None:
    image_id = add(image_records, users[0])
    others = [PostgresImageRecords(make_database()) for _ in range(8)]

    def update(records: PostgresImageRecords) -> int:
        event = records.accept_update(Caller(users[0], ""), image_id, {"title": "x"})
        assert event is not None
        return event.sequence

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(update, others)) == list(range(2, 10))
