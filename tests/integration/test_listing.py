"""A list has what reading all images finds, in the order asked for, whichever way it is read."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any, get_args

import pytest
from pg8000.native import Connection

from image_api.core.library.listing import Filters, ListQuery, Sort
from image_api.postgres import database as database_module
from image_api.postgres import listing
from image_api.postgres.database import Database
from image_api.postgres.images import PostgresImageRecords

TITLES = (
    *("aaaa", "aab.png", "Strand bei Köln", "STRASSE", "straße", "İstanbul", "ISTANBUL"),
    *("猫", "黒猫と犬", "a", "ab", "%_\\", "IMG_0001.jpg", "IMG_0002.jpg", "zz", "ÉTÉ", "été 2024"),
)
PARTS = (
    *(
        "a",
        "aa",
        "aaa",
        "aaaa",
        "aaaaa",
        "b",
        "ab",
        "aab",
        "img_",
        "_0002",
        "猫",
        "猫と",
        "犬",
        "ß",
    ),
    *("SS", "str", "Köln", "KÖLN", "é", "ÉTÉ", "İ", "i", "%", "_\\", "zzz", "n b", "user 1"),
    *("shared", "private"),
)
TAGS = ("Night", "köln", "a,b", "null", '"', "beach")
SORTS: tuple[Sort, ...] = get_args(Sort)
WORDS = ("img", "0001 IMG", "köln", "strand BEI", "été", "night", "roof", "jpg img", "x1", "猫")
ADA, BOB = 1, 2
START, LATER = "2026-01-01T00:00:40.000000Z", "2026-01-01T00:02:30.000000Z"


@pytest.fixture
def low_limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """So that few images are many, and every way is taken."""
    listing.page_statement.cache_clear()
    for name, value in (
        *(("MOST_COUNTED", 12), ("_SAMPLE", 8), ("_COMMON", 4), ("READ_AT_MOST", 25)),
        *(("_SPREAD_OVER", 4), ("_MOST_RARE", 3)),
    ):
        monkeypatch.setattr(listing, name, value)
    yield
    listing.page_statement.cache_clear()


def fill(sql: Connection, users: int, images: int) -> None:
    chance = random.Random(7)
    sql.run(
        "INSERT INTO users (username, username_key, password_hash) "
        "SELECT n, n, 'h' FROM generate_series(1, :users::integer) AS n",
        users=users,
    )
    for number in range(images):
        # The newest have much in common, as after an upload of a whole folder.
        titles = TITLES if number < images * 2 / 3 else ("IMG_0001.jpg", "aaaa")
        tags = [tag for tag in TAGS if chance.random() < 0.2]
        visibility = chance.choice(("shared", "private", "public", "trashed"))
        sql.run(
            "INSERT INTO images (user_id, title, visibility, status, original_key, object_key, "
            "content_type, size_bytes, width, height, deleted_at, description, tags, tag_keys, "
            "created_at, taken_at, visibility_aside, trashed_at, public_secret) "
            "SELECT :user_id, :title, replace(:visibility::text, 'public', 'shared'), :status, "
            ":key, :key, :type, :size, 1, 1, "
            "CASE WHEN :gone THEN now() END, :description, t.tags, t.tags, "
            "'2026-01-01T00:00:00Z'::timestamptz + make_interval(secs => :age::integer), "
            "'2020-01-01'::timestamp + make_interval(hours => nullif(:hours::integer, 0)), "
            "CASE :visibility::text WHEN 'trashed' THEN 'shared' END, "
            "CASE :visibility::text WHEN 'trashed' THEN now() END, "
            "CASE :visibility::text WHEN 'public' THEN 'secret' END "
            "FROM (SELECT ARRAY(SELECT lower(json_array_elements_text(:tags::json))) AS tags) AS t",
            user_id=chance.randint(1, users),
            title=chance.choice(titles),
            visibility=visibility,
            status=chance.choice(("processing", "ready", "failed")),
            key=f"storage/{number}",
            type=chance.choice(("image/png", "image/jpeg", "image/jpeg")),
            size=chance.randint(1, 30),
            gone=chance.random() < 0.1,
            description=chance.choice(("", "From the roof, in the night", "x1 / x2")),
            tags=json.dumps(tags),
            # Several at the same moment, and not in the order of their ids.
            age=chance.randint(0, images),
            hours=chance.choice((0, 0, *range(images // 2))),
        )
    sql.run(
        "UPDATE images SET title = 'Renamed ' || id, visibility = 'private', size_bytes = 99, "
        "visibility_aside = NULL WHERE id % 10 = 0"
    )
    sql.run("UPDATE images SET taken_at = '2019-01-01' WHERE id % 11 = 0")
    sql.run("UPDATE images SET tags = ARRAY['x'], tag_keys = ARRAY['x'] WHERE id % 13 = 0")
    sql.run("UPDATE images SET deleted_at = now() WHERE id % 17 = 0")
    sql.run("DELETE FROM images WHERE id % 23 = 0")


class Oracle:
    """All images, looked through one by one."""

    def __init__(self, sql: Connection) -> None:
        columns = (
            "id, user_id, title, CASE WHEN visibility = 'shared' AND public_secret IS NOT NULL "
            "THEN 'public' ELSE visibility END, status, content_type, size_bytes, tag_keys, "
            "rfc3339(created_at), lower(title), words_of(title || ' ' || description || ' ' || "
            "array_to_string(tags, ' ')), coalesce(taken_at::text, '')"
        )
        names = (
            *("id", "user_id", "title", "visibility", "status", "content_type", "size"),
            *("tag_keys", "created_at", "folded", "words", "taken_at"),
        )
        self._sql = sql
        self._images = [
            dict(zip(names, row, strict=True))
            for row in sql.run(f"SELECT {columns} FROM images WHERE deleted_at IS NULL")
        ]

    def _folded(self, text: str) -> str:
        return str(self._sql.run("SELECT lower(:text::text)", text=text)[0][0])

    def ids(self, user_id: int, query: ListQuery) -> list[int]:
        wanted = query.filters
        words = self._sql.run("SELECT words_of(:q::text)", q=wanted.q or "")[0][0]
        part = self._folded(wanted.title or "")

        def is_seen(image: dict[str, Any]) -> bool:
            if wanted.trashed:
                return bool(image["visibility"] == "trashed" and image["user_id"] == user_id)
            return image["visibility"] in ("shared", "public") or (
                image["visibility"] == "private" and image["user_id"] == user_id
            )

        def matches(image: dict[str, Any]) -> bool:
            return (
                wanted.owner_id in (None, image["user_id"])
                and (wanted.ids is None or image["id"] in wanted.ids)
                and wanted.status in (None, image["status"])
                and part in image["folded"]
                and set(words) <= set(image["words"])
                and set(wanted.tag_keys) <= set(image["tag_keys"])
                and wanted.visibility in (None, image["visibility"])
                and wanted.content_type in (None, image["content_type"])
                and (wanted.created_after or "") < image["created_at"]
                and image["created_at"] < (wanted.created_before or "9")
            )

        column = query.sort.removeprefix("-").replace("title", "folded")
        found = [image for image in self._images if is_seen(image) and matches(image)]
        # Code points and bytes of UTF-8 have the same order.
        found.sort(key=lambda image: (image[column], image["id"]), reverse=query.sort[0] == "-")
        return [image["id"] for image in found]


def read_through(
    records: PostgresImageRecords, user_id: int, query: ListQuery
) -> tuple[list[int], int, bool, int]:
    """The ids of all pages, the total, whether that is exact, and how many pages were short."""
    seen: list[int] = []
    totals: set[tuple[int, bool]] = set()
    short, after = 0, query.after
    while True:
        page = records.page(user_id, ListQuery(query.filters, query.sort, query.limit, after))
        seen += [image["id"] for image in page.images]
        totals.add((page.total, page.is_total_exact))
        after = page.next_after
        if after is None:
            break
        short += len(page.images) < query.limit
        assert len(seen) < 1000
    ((total, is_exact),) = totals
    return seen, total, is_exact, short


def asked(filters: Filters, sort: Sort, limit: int) -> ListQuery:
    """The order of capture is that of one's own."""
    if sort == "-taken_at":
        filters = replace(filters, owner_id=ADA)
    return ListQuery(filters, sort, limit)


SINGLE = (
    Filters(),
    *(Filters(owner_id=owner_id) for owner_id in (ADA, BOB, 99)),
    *(Filters(status=status) for status in ("processing", "ready", "failed")),
    *(Filters(visibility=each) for each in ("shared", "private", "public")),
    *(Filters(content_type=each) for each in ("image/png", "image/jpeg", "image/bmp")),
    *(Filters(title=part) for part in ("a", "img", "köln", "zzz", "shared")),
    *(Filters(q=words) for words in WORDS),
    *(Filters(tag_keys=(tag.lower(),)) for tag in (*TAGS, "missing")),
    Filters(tag_keys=("beach", "köln")),
    Filters(ids=tuple(range(1, 60, 3))),
    Filters(created_after=START),
    Filters(created_before=LATER),
    Filters(created_after=START, created_before=LATER),
    Filters(trashed=True),
)


@pytest.mark.usefixtures("low_limits")
def test_any_one_filter_goes_with_any_sort(
    image_records: PostgresImageRecords, sql: Connection
) -> None:
    fill(sql, users=3, images=240)
    oracle = Oracle(sql)
    capped = 0
    for filters, sort in product(SINGLE, SORTS):
        query = asked(filters, sort, limit=5)
        wanted = oracle.ids(ADA, query)
        seen, total, is_exact, _ = read_through(image_records, ADA, query)
        assert seen == wanted, query
        assert total == len(wanted) if is_exact else total <= len(wanted), query
        is_kept = filters in (Filters(), Filters(status="ready")) or filters.owner_id is not None
        if is_kept or filters.visibility == "private" or filters.trashed or len(wanted) <= 12:
            assert is_exact or filters.status is not None, query
        capped += not is_exact
    assert capped > 20


@pytest.mark.usefixtures("low_limits")
def test_filters_go_together_with_any_sort(
    image_records: PostgresImageRecords, sql: Connection
) -> None:
    fill(sql, users=3, images=240)
    oracle, chance = Oracle(sql), random.Random(3)
    short_pages = 0
    for _ in range(800):
        trashed = chance.random() < 0.2
        choose: Any = lambda choices, often=0.3: (  # noqa: E731
            chance.choice(choices) if chance.random() < often else None
        )
        filters = Filters(
            owner_id=choose((ADA,) if trashed else (ADA, BOB)),
            status=choose(("processing", "ready", "failed")),
            title=choose(("a", "img", "0001", "aa")),
            q=choose(("img", "roof", "night roof", "x1")),
            tag_keys=choose((("night",), ("beach", "köln"))) or (),
            visibility=None if trashed else choose(("shared", "private", "public")),
            content_type=choose(("image/png", "image/jpeg")),
            created_after=choose((START,)),
            created_before=choose((LATER,)),
            ids=choose((tuple(range(1, 200, 20)),), 0.1),
            trashed=trashed,
        )
        query = asked(filters, chance.choice(SORTS), limit=chance.choice((1, 4, 30)))
        wanted = oracle.ids(ADA, query)
        seen, total, is_exact, short = read_through(image_records, ADA, query)
        assert seen == wanted, query
        assert total == len(wanted) if is_exact else total <= len(wanted), query
        short_pages += short
    assert short_pages > 20


@pytest.mark.usefixtures("low_limits")
def test_each_part_finds_what_reading_all_titles_finds(
    image_records: PostgresImageRecords, sql: Connection
) -> None:
    fill(sql, users=3, images=240)
    oracle = Oracle(sql)
    for part, owner_id in product(PARTS, (None, ADA)):
        query = ListQuery(Filters(title=part, owner_id=owner_id), limit=5)
        assert read_through(image_records, ADA, query)[0] == oracle.ids(ADA, query), query


@pytest.mark.usefixtures("low_limits")
def test_what_was_many_is_not_counted_again_for_a_while_and_pages_are_right_whatever_came_of_it(
    database: Database, sql: Connection
) -> None:
    now_seconds = [0.0]
    records = PostgresImageRecords(database, now_seconds=lambda: now_seconds[0])
    fill(sql, users=2, images=240)
    late = 0
    for filters, sort in product(SINGLE, SORTS):
        query = asked(filters, sort, limit=5)
        _, total, is_exact, _ = read_through(records, ADA, query)
        if is_exact or total < 12:
            continue
        hidden = Oracle(sql).ids(ADA, query)[3:]
        sql.run("UPDATE images SET deleted_at = now() WHERE id = ANY(:ids)", ids=hidden)
        wanted = Oracle(sql).ids(ADA, query)
        seen, total, is_exact, _ = read_through(records, ADA, query)
        assert seen == wanted, query
        # Nor is it exact where some images are of one visibility and some of another.
        assert (total, is_exact) in ((12, False), (len(wanted), True)), query
        late += not is_exact
        now_seconds[0] += 15
        assert read_through(records, ADA, query)[:2] == (wanted, len(wanted)), query
        sql.run("UPDATE images SET deleted_at = NULL WHERE id = ANY(:ids)", ids=hidden)
    assert late > 20


def test_a_page_that_is_full_leads_on_only_if_there_is_more(
    image_records: PostgresImageRecords, sql: Connection
) -> None:
    fill(sql, users=2, images=60)
    for filters, sort in product((Filters(), Filters(title="img"), Filters(q="img")), SORTS):
        wanted = Oracle(sql).ids(ADA, asked(filters, sort, limit=1))
        last = image_records.page(ADA, asked(filters, sort, limit=len(wanted)))
        assert (len(last.images), last.next_after) == (len(wanted), None)
        before = image_records.page(ADA, asked(filters, sort, limit=len(wanted) - 1))
        assert before.next_after is not None
        assert before.next_after.image_id == wanted[-2]


@pytest.mark.usefixtures("low_limits")
def test_only_what_turns_out_to_be_many_takes_a_statement_more(
    database: Database, sql: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = PostgresImageRecords(database, now_seconds=lambda: 0.0)
    fill(sql, users=2, images=240)
    asked_for: list[str] = []
    rows = database.rows

    def counted(statement: str, **parameters: Any) -> list[Any]:
        asked_for.append(statement)
        return rows(statement, **parameters)

    monkeypatch.setattr(database, "rows", counted)

    def statements(query: ListQuery) -> int:
        asked_for.clear()
        page = records.page(ADA, query)
        assert [image["id"] for image in page.images] == wanted[: query.limit]
        return len(asked_for)

    common = ListQuery(Filters(status="failed"), limit=5)
    wanted = Oracle(sql).ids(ADA, common)
    # One more for each visibility at most, and each time it is another one.
    assert 2 <= statements(common) <= 4
    assert statements(common) == 1
    few = ListQuery(Filters(q="0001", tag_keys=("beach", "night")), limit=5)
    wanted = Oracle(sql).ids(ADA, few)
    assert wanted
    assert statements(few) == 1


@pytest.mark.usefixtures("low_limits")
def test_pages_stay_the_same_while_images_come_and_go(
    image_records: PostgresImageRecords, sql: Connection
) -> None:
    fill(sql, users=2, images=60)
    for sort in SORTS:
        query = asked(Filters(status="ready"), sort, limit=3)
        wanted = Oracle(sql).ids(ADA, query)
        seen: list[int] = []
        after = None
        while True:
            page = image_records.page(ADA, ListQuery(query.filters, sort, 3, after))
            seen += [image["id"] for image in page.images]
            after = page.next_after
            if after is None:
                break
            # One that was shown already: an OFFSET would now skip the next one.
            sql.run("UPDATE images SET deleted_at = now() WHERE id = :id", id=seen[0])
        sql.run("UPDATE images SET deleted_at = NULL WHERE id = :id", id=seen[0] if seen else 0)
        assert seen == wanted, sort


def test_what_is_listed_follows_every_change_of_an_image(
    image_records: PostgresImageRecords, sql: Connection
) -> None:
    fill(sql, users=3, images=60)
    assert sql.run(
        "SELECT count(*) FROM (SELECT l.* FROM images AS i, LATERAL listed_row(i) AS l "
        "WHERE i.deleted_at IS NULL EXCEPT SELECT * FROM listed_images) AS missing"
    ) == [[0]]
    assert (
        sql.run(
            "SELECT (SELECT count(*) FROM listed_images), "
            "(SELECT count(*) FROM images WHERE deleted_at IS NULL)"
        )[0][0]
        == sql.run("SELECT count(*) FROM images WHERE deleted_at IS NULL")[0][0]
    )


def test_however_many_ways_a_list_is_asked_for_few_statements_are_kept(
    image_records: PostgresImageRecords,
    database: Database,
    sql: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(database_module, "MAX_PREPARED", 3)
    fill(sql, users=1, images=5)
    wanted = Oracle(sql).ids(ADA, ListQuery())
    for _ in range(2):
        for sort in SORTS:
            image_records.page(ADA, ListQuery(sort=sort))
    assert database.rows("SELECT count(*) FROM pg_prepared_statements") in ([[3]], [[4]])
    assert read_through(image_records, ADA, ListQuery())[0] == wanted


@pytest.mark.parametrize(
    ("searched", "words"),
    [
        ("", []),
        ("IMG_0001.jpg", ["0001", "img", "jpg"]),
        ("Köln, am Rhein\u2014früh", ["am", "früh", "köln", "rhein"]),
        ("a-b/c\\d a", ["a", "b", "c", "d"]),
        ("「黒猫」と犬\u3000。", ["と犬", "黒猫"]),
        ("x" * 100, ["x" * 64]),
        ("o\u2019clock\u00a0now", ["clock", "now", "o"]),
    ],
)
def test_words_are_what_stands_between_spaces_and_punctuation(
    database: Database, searched: str, words: list[str]
) -> None:
    assert sorted(database.only_row("SELECT words_of(:s::text)", s=searched)[0]) == words
