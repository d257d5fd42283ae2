"""Titles, resolutions, cursors, changes, and the use cases over them."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from image_api.core import events, images
from image_api.core.images import Changes, DirectUploadDetails, ListQuery
from image_api.errors import (
    FileTooLarge,
    ImageNotFound,
    InvalidRequest,
    NotAnImage,
    ServiceUnavailable,
    Unauthenticated,
    UploadNotFound,
)
from image_api.imaging import Header
from tests.fakes import FakeImageRecords, FakeLinks, FakeStorage, RecordingDelivery

ADA, BOB = 1, 2
PNG = Header(content_type="image/png", extension="png", width=640, height=480)


@pytest.fixture
def records() -> FakeImageRecords:
    return FakeImageRecords(users={ADA, BOB})


@pytest.fixture
def delivery() -> RecordingDelivery:
    return RecordingDelivery()


def upload(
    records: FakeImageRecords,
    delivery: RecordingDelivery | None = None,
    storage: FakeStorage | None = None,
    *,
    user_id: int = ADA,
    **changed: Any,
) -> images.UploadAccepted:
    arguments: dict[str, Any] = {
        "data": b"bytes",
        "measured": PNG,
        "title": "photo.png",
        "visibility": "shared",
        "correlation_id": "request-1",
        **changed,
    }
    return images.upload(
        records,
        storage or FakeStorage(),
        delivery or RecordingDelivery(),
        user_id=user_id,
        **arguments,
    )


@pytest.mark.parametrize(
    ("title", "kept"),
    [
        ("photo.png", "photo.png"),
        ("../../x.png", "x.png"),
        ("/etc/passwd", "passwd"),
        ("C:\\photos\\x.png", "x.png"),
        ("a/..\\b/c.png", "c.png"),
        ("  spaces around  ", "spaces around"),
        ("Zoe\u0308.png", "Zoë.png"),
        ("日本語 🖼.png", "日本語 🖼.png"),
        ("…", "…"),
        ("...", "..."),
        (".hidden", ".hidden"),
        ("x" * 255, "x" * 255),
        ("🖼" * 255, "🖼" * 255),
        ("folder/" * 100 + "x.png", "x.png"),
    ],
)
def test_a_title_is_kept_without_folders_and_in_composed_form(title: str, kept: str) -> None:
    assert images.checked_title(title) == kept


@pytest.mark.parametrize(
    ("title", "message"),
    [
        ("", "The title is empty"),
        (" \t ", "The title is empty"),
        (".", "The title is empty"),
        ("..", "The title is empty"),
        ("../..", "The title is empty"),
        ("folder/", "The title is empty"),
        ("x" * 256, "The title has 256 characters; at most 255 are allowed"),
        ("a\x00b", "The title contains a control character"),
        ("a\r\nSet-Cookie: b", "The title contains a control character"),
        ("a\x7fb", "The title contains a control character"),
        ("a\u009bb", "The title contains a control character"),
        ("a\ud800b", "The title contains a control character"),
    ],
)
def test_each_rule_of_titles_has_its_own_message(title: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        images.checked_title(title)


@given(st.text(max_size=300))
def test_a_title_that_is_accepted_is_never_a_path(title: str) -> None:
    try:
        kept = images.checked_title(title)
    except ValueError:
        return
    assert 1 <= len(kept) <= 255
    assert not set(kept) & set("/\\\0\r\n")
    assert kept not in (".", "..")
    assert images.checked_title(kept) == kept


@pytest.mark.parametrize(
    ("filename", "title"),
    [
        ("holiday.png", "holiday.png"),
        ("../../x.png", "x.png"),
        (None, "image.png"),
        ("", "image.png"),
        ("..", "image.png"),
        ("\x00\x01", "image.png"),
        ("a\x00b.png", "ab.png"),
        ("x" * 300, "x" * 255),
    ],
)
def test_any_filename_gives_a_title(filename: str | None, title: str) -> None:
    assert images.title_from_filename(filename, "png") == title


@given(st.one_of(st.none(), st.text(max_size=400)))
def test_a_title_from_a_filename_keeps_the_rules_of_titles(filename: str | None) -> None:
    title = images.title_from_filename(filename, "png")
    assert images.checked_title(title) == title


@pytest.mark.parametrize(
    ("resolution", "size"),
    [
        ("1920x1080", (1920, 1080)),
        (" 1920X1080 ", (1920, 1080)),
        ("1x1", (1, 1)),
        ("10000x5000", (10_000, 5_000)),
        ("10000x1", (10_000, 1)),
    ],
)
def test_a_resolution_is_width_and_height(resolution: str, size: tuple[int, int]) -> None:
    assert images.parse_resolution(resolution) == size


@pytest.mark.parametrize(
    "resolution",
    ["", "1920", "x", "0x5", "5x0", "-1x5", "1.5x2", "1920×1080", "1920 x 1080", "1_0x5", "٣x٣"],  # noqa: RUF001
)
def test_what_is_no_resolution_is_refused_with_an_example(resolution: str) -> None:
    with pytest.raises(ValueError, match="must look like 1920x1080"):
        images.parse_resolution(resolution)


@pytest.mark.parametrize("resolution", ["10001x1", "1x10001", "10000x5001", "99999x99999"])
def test_a_resolution_beyond_what_can_be_rendered_is_refused(resolution: str) -> None:
    with pytest.raises(ValueError, match="too large"):
        images.parse_resolution(resolution)


def test_a_resolution_is_kept_in_one_form() -> None:
    assert Changes(resolution=" 640X480 ").resolution == "640x480"


@given(st.integers(1, 10**18 - 1))
def test_a_cursor_leads_back_to_its_id(image_id: int) -> None:
    cursor = images.encode_cursor(image_id)
    assert cursor.replace("-", "").replace("_", "").isalnum()
    assert images.decode_cursor(cursor) == image_id


@pytest.mark.parametrize(
    "cursor",
    ["abc", "!!!", "i1", "aTA", "aS0x", "aTE=====", "ä", "\ud800", "aTAx", "x" * 10_000, "aTE\n"],
)
def test_garbage_is_no_cursor(cursor: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        images.decode_cursor(cursor)
    assert refused.value.field == "cursor"


@given(st.text(max_size=40))
def test_any_text_is_a_cursor_or_refused_as_one(cursor: str) -> None:
    try:
        image_id = images.decode_cursor(cursor)
    except InvalidRequest:
        return
    assert image_id > 0


def problems(**fields: object) -> list[str]:
    with pytest.raises(ValidationError) as refused:
        Changes.model_validate(fields)
    return [str(problem["msg"]) for problem in refused.value.errors()]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "Send at least one of title, resolution, visibility"),
        ({"title": None}, "Send at least one of title, resolution, visibility"),
        ({"fit": "cover"}, "fit says how a resolution is reached: send both"),
        ({"fit": "cover", "title": "x"}, "fit says how a resolution is reached: send both"),
        ({"title": ""}, "The title is empty"),
        ({"title": 7}, "valid string"),
        ({"resolution": "big"}, "must look like"),
        ({"resolution": ["1x1"]}, "valid string"),
        ({"resolution": "1x1", "fit": "fill"}, "'cover', 'contain' or 'stretch'"),
        ({"visibility": "public"}, "'shared' or 'private'"),
        ({"title": "x", "status": "ready"}, "Extra inputs are not permitted"),
        ({"user_id": 2}, "Extra inputs are not permitted"),
    ],
)
def test_a_change_that_breaks_a_rule_is_refused(fields: dict[str, object], message: str) -> None:
    assert any(message in problem for problem in problems(**fields))


def test_only_the_fields_that_were_sent_are_changed(
    records: FakeImageRecords, delivery: RecordingDelivery
) -> None:
    image_id = upload(records).id
    images.update(
        records,
        delivery,
        user_id=ADA,
        image_id=image_id,
        changes=Changes(title="../new.png", resolution="100X50", visibility=None),
        correlation_id="request-2",
    )
    (event,) = delivery.events
    assert event.type == events.UPDATE_REQUESTED
    assert event.data["changes"] == {"title": "new.png", "resolution": "100x50"}


def test_an_upload_stores_the_bytes_before_the_row_names_them(
    records: FakeImageRecords, delivery: RecordingDelivery
) -> None:
    storage = FakeStorage()
    accepted = upload(records, delivery, storage)
    (key,) = storage.objects
    assert storage.objects[key] == (b"bytes", "image/png")
    assert records.images[accepted.id]["file_path"] == key
    assert records.log == ["require_user", "accept_upload"]
    (event,) = delivery.events
    assert (event.type, event.image_id, event.correlation_id) == (
        events.UPLOAD_REQUESTED,
        accepted.id,
        "request-1",
    )


def test_resolution_size_and_type_of_an_upload_are_measured(records: FakeImageRecords) -> None:
    image = records.images[upload(records, title="liar.gif").id]
    assert (image["resolution"], image["size"], image["content_type"]) == (
        "640x480",
        5,
        "image/png",
    )


def test_the_key_of_an_object_has_nothing_of_the_title(records: FakeImageRecords) -> None:
    keys = {
        records.images[upload(records, title="secret-plan.png").id]["file_path"] for _ in range(3)
    }
    assert len(keys) == 3
    assert all(key.startswith("storage/") and key.endswith("/original.png") for key in keys)
    assert not any("secret" in key for key in keys)


def test_nothing_is_stored_for_a_user_who_is_gone(records: FakeImageRecords) -> None:
    storage = FakeStorage()
    with pytest.raises(Unauthenticated):
        upload(records, storage=storage, user_id=99)
    assert storage.operations == []


def test_no_file_is_left_when_the_user_goes_while_it_is_stored(records: FakeImageRecords) -> None:
    storage = FakeStorage()
    storage.fault = lambda operation, _: records.users.clear() if operation == "put" else None
    with pytest.raises(Unauthenticated):
        upload(records, storage=storage)
    assert storage.objects == {}


def test_an_upload_over_the_limit_is_told_the_limit_and_the_other_way() -> None:
    images.check_upload_size(4_500_000)
    with pytest.raises(FileTooLarge, match=r"4\.6 MB.*at most 4\.5 MB.*direct_upload"):
        images.check_upload_size(4_600_000)


def test_an_image_just_over_the_limit_is_not_said_to_have_the_limit() -> None:
    with pytest.raises(FileTooLarge) as refused:
        images.check_upload_size(4_500_001)
    assert "has 4.5 MB" not in refused.value.detail


@pytest.mark.parametrize("image_id", [1, 2])
def test_somebody_elses_image_and_a_missing_one_get_the_same_answer(
    records: FakeImageRecords, delivery: RecordingDelivery, image_id: int
) -> None:
    upload(records, visibility="private")
    with pytest.raises(ImageNotFound):
        images.get(records, FakeLinks(), BOB, image_id)
    with pytest.raises(ImageNotFound):
        images.update(
            records,
            delivery,
            user_id=BOB,
            image_id=image_id,
            changes=Changes(title="mine"),
            correlation_id="",
        )
    with pytest.raises(ImageNotFound):
        images.delete(records, delivery, user_id=BOB, image_id=image_id, correlation_id="")
    assert delivery.events == []


def test_a_shared_image_can_be_read_but_not_changed_by_others(
    records: FakeImageRecords, delivery: RecordingDelivery
) -> None:
    image_id = upload(records, visibility="shared").id
    assert images.get(records, FakeLinks(), BOB, image_id)["id"] == image_id
    with pytest.raises(ImageNotFound):
        images.delete(records, delivery, user_id=BOB, image_id=image_id, correlation_id="")


def test_a_deleted_image_is_asked_to_be_removed(
    records: FakeImageRecords, delivery: RecordingDelivery
) -> None:
    image_id = upload(records).id
    accepted = images.delete(
        records, delivery, user_id=ADA, image_id=image_id, correlation_id="request-3"
    )
    assert accepted.id == image_id
    (event,) = delivery.events
    assert (event.type, event.correlation_id) == (events.DELETE_REQUESTED, "request-3")


def offer_and_send(
    records: FakeImageRecords, storage: FakeStorage, data: bytes, user_id: int = ADA
) -> images.DirectUploadOffer:
    """A client that asks where to send a file, and sends it."""
    offer = images.offer_direct_upload(records, storage, user_id=user_id)
    storage.objects[offer.fields["key"]] = (data, "")
    return offer


def complete(
    records: FakeImageRecords,
    storage: FakeStorage,
    upload_id: str,
    *,
    user_id: int = ADA,
    measured: Header = PNG,
    **details: Any,
) -> images.UploadAccepted:
    return images.complete_direct_upload(
        records,
        storage,
        RecordingDelivery(),
        user_id=user_id,
        upload_id=upload_id,
        measure=lambda _: measured,
        details=DirectUploadDetails(**details),
        default_visibility="private",
        correlation_id="request-1",
    )


def test_a_direct_upload_becomes_an_image_like_any_other(records: FakeImageRecords) -> None:
    storage = FakeStorage()
    offer = offer_and_send(records, storage, b"a large file")
    accepted = complete(records, storage, offer.upload_id, filename="../large.png")
    image = records.images[accepted.id]
    assert (image["title"], image["visibility"], image["size"]) == ("large.png", "private", 12)
    assert storage.objects == {image["file_path"]: (b"a large file", "image/png")}


def test_the_place_of_a_direct_upload_is_the_users_own(records: FakeImageRecords) -> None:
    storage = FakeStorage()
    offer = offer_and_send(records, storage, b"of ada")
    with pytest.raises(UploadNotFound):
        complete(records, storage, offer.upload_id, user_id=BOB)
    assert complete(records, storage, offer.upload_id).id == 1


def test_a_direct_upload_without_a_file_is_not_found(records: FakeImageRecords) -> None:
    storage = FakeStorage()
    offer = images.offer_direct_upload(records, storage, user_id=ADA)
    with pytest.raises(UploadNotFound):
        complete(records, storage, offer.upload_id)


def test_a_direct_upload_is_completed_once(records: FakeImageRecords) -> None:
    storage = FakeStorage()
    offer = offer_and_send(records, storage, b"bytes")
    complete(records, storage, offer.upload_id)
    with pytest.raises(UploadNotFound):
        complete(records, storage, offer.upload_id)
    assert len(records.images) == 1


@pytest.mark.parametrize("second", [PNG, Header("image/jpeg", "jpg", 5, 5)], ids=["png", "jpg"])
def test_a_file_sent_again_after_completion_changes_nothing_of_the_image(
    records: FakeImageRecords, second: Header
) -> None:
    storage = FakeStorage()
    offer = offer_and_send(records, storage, b"first bytes")
    first = records.images[complete(records, storage, offer.upload_id).id]["file_path"]
    # The form stays valid for a while: its holder can send another file.
    storage.objects[offer.fields["key"]] = (b"other bytes", "")
    try:
        other = complete(records, storage, offer.upload_id, measured=second)
    except UploadNotFound:
        pass
    else:
        # What is rendered of an image lies beside its original.
        folder = records.images[other.id]["file_path"].rpartition("/")[0]
        assert folder != first.rpartition("/")[0]
    assert storage.objects[first][0] == b"first bytes"


def test_nothing_is_kept_of_a_direct_upload_that_is_no_image(records: FakeImageRecords) -> None:
    storage = FakeStorage()
    offer = offer_and_send(records, storage, b"text")

    def refuse(_: bytes) -> Header:
        raise NotAnImage("The file is no image")

    with pytest.raises(NotAnImage):
        images.complete_direct_upload(
            records,
            storage,
            RecordingDelivery(),
            user_id=ADA,
            upload_id=offer.upload_id,
            measure=refuse,
            details=DirectUploadDetails(),
            default_visibility="shared",
            correlation_id="",
        )
    assert storage.objects == {}
    assert records.images == {}


def test_an_accepted_direct_upload_does_not_fail_over_its_leftovers(
    records: FakeImageRecords,
) -> None:
    storage = FakeStorage()
    offer = offer_and_send(records, storage, b"bytes")

    def away(operation: str, _: str) -> None:
        if operation == "delete":
            raise ServiceUnavailable("The storage did not delete the files")

    storage.fault = away
    assert complete(records, storage, offer.upload_id).status == "processing"


def test_no_direct_upload_is_offered_to_a_user_who_is_gone(records: FakeImageRecords) -> None:
    with pytest.raises(Unauthenticated):
        images.offer_direct_upload(records, FakeStorage(), user_id=99)


def test_a_direct_upload_leaves_no_image_file_when_the_user_goes_meanwhile(
    records: FakeImageRecords,
) -> None:
    storage = FakeStorage()
    offer = offer_and_send(records, storage, b"bytes")
    storage.fault = lambda operation, _: records.users.clear() if operation == "put" else None
    with pytest.raises(Unauthenticated):
        complete(records, storage, offer.upload_id)
    assert [key for key in storage.objects if key.startswith("storage/")] == []


def test_links_are_signed_only_where_there_is_something_to_open(
    records: FakeImageRecords,
) -> None:
    image_id = upload(records).id
    fresh = images.get(records, FakeLinks(), ADA, image_id)
    assert (fresh["url"], fresh["thumbnail_url"]) == (None, None)
    records.images[image_id].update(url="storage/a/image.png", thumbnail_url="storage/a/t.webp")
    ready = images.get(records, FakeLinks(), ADA, image_id)
    assert ready["url"] == "https://storage.example.com/storage/a/image.png?signed"
    assert ready["thumbnail_url"] == "https://storage.example.com/storage/a/t.webp?signed"


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 100])
def test_the_pages_together_are_the_list(records: FakeImageRecords, limit: int) -> None:
    ids = [upload(records).id for _ in range(7)]
    seen: list[int] = []
    cursor: str | None = None
    while True:
        before_id = images.decode_cursor(cursor) if cursor else None
        page = images.list_page(
            records, FakeLinks(), BOB, ListQuery(limit=limit, before_id=before_id)
        )
        assert len(page.images) <= limit
        assert page.total == 7
        seen += [image["id"] for image in page.images]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == sorted(ids, reverse=True)


def test_an_empty_list_is_one_empty_page(records: FakeImageRecords) -> None:
    page = images.list_page(records, FakeLinks(), ADA, ListQuery())
    assert page == images.Page(images=[], total=0, next_cursor=None)


def test_control_characters_are_those_of_unicode() -> None:
    for code in [*range(0x20), *range(0x7F, 0xA0)]:
        assert unicodedata.category(chr(code)) == "Cc"
        with pytest.raises(ValueError, match=r"control character|empty"):
            images.checked_title(f"a{chr(code)}b")
