"""A part of a title finds what it finds in every title, whichever way the search takes."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from pg8000.native import Connection

from image_api.core.images import ListQuery, Status
from image_api.postgres import images as image_records
from image_api.postgres import title_search
from image_api.postgres.images import PostgresImageRecords

STATUSES: tuple[Status, ...] = ("processing", "ready", "failed")
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
    *(
        "SS",
        "str",
        "Köln",
        "KÖLN",
        "é",
        "ÉTÉ",
        "İ",
        "i",
        "%",
        "_\\",
        "zzz",
        "n b",
        "user 1",
        "shared",
    ),
)


@pytest.fixture
def low_limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """So that few images are many, and every way is taken."""
    image_records._page_statement.cache_clear()
    for module in (title_search, image_records):
        monkeypatch.setattr(module, "MOST_COUNTED", 12)
    for name, value in (("_SAMPLE", 8), ("_COMMON", 4), ("_READ_AT_MOST", 40)):
        monkeypatch.setattr(title_search, name, value)
    yield
    image_records._page_statement.cache_clear()


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
        sql.run(
            "INSERT INTO images (user_id, title, visibility, status, original_key, object_key, "
            "content_type, size_bytes, width, height, deleted_at) VALUES (:user_id, :title, "
            ":visibility, :status, :key, :key, 'image/png', 1, 1, 1, "
            "CASE WHEN :gone THEN now() END)",
            user_id=chance.randint(1, users),
            title=chance.choice(titles),
            visibility=chance.choice(("shared", "private")),
            status=chance.choice(STATUSES),
            key=f"storage/{number}",
            gone=chance.random() < 0.1,
        )
    sql.run("UPDATE images SET title = 'Renamed ' || id, visibility = 'private' WHERE id % 10 = 0")
    sql.run("UPDATE images SET deleted_at = now() WHERE id % 17 = 0")
    sql.run("DELETE FROM images WHERE id % 23 = 0")


def expected(sql: Connection, user_id: int, query: ListQuery) -> list[int]:
    rows = sql.run(
        "SELECT id FROM images WHERE deleted_at IS NULL "
        "AND (user_id = :user_id OR (visibility = 'shared' AND NOT :mine)) "
        "AND (status = :status OR :status IS NULL) "
        "AND title ILIKE '%' || regexp_replace(:title, '([%_\\\\])', '\\\\\\1', 'g') || '%' "
        "ORDER BY id DESC",
        user_id=user_id,
        mine=query.mine_only,
        status=query.status,
        title=query.title,
    )
    return [row[0] for row in rows]


@pytest.mark.usefixtures("low_limits")
def test_each_part_finds_what_reading_all_titles_finds(
    image_records: PostgresImageRecords, sql: Connection
) -> None:
    fill(sql, users=3, images=240)
    capped = 0
    for part in PARTS:
        for mine_only in (False, True):
            for status in (None, *STATUSES):
                query = ListQuery(limit=5, mine_only=mine_only, status=status, title=part)
                wanted = expected(sql, 1, query)
                seen: list[int] = []
                before_id: int | None = None
                while True:
                    page = image_records.page(1, ListQuery(5, before_id, mine_only, status, part))
                    assert (page.total, page.is_total_exact) == (
                        (len(wanted), True) if len(wanted) <= 12 else (12, False)
                    ), query
                    ids = [image["id"] for image in page.images]
                    seen += ids[:5]
                    if len(ids) <= 5:
                        break
                    before_id = seen[-1]
                assert seen == wanted, query
                capped += len(wanted) > 12
    assert capped > 20
