"""What a list may be asked for, and the cursors that lead through it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from image_api.core.library import cursors, listing
from image_api.core.library.listing import Filters, ListQuery, Position, SentFilters
from image_api.errors import InvalidRequest
from tests.fakes import FakeImageRecords, FakeUrlSigner
from tests.unit.core.test_images import ADA, BOB, accepted_image

NONE = Filters()
MOMENT = "2026-11-02T18:10:16.510939Z"


@pytest.fixture
def records() -> FakeImageRecords:
    return FakeImageRecords({ADA, BOB})


@pytest.mark.parametrize(
    ("sort", "position"),
    [
        ("-created_at", Position(MOMENT, 7)),
        ("created_at", Position("0001-01-01T00:00:00.000000Z", 2**63 - 1)),
        ("title", Position("", 1)),
        ("-title", Position("übër 🖼 \\ ' \"", 1)),
        ("size", Position("0", 1)),
        ("-size", Position(str(2**63 - 1), 1)),
        ("-taken_at", Position("2024-11-02T18:10:16", 1)),
        ("-taken_at", Position("-infinity", 1)),
    ],
)
def test_a_cursor_leads_back_to_its_position(sort: listing.Sort, position: Position) -> None:
    cursor = listing.encode_cursor(NONE, sort, position)
    assert cursor.replace("-", "").replace("_", "").isalnum()
    assert listing.decode_cursor(cursor, NONE, sort) == position


@pytest.mark.parametrize(
    "cursor",
    ["abc", "!!!", "i1", "aTA", "aTE=====", "ä", "\ud800", "x" * 10_000, "W10", "e30", "bnVsbA"],
)
def test_garbage_is_not_a_cursor(cursor: str) -> None:
    with pytest.raises(InvalidRequest, match="not valid"):
        listing.decode_cursor(cursor, NONE, "title")


@pytest.mark.parametrize(
    ("sort", "position"),
    [
        *(("-created_at", (key, 1)) for key in ("now", "2026-11-02", "infinity", "", 7, None)),
        *(("size", (key, 1)) for key in ("-1", "1.5", "x", "9223372036854775808", "01", 5)),
        *(("-taken_at", (key, 1)) for key in ("infinity", "2024-11-02", "2024-13-02T00:00:00", 5)),
        *(("title", (key, 1)) for key in ("a\0b", "\ud800", "x" * 2000, None)),
        *(("title", ("a", id_)) for id_ in (-1, 2**63, "1", None, 1.5)),
        ("title", ("a",)),
        ("title", ("a", 1, 2)),
    ],
)
def test_a_cursor_that_somebody_made_is_no_way_to_the_database(
    sort: listing.Sort, position: tuple[Any, ...]
) -> None:
    honest = listing.encode_cursor(NONE, sort, Position("x", 1))
    digest, *_ = json.loads(base64.urlsafe_b64decode(honest + "=" * (-len(honest) % 4)))
    forged = base64.urlsafe_b64encode(json.dumps([digest, *position]).encode()).decode()
    with pytest.raises(InvalidRequest, match="not valid"):
        listing.decode_cursor(forged.rstrip("="), NONE, sort)


@given(st.text(max_size=40))
def test_any_text_is_a_cursor_or_refused_as_one(cursor: str) -> None:
    with pytest.raises(InvalidRequest):
        listing.decode_cursor(cursor, NONE, "title")


def test_a_cursor_belongs_to_one_sort_and_one_set_of_filters() -> None:
    lists: list[tuple[Filters, listing.Sort]] = [
        (NONE, "title"),
        (NONE, "-title"),
        (Filters(title="a"), "title"),
        (Filters(q="a"), "title"),
        (Filters(tag_keys=("a",)), "title"),
        (Filters(owner_id=1), "title"),
        (Filters(ids=(1,)), "title"),
        (Filters(trashed=True), "title"),
    ]
    for filters, sort in lists:
        cursor = listing.encode_cursor(filters, sort, Position("a", 1))
        for other in lists:
            if other == (filters, sort):
                assert listing.decode_cursor(cursor, *other) == Position("a", 1)
            else:
                with pytest.raises(InvalidRequest, match="another sort or to other filters"):
                    listing.decode_cursor(cursor, *other)


def test_the_same_filters_put_otherwise_are_the_same_list() -> None:
    one = SentFilters(owner="me", ids="3,1,3", tags=["B", " a ", "A"], content_type=" Image/PNG ")
    two = SentFilters(owner="7", ids="1,3", tags=["a", "", "b"], content_type="image/png")
    assert listing.filters_of(7, one, "size") == listing.filters_of(7, two, "size")
    assert listing.filters_of(7, one, "size") == Filters(
        7, (1, 3), None, None, None, ("a", "b"), None, ("image/png")
    )


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        (SentFilters(owner="8", trashed=True), "owner"),
        (SentFilters(owner=str(2**63)), "owner"),
        (SentFilters(tags=["a", "b\0"]), "tag"),
        (SentFilters(visibility="shared", trashed=True), "visibility"),
        (SentFilters(owner="8"), "owner"),
    ],
)
def test_what_does_not_go_together_is_refused(sent: SentFilters, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        listing.filters_of(7, sent, "-taken_at")
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("sent", "moment"),
    [
        ("2026-11-02", "2026-11-02T00:00:00.000000Z"),
        (" 2026-11-02T18:10:16z ", "2026-11-02T18:10:16.000000Z"),
        ("2026-11-02T18:10:16.510939+02:00", "2026-11-02T16:10:16.510939Z"),
        ("0001-01-01", "0001-01-01T00:00:00.000000Z"),
    ],
)
def test_a_moment_is_kept_in_utc(sent: str, moment: str) -> None:
    assert TypeAdapter(listing.Moment).validate_python(sent) == moment


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *(
            (listing.Moment, value)
            for value in (
                *("now", "infinity", "2026", "2026-13-01", "2026-11-02T18:10:16", "2026-W01-1"),
                *("2026-11-02T18:10:16 02:00", "0001-01-01T00:00:00+23:59", "20261102", ""),
            )
        ),
        *(
            (listing.Ids, value)
            for value in ("0", "1,", ",1", "1 2", "a", "1," * 100 + "1", "9" * 19)
        ),
        *((listing.Words, value) for value in ("", " - ", "x" * 256, "a\0b")),
        *((listing.Owner, value) for value in ("you", "0", "-1", "ME")),
        *((listing.ContentType, value) for value in ("png", "image/", "a/b/c")),
    ],
)
def test_a_filter_that_breaks_a_rule_is_refused(kind: Any, value: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(value)


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 100])
def test_the_pages_together_are_the_list(records: FakeImageRecords, limit: int) -> None:
    ids = [accepted_image(records) for _ in range(7)]
    seen: list[int] = []
    cursor: str | None = None
    while True:
        query = listing.query_of(NONE, "-created_at", limit, cursor)
        page = listing.list_page(records, FakeUrlSigner(), BOB, query)
        assert len(page.images) <= limit
        assert page.total == 7
        seen += [image["id"] for image in page.images]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == sorted(ids, reverse=True)


def test_an_empty_list_is_one_empty_page(records: FakeImageRecords) -> None:
    page = listing.list_page(records, FakeUrlSigner(), ADA, ListQuery())
    assert page == listing.Page([], total=0, is_total_exact=True, next_cursor=None)


def test_cursors_of_other_lists_are_none_here() -> None:
    with pytest.raises(InvalidRequest):
        listing.decode_cursor(cursors.encode("tags", "a", 1), NONE, "title")
