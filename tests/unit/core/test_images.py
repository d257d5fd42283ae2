"""Titles, resolutions, cursors, changes, and the use cases over them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from image_api.core.change_log import events
from image_api.core.library import editing, fields, images
from image_api.core.library.images import Caller, Changes, Visibility
from image_api.core.library.uploads import NewImage
from image_api.errors import ImageNotFound, InvalidRequest
from tests.fakes import FakeImageRecords, FakeUrlSigner, RecordingSink

ADA, BOB = 1, 2


@pytest.fixture
def records() -> FakeImageRecords:
    return FakeImageRecords(users={ADA, BOB})


@pytest.fixture
def sink() -> RecordingSink:
    return RecordingSink()


def accepted_image(records: FakeImageRecords, visibility: Visibility = "shared") -> int:
    """One of Ada's, by id."""
    image = NewImage(
        title="photo.png",
        visibility=visibility,
        original_key=f"storage/{len(records.images):032x}/original.png",
        content_type="image/png",
        size_bytes=5,
        width=640,
        height=480,
    )
    return records.accept_upload(Caller(ADA, "request-1"), image).image_id


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
    assert fields.checked_title(title) == kept


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
        ("a\u200bb", "The title contains an invisible character"),
        ("photo\u202egpj.exe", "The title contains an invisible character"),
        ("\u3164", "The title contains an invisible character"),
        ("\u0301", "The title contains an invisible character"),
        ("a\u00adb", "The title contains an invisible character"),
        ("ada\u200d", "The title contains an invisible character"),
    ],
)
def test_each_rule_of_titles_has_its_own_message(title: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fields.checked_title(title)


@given(st.text(max_size=300))
def test_a_title_that_is_accepted_is_never_a_path(title: str) -> None:
    try:
        kept = fields.checked_title(title)
    except ValueError:
        return
    assert 1 <= len(kept) <= 255
    assert not set(kept) & set("/\\\0\r\n")
    assert kept not in (".", "..")
    assert fields.checked_title(kept) == kept


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
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("\u200b\ufeff", "image.png"),
        ("\u2764\ufe0f.png", "\u2764\ufe0f.png"),
        ("\U0001f469\u200d\U0001f680.png", "\U0001f469\u200d\U0001f680.png"),
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        ),
        ("a\u200db.png", "ab.png"),
    ],
)
def test_any_filename_gives_a_title(filename: str | None, title: str) -> None:
    assert fields.title_from_filename(filename, "png") == title


@given(st.one_of(st.none(), st.text(max_size=400)))
def test_a_title_from_a_filename_keeps_the_rules_of_titles(filename: str | None) -> None:
    title = fields.title_from_filename(filename, "png")
    assert fields.checked_title(title) == title


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
    assert fields.parse_resolution(resolution) == size


@pytest.mark.parametrize(
    "resolution",
    ["", "1920", "x", "0x5", "5x0", "-1x5", "1.5x2", "1920×1080", "1920 x 1080", "1_0x5", "٣x٣"],  # noqa: RUF001
)
def test_what_is_not_a_resolution_is_refused_with_an_example(resolution: str) -> None:
    with pytest.raises(ValueError, match="must look like 1920x1080"):
        fields.parse_resolution(resolution)


@pytest.mark.parametrize("resolution", ["10001x1", "1x10001", "10000x5001", "99999x99999"])
def test_a_resolution_beyond_what_can_be_rendered_is_refused(resolution: str) -> None:
    with pytest.raises(ValueError, match="too large"):
        fields.parse_resolution(resolution)


def test_a_resolution_is_kept_in_one_form() -> None:
    assert Changes(resolution=" 640X480 ").resolution == "640x480"


def problems(**fields: object) -> list[str]:
    with pytest.raises(ValidationError) as refused:
        Changes.model_validate(fields)
    return [str(problem["msg"]) for problem in refused.value.errors()]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "Send at least one of title, description, tags, "),
        ({"title": None}, "Send at least one of title, description, tags, "),
        ({"fit": "cover"}, "fit says how a resolution is reached: send both"),
        ({"fit": "cover", "title": "x"}, "fit says how a resolution is reached: send both"),
        ({"title": ""}, "The title is empty"),
        ({"title": 7}, "valid string"),
        ({"resolution": "big"}, "must look like"),
        ({"resolution": ["1x1"]}, "valid string"),
        ({"resolution": "1x1", "fit": "fill"}, "'cover', 'contain' or 'stretch'"),
        ({"visibility": "hidden"}, "'shared', 'private' or 'public'"),
        ({"title": "x", "status": "ready"}, "Extra inputs are not permitted"),
        ({"user_id": 2}, "Extra inputs are not permitted"),
        ({"description": "x" * 2001}, "The description has 2001 characters"),
        # Composed it is longer than it was sent.
        ({"description": "\u0958" * 1001}, "The description has 2002 characters"),
        ({"description": "a\x00b"}, "control character"),
        ({"description": "a\ud800b"}, "control character"),
        ({"tags": "holiday"}, "valid list"),
        ({"tags": [" "]}, "A tag has 0 characters"),
        ({"tags": ["x" * 65]}, "A tag has 65 characters"),
        ({"tags": ["a\nb"]}, "control character"),
        ({"tags": ["a\u202eb"]}, "invisible character"),
        ({"tags": ["\u200b"]}, "invisible character"),
        ({"tags": [str(number) for number in range(33)]}, "at most 32 items"),
        ({"trashed": "true"}, "valid boolean"),
        ({"trashed": 1}, "valid boolean"),
    ],
)
def test_a_change_that_breaks_a_rule_is_refused(fields: dict[str, object], message: str) -> None:
    assert any(message in problem for problem in problems(**fields))


def test_only_the_fields_that_were_sent_are_changed(
    records: FakeImageRecords, sink: RecordingSink
) -> None:
    image_id = accepted_image(records)
    changes = Changes(title="../new.png", resolution="100X50", visibility=None)
    editing.update(records, sink, Caller(ADA, "request-2"), image_id, changes)
    (event,) = sink.events
    assert event.type == events.UPDATE_REQUESTED
    assert event.data["changes"] == {"title": "new.png", "resolution": "100x50"}


@pytest.mark.parametrize("image_id", [1, 2])
def test_somebody_elses_image_and_a_missing_one_get_the_same_answer(
    records: FakeImageRecords, sink: RecordingSink, image_id: int
) -> None:
    accepted_image(records, "private")
    with pytest.raises(ImageNotFound):
        images.get(records, FakeUrlSigner(), BOB, image_id)
    with pytest.raises(ImageNotFound):
        editing.update(records, sink, Caller(BOB, ""), image_id, Changes(title="mine"))
    with pytest.raises(ImageNotFound):
        editing.delete(records, sink, Caller(BOB, ""), image_id)
    assert sink.events == []


def test_a_shared_image_can_be_read_but_not_changed_by_others(
    records: FakeImageRecords, sink: RecordingSink
) -> None:
    image_id = accepted_image(records)
    assert images.get(records, FakeUrlSigner(), BOB, image_id)["id"] == image_id
    with pytest.raises(ImageNotFound):
        editing.delete(records, sink, Caller(BOB, ""), image_id)


def test_a_deleted_image_is_asked_to_be_removed(
    records: FakeImageRecords, sink: RecordingSink
) -> None:
    image_id = accepted_image(records)
    accepted = editing.delete(records, sink, Caller(ADA, "request-3"), image_id)
    assert accepted.id == image_id
    (event,) = sink.events
    assert (event.type, event.correlation_id) == (events.DELETE_REQUESTED, "request-3")


def test_links_are_signed_only_where_there_is_something_to_open(
    records: FakeImageRecords,
) -> None:
    image_id = accepted_image(records)
    fresh = images.get(records, FakeUrlSigner(), ADA, image_id)
    assert (fresh["url"], fresh["thumbnail_url"]) == (None, None)
    records.images[image_id].update(url="storage/a/image.png", thumbnail_url="storage/a/t.webp")
    ready = images.get(records, FakeUrlSigner(), ADA, image_id)
    assert ready["url"] == "https://storage.example.com/storage/a/image.png?signed"
    assert ready["thumbnail_url"] == "https://storage.example.com/storage/a/t.webp?signed"


def test_control_characters_are_those_of_unicode() -> None:
    for code in [*range(0x20), *range(0x7F, 0xA0)]:
        assert unicodedata.category(chr(code)) == "Cc"
        with pytest.raises(ValueError, match=r"control character|empty"):
            fields.checked_title(f"a{chr(code)}b")


@pytest.mark.parametrize("resolution", ["5000x4000", "1000x1000"])
def test_a_size_that_so_many_frames_cannot_have_is_refused(
    records: FakeImageRecords, sink: RecordingSink, resolution: str
) -> None:
    image_id = accepted_image(records)
    records.images[image_id]["frames"] = 101
    changes = Changes(resolution=resolution, visibility="private")
    with pytest.raises(InvalidRequest, match=f"101 frames of {resolution}"):
        editing.update(records, sink, Caller(ADA, ""), image_id, changes)
    assert sink.events == []


@pytest.mark.parametrize(
    ("frames", "resolution"), [(1, "8000x6000"), (None, "8000x6000"), (100, "1000x1000")]
)
def test_a_size_that_can_be_made_is_accepted(
    records: FakeImageRecords, sink: RecordingSink, frames: int | None, resolution: str
) -> None:
    image_id = accepted_image(records)
    records.images[image_id]["frames"] = frames
    assert editing.update(records, sink, Caller(ADA, ""), image_id, Changes(resolution=resolution))


def test_a_part_of_a_title_is_looked_for_as_titles_are_kept() -> None:
    part = TypeAdapter(fields.TitlePart).validate_python(" re\u0301sume\u0301 ")

    assert part == fields.checked_title("r\u00e9sum\u00e9")
