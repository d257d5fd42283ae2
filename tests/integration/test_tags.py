"""Tags are counted as images come, change and go, and listed for whoever may see them."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pg8000.native import Connection

from image_api.core.library.tagging import Position
from image_api.errors import Unauthenticated
from image_api.postgres.database import Database
from image_api.postgres.tags import PostgresTagRecords
from tests.integration.real_services import connect

VISIBILITIES = ("shared", "private", "trashed")
TAGS = ("Night", "köln", "a,b", "null", "beach", "x" * 64)


@pytest.fixture
def tag_records(database: Database) -> PostgresTagRecords:
    return PostgresTagRecords(database)


def add(sql: Connection, user_id: int, visibility: str, *tags: str, count: int = 1) -> None:
    sql.run(
        "INSERT INTO images (user_id, title, visibility, original_key, object_key, content_type, "
        "size_bytes, width, height, tags, tag_keys, visibility_aside, trashed_at) "
        "SELECT :user_id, 't', :visibility, gen_random_uuid(), 'k', 'image/png', 1, 1, 1, t.tags, "
        "ARRAY(SELECT lower(u) FROM unnest(t.tags) AS u), 'shared', now() "
        "FROM generate_series(1, :count), "
        "(SELECT ARRAY(SELECT json_array_elements_text(:tags::json)) AS tags) AS t",
        user_id=user_id,
        visibility=visibility,
        tags=json.dumps(tags),
        count=count,
    )


def kept(sql: Connection) -> dict[tuple[int, str], tuple[int, int]]:
    rows = sql.run("SELECT user_id, tag_key, images, shown FROM tag_totals")
    return {(user_id, key): (images, shown) for user_id, key, images, shown in rows}


def counted(sql: Connection) -> dict[tuple[int, str], tuple[int, int]]:
    """What is true; user 0 is everybody."""
    images: Counter[tuple[int, str]] = Counter()
    shown: Counter[tuple[int, str]] = Counter()
    for user_id, visibility, keys in sql.run(
        "SELECT user_id, visibility, tag_keys FROM images WHERE deleted_at IS NULL"
    ):
        is_shown = visibility == "shared"
        for key in keys:
            for whose in (user_id, 0):
                images[whose, key] += is_shown if whose == 0 else visibility != "trashed"
                shown[whose, key] += is_shown
    return {each: (images[each], shown[each]) for each in images if images[each]}


@pytest.mark.parametrize("seed", range(4))
def test_the_totals_are_true_after_any_changes(
    sql: Connection, add_user: Callable[[str], int], seed: int
) -> None:
    chance = random.Random(seed)
    users = [add_user(name) for name in ("Ada", "Bob", "Eve")]
    changes = (
        *(
            f"visibility = '{each}', visibility_aside = 'shared', trashed_at = now()"
            for each in (VISIBILITIES)
        ),
        "deleted_at = now()",
        "deleted_at = NULL",
        "tags = '{}', tag_keys = '{}'",
        "tags = ARRAY['NIGHT', 'new'], tag_keys = ARRAY['night', 'new']",
        "status = 'ready'",
    )
    for _ in range(80):
        match chance.randrange(4):
            case 0:
                tags = chance.sample(TAGS, chance.randint(0, 4))
                add(sql, chance.choice(users), chance.choice(VISIBILITIES), *tags, count=2)
            case 1:
                sql.run("DELETE FROM images WHERE id % 11 = :rest", rest=chance.randrange(11))
            case _:
                sql.run(
                    f"UPDATE images SET {chance.choice(changes)} WHERE id % 3 = :rest",
                    rest=chance.randrange(3),
                )
        assert kept(sql) == counted(sql)
    sql.run("DELETE FROM images")
    assert kept(sql) == {}


def test_users_who_tag_side_by_side_neither_lose_counts_nor_deadlock(
    sql: Connection, database_url: str, add_user: Callable[[str], int]
) -> None:
    users = [add_user(f"user {number}") for number in range(6)]

    def work(user_id: int) -> None:
        chance = random.Random(user_id)
        connection = connect(database_url)
        try:
            for _ in range(12):
                add(connection, user_id, "shared", *chance.sample(TAGS, 4), count=2)
                connection.run(
                    "UPDATE images SET visibility = 'private' WHERE user_id = :user_id AND "
                    "id % 2 = 0",
                    user_id=user_id,
                )
                connection.run(
                    "DELETE FROM images WHERE user_id = :user_id AND id % 5 = 0", user_id=user_id
                )
        finally:
            connection.close()

    with ThreadPoolExecutor(len(users)) as threads:
        list(threads.map(work, users))
    assert kept(sql) == counted(sql)


def read_through(
    records: PostgresTagRecords, user_id: int, owner_id: int | None, limit: int
) -> list[tuple[str, int]]:
    seen: list[dict[str, Any]] = []
    after: Position | None = None
    while True:
        page = records.tags(user_id, owner_id, limit, after)
        assert len(page.tags) <= limit
        seen += page.tags
        after = page.next_after
        if after is None:
            return [(each["tag"], each["images"]) for each in seen]
        assert len(page.tags) == limit


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_everybody_is_shown_the_tags_of_what_they_may_see(
    tag_records: PostgresTagRecords, sql: Connection, add_user: Callable[[str], int], limit: int
) -> None:
    ada, bob = add_user("Ada"), add_user("Bob")
    add(sql, ada, "shared", "Night", "köln", count=3)
    add(sql, ada, "private", "night", "secret", count=2)
    add(sql, bob, "shared", "beach", "KÖLN", count=4)
    add(sql, bob, "private", "diary", "beach")
    add(sql, ada, "trashed", "night", "thrown away")

    def tags(user_id: int, owner_id: int | None = None) -> list[tuple[str, int]]:
        return read_through(tag_records, user_id, owner_id, limit)

    assert tags(ada) == [("köln", 7), ("Night", 5), ("beach", 4), ("secret", 2)]
    assert tags(bob) == [("köln", 7), ("beach", 5), ("Night", 3), ("diary", 1)]
    assert tags(ada, ada) == [("Night", 5), ("köln", 3), ("secret", 2)]
    assert tags(bob, ada) == [("köln", 3), ("Night", 3)]
    assert tags(ada, bob) == [("beach", 4), ("KÖLN", 4)]
    assert tags(ada, 99) == []


def test_a_user_who_was_deleted_is_not_signed_in_any_more(
    tag_records: PostgresTagRecords, database_url: str
) -> None:
    with pytest.raises(Unauthenticated):
        tag_records.tags(99, None, 10, None)
