"""The schema: up, again, down, and two deployments at once; and the totals it keeps."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from pg8000.exceptions import DatabaseError
from pg8000.native import Connection
from sqlalchemy import create_engine, pool

import image_migrations
from image_api.core.accounts import users
from image_api.core.characters import IGNORED_IN_KEYS
from image_api.postgres.database import Database, StatementFailed
from image_migrations import grants
from tests.integration.real_services import TABLES, connect
from tests.waiting import eventually

BEFORE_SEARCHABLE_TITLES = "0004"
BEFORE_KEYS_OF_NAMES = "0009"
BEFORE_CAPTURE_TIMES = "0015"
EVERY_TABLE = {*TABLES, "alembic_version"}


def schema_of(url: str) -> tuple[set[str], list[Any]]:
    """Tables, and everything about columns, constraints, indexes, triggers and functions."""
    connection = connect(url)
    try:
        tables = {
            row[0]
            for row in connection.run(
                "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
            )
        }
        details: list[Any] = [
            connection.run(statement)
            for statement in (
                "SELECT table_name, column_name, data_type, is_nullable, column_default "
                "FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2",
                "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) "
                "FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2",
                "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
                "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger "
                "WHERE NOT tgisinternal ORDER BY 1",
                "SELECT proname, prosrc FROM pg_proc "
                "WHERE pronamespace = 'public'::regnamespace ORDER BY 1",
            )
        ]
    finally:
        connection.close()
    return tables, details


def downgrade(url: str, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(image_migrations.__file__).parent))
    engine = create_engine(
        url.replace("postgresql://", "postgresql+pg8000://"), poolclass=pool.NullPool
    )
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)


def test_an_empty_database_gets_the_whole_schema(empty_database_url: str) -> None:
    revision = image_migrations.upgrade(empty_database_url)
    tables, _ = schema_of(empty_database_url)
    assert tables == EVERY_TABLE
    assert revision != "none"


def test_upgrading_again_changes_nothing(empty_database_url: str) -> None:
    revision = image_migrations.upgrade(empty_database_url)
    before = schema_of(empty_database_url)
    assert image_migrations.upgrade(empty_database_url) == revision
    assert schema_of(empty_database_url) == before


def test_down_and_up_again_ends_where_it_began(empty_database_url: str) -> None:
    image_migrations.upgrade(empty_database_url)
    before = schema_of(empty_database_url)
    downgrade(empty_database_url, "base")
    tables, details = schema_of(empty_database_url)
    assert tables == {"alembic_version"}
    assert details[-1] == []
    image_migrations.upgrade(empty_database_url)
    assert schema_of(empty_database_url) == before


def test_code_that_is_older_than_the_schema_leaves_it_alone(empty_database_url: str) -> None:
    image_migrations.upgrade(empty_database_url)
    connection = connect(empty_database_url)
    # As a later version has left it, whose deployment is rolled back.
    connection.run("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = schema_of(empty_database_url)
    assert image_migrations.upgrade(empty_database_url) == "9999"
    assert schema_of(empty_database_url) == before


def test_two_deployments_at_once_do_not_meet(empty_database_url: str) -> None:
    with ThreadPoolExecutor(2) as threads:
        revisions = list(threads.map(image_migrations.upgrade, [empty_database_url] * 2))
    assert len(set(revisions)) == 1
    assert schema_of(empty_database_url)[0] == EVERY_TABLE


def test_a_migration_that_fails_leaves_nothing_behind(empty_database_url: str) -> None:
    connection = connect(empty_database_url)
    # In the way of a table that comes late in the first revision.
    connection.run("CREATE TABLE inbox (in_the_way integer)")
    connection.close()
    with pytest.raises(Exception, match='relation "inbox" already exists'):
        image_migrations.upgrade(empty_database_url)
    assert schema_of(empty_database_url)[0] == {"inbox"}


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (id integer)",
        "ALTER TABLE images ADD COLUMN mine integer",
        "DROP TABLE changes",
        # What was accepted never changes.
        "UPDATE changes SET data = '{}'",
        "UPDATE changes SET user_id = 1, image_id = 1, sequence = 1",
        "UPDATE changes SET type = '', change_id = gen_random_uuid(), correlation_id = ''",
        "UPDATE changes SET accepted_at = now()",
        "TRUNCATE images",
        "CREATE FUNCTION mine() RETURNS integer LANGUAGE sql RETURN 1",
        "UPDATE alembic_version SET version_num = ''",
        "CREATE ROLE mine",
    ],
)
def test_the_apis_role_changes_rows_and_nothing_else(database: Database, statement: str) -> None:
    with pytest.raises(StatementFailed) as refused:
        database.rows(statement)
    assert refused.value.sqlstate in ("42501", "42P01")


def test_granting_again_sets_the_password_anew(
    administrator_url: str, database_url: str, database: Database
) -> None:
    image_migrations.grant(administrator_url, dict.fromkeys(grants.PURPOSES, database_url))
    database.ping()


def test_nothing_is_granted_where_the_api_owns_the_schema(empty_database_url: str) -> None:
    image_migrations.upgrade(empty_database_url)
    image_migrations.grant(empty_database_url, dict.fromkeys(grants.PURPOSES, empty_database_url))


def test_titles_that_are_there_already_are_found(empty_database_url: str) -> None:
    image_migrations.upgrade(empty_database_url)
    downgrade(empty_database_url, BEFORE_SEARCHABLE_TITLES)
    connection = connect(empty_database_url)
    try:
        connection.run("INSERT INTO users (username, username_key, password_hash) VALUES (1, 1, 1)")
        connection.run(
            "INSERT INTO images (user_id, title, visibility, original_key, object_key, "
            "content_type, size_bytes, width, height, deleted_at) "
            "SELECT 1, 'Köln ' || n, 'private', n, n, 'image/png', 1, 1, 1, "
            "CASE n WHEN 3 THEN now() END FROM generate_series(1, 3) AS n"
        )
        image_migrations.upgrade(empty_database_url)
        assert connection.run(
            "SELECT image_id, folded FROM searchable_titles WHERE "
            "title_terms(folded, user_id, visibility) @> ARRAY['öln', 'user 1'] ORDER BY 1"
        ) == [[1, "köln 1"], [2, "köln 2"]]
    finally:
        connection.close()


def test_who_is_changing_an_image_and_the_migration_do_not_wait_for_each_other(
    empty_database_url: str,
) -> None:
    image_migrations.upgrade(empty_database_url, BEFORE_CAPTURE_TIMES)
    with (
        closing(connect(empty_database_url)) as writer,
        closing(connect(empty_database_url)) as watcher,
        ThreadPoolExecutor(1) as threads,
    ):
        add_users(writer, 1)
        insert(writer, 1, "shared")
        writer.run("BEGIN")
        writer.run("UPDATE images SET error = 'x'")
        upgraded = threads.submit(image_migrations.upgrade, empty_database_url)
        eventually(
            lambda: watcher.run("SELECT FROM pg_locks WHERE NOT granted"),
            "the migration waits",
            watch=upgraded.running,
        )
        # The list is written by a trigger, after the image.
        writer.run("UPDATE images SET title = 'y', taken_at = '2001-01-01'")
        writer.run("COMMIT")
        upgraded.result()
        assert watcher.run("SELECT title_key, taken_at::text FROM listed_images") == [
            ["y", "2001-01-01 00:00:00"]
        ]


def totals(sql: Connection) -> dict[tuple[int, str, str], int]:
    """What the triggers kept."""
    return {
        (user_id, visibility, status): int(images)
        for user_id, visibility, status, images in sql.run(
            "SELECT user_id, visibility, status, sum(images) FROM image_totals "
            "GROUP BY 1, 2, 3 HAVING sum(images) <> 0"
        )
    }


def counted(sql: Connection) -> dict[tuple[int, str, str], int]:
    """What is true: each user's own images, and under 0 everybody's shared ones."""
    return {
        (user_id, visibility, status): int(images)
        for user_id, visibility, status, images in sql.run(
            "SELECT user_id, visibility, status, count(*) FROM images "
            "WHERE deleted_at IS NULL GROUP BY 1, 2, 3 "
            "UNION ALL SELECT 0, visibility, status, count(*) FROM images "
            "WHERE deleted_at IS NULL AND visibility = 'shared' GROUP BY 2, 3"
        )
    }


def usage(sql: Connection) -> list[list[Any]]:
    """What the triggers kept of each account: images, bytes, unfinished changes."""
    return sql.run(  # type: ignore[no-any-return]
        "SELECT user_id, images, bytes, unfinished_changes FROM account_usage ORDER BY 1"
    )


def counted_usage(sql: Connection) -> list[list[Any]]:
    return sql.run(  # type: ignore[no-any-return]
        "SELECT u.id, count(i.id) FILTER (WHERE i.deleted_at IS NULL), "
        "coalesce(sum(coalesce(i.stored_bytes, i.size_bytes)) "
        "FILTER (WHERE i.deleted_at IS NULL), 0)::bigint, "
        "coalesce(sum(i.accepted_sequence - i.applied_sequence), 0)::bigint "
        "FROM users AS u LEFT JOIN images AS i ON i.user_id = u.id GROUP BY 1 ORDER BY 1"
    )


def insert(sql: Connection, user_id: int, visibility: str, count: int = 1) -> None:
    sql.run(
        "INSERT INTO images (user_id, title, visibility, original_key, object_key, content_type, "
        "size_bytes, width, height) SELECT :user_id, 't', :visibility, gen_random_uuid(), 'k', "
        "'image/png', 1, 1, 1 FROM generate_series(1, :count)",
        user_id=user_id,
        visibility=visibility,
        count=count,
    )


def add_users(sql: Connection, count: int) -> list[int]:
    return [
        row[0]
        for row in sql.run(
            "INSERT INTO users (username, username_key, password_hash) "
            "SELECT 'u' || n, 'u' || n, 'h' FROM generate_series(1, :count) AS n RETURNING id",
            count=count,
        )
    ]


@pytest.mark.parametrize("seed", range(4))
def test_the_totals_are_true_after_any_changes(sql: Connection, seed: int) -> None:
    chance = random.Random(seed)
    # More users than slots, so that some share one.
    users = add_users(sql, 20)
    changes = (
        "status = 'ready'",
        "status = 'failed'",
        "visibility = 'private'",
        "visibility = 'shared', status = 'processing'",
        "deleted_at = now()",
        "deleted_at = NULL",
        "title = 'other'",
        "accepted_sequence = accepted_sequence + 2",
        "applied_sequence = accepted_sequence",
        "stored_bytes = id * 1000, size_bytes = 7",
    )
    for _ in range(60):
        user_id = chance.choice(users)
        match chance.randrange(4):
            case 0:
                insert(sql, user_id, chance.choice(["shared", "private"]), chance.randint(1, 4))
            case 1:
                sql.run(
                    f"UPDATE images SET {chance.choice(changes)} WHERE id % 3 = :rest",
                    rest=chance.randrange(3),
                )
            case 2:
                sql.run(
                    f"UPDATE images SET {chance.choice(changes)} WHERE user_id = :user_id",
                    user_id=user_id,
                )
            case _:
                sql.run("DELETE FROM images WHERE id % 7 = :rest", rest=chance.randrange(7))
        assert totals(sql) == counted(sql)
        assert usage(sql) == counted_usage(sql)


def test_the_totals_of_a_rolled_back_change_are_rolled_back(sql: Connection) -> None:
    (user_id,) = add_users(sql, 1)
    insert(sql, user_id, "shared")
    sql.run("BEGIN")
    insert(sql, user_id, "shared", 5)
    sql.run("ROLLBACK")
    assert totals(sql) == counted(sql)
    assert totals(sql)[user_id, "shared", "processing"] == 1


def test_what_accounts_use_is_counted_once_by_the_migration(empty_database_url: str) -> None:
    image_migrations.upgrade(empty_database_url, "0004")
    sql = connect(empty_database_url)
    try:
        users = add_users(sql, 3)
        for user_id in users[:2]:
            insert(sql, user_id, "shared", 5)
        sql.run("UPDATE images SET deleted_at = now(), accepted_sequence = 2 WHERE id % 3 = 0")
        sql.run("UPDATE images SET size_bytes = 1000, applied_sequence = 1 WHERE id % 4 = 0")
        image_migrations.upgrade(empty_database_url)
        assert usage(sql) == counted_usage(sql)
        sql.run("DELETE FROM images")
        assert usage(sql) == [[user_id, 0, 0, 0] for user_id in users]
        # With the user everything goes that belongs to them.
        sql.run("DELETE FROM users")
        assert usage(sql) == []
    finally:
        sql.close()


def test_keys_of_names_lose_what_nobody_sees_unless_somebody_has_that_key(
    empty_database_url: str,
) -> None:
    image_migrations.upgrade(empty_database_url, BEFORE_KEYS_OF_NAMES)
    sql = connect(empty_database_url)
    ignored = [chr(code) for first, last in IGNORED_IN_KEYS for code in {first, last}]
    alone = [f"{number} A{character}\u0301d\u00e9 " for number, character in enumerate(ignored)]
    taken = ["Ada", "A\u200bda", "Bo\u200bb", "Bo\u00adb", "\u3164", "\u200b", "plain name"]
    for name in (*alone, *taken):
        sql.run(
            "INSERT INTO users (username, username_key, password_hash) VALUES (:name, :key, 'h')",
            name=name,
            key=users._key_as_typed(name),
        )

    image_migrations.upgrade(empty_database_url)

    keys = dict(sql.run("SELECT username, username_key FROM users"))
    assert {name: keys[name] for name in alone} == {
        name: users._username_key(name) for name in alone
    }
    assert [keys[name] for name in taken] == [
        *("ada", "a\u200bda", "bob", "bo\u00adb"),
        # Nothing would be left of these.
        *(users._key_as_typed("\u3164"), "\u200b", "plain name"),
    ]
    sql.close()


def test_users_who_add_images_side_by_side_neither_lose_counts_nor_deadlock(
    sql: Connection, database_url: str
) -> None:
    users = add_users(sql, 8)

    def work(user_id: int) -> None:
        connection = connect(database_url)
        try:
            for _ in range(10):
                insert(connection, user_id, "shared", 2)
                connection.run(
                    "UPDATE images SET status = 'ready' WHERE user_id = :user_id", user_id=user_id
                )
                # Everybody's at once, in an order of the planner's choice.
                connection.run(
                    "UPDATE images SET visibility = 'private' WHERE id IN (SELECT id FROM images "
                    "WHERE user_id = :user_id ORDER BY id LIMIT 1)",
                    user_id=user_id,
                )
        finally:
            connection.close()

    with ThreadPoolExecutor(len(users)) as threads:
        list(threads.map(work, users))
    assert totals(sql) == counted(sql)
    assert usage(sql) == counted_usage(sql)


@pytest.mark.parametrize(
    "column",
    [
        "visibility = 'secret'",
        "visibility = 'trashed'",
        "description = repeat('x', 2001)",
        "tags = array_fill('x'::text, ARRAY[33])",
        "status = 'done'",
        "size_bytes = 0",
        "width = 0",
        "title = ''",
        "title = repeat('x', 256)",
        "applied_sequence = 99",
        "user_id = 0",
    ],
)
def test_the_schema_itself_refuses_what_can_never_be(sql: Connection, column: str) -> None:
    (user_id,) = add_users(sql, 1)
    insert(sql, user_id, "shared")
    with pytest.raises(DatabaseError):
        sql.run(f"UPDATE images SET {column}")
