"""The janitor over real rows and real objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from pg8000.native import Connection

from image_api.aws.s3 import S3Storage
from image_api.core.library.images import Caller
from image_api.core.library.uploads import NewImage
from image_api.core.upkeep import janitor
from image_api.postgres.database import Database
from image_api.postgres.images import PostgresImageRecords
from image_api.postgres.janitor import PostgresJanitorRecords
from tests.integration.real_services import RealServices, connect

HOUR_SECONDS = 3600


@pytest.fixture
def records(database: Database) -> PostgresJanitorRecords:
    return PostgresJanitorRecords(database)


@pytest.fixture
def add_image(
    image_records: PostgresImageRecords,
    add_user: Callable[[str], int],
    storage: S3Storage,
    sql: Connection,
) -> Callable[[str], int]:
    """An image that is ready since two hours, with its file and a thumbnail."""
    user_id = add_user("Ada")

    def add(folder: str) -> int:
        key = f"storage/{folder}/original.png"
        storage.put(key, b"bytes", "image/png")
        storage.put(f"storage/{folder}/1/thumbnail.webp", b"bytes", "image/webp")
        image = NewImage("a.png", "shared", key, "image/png", 5, 1, 1)
        image_id = image_records.accept_upload(Caller(user_id, ""), image).image_id
        sql.run(
            "UPDATE images SET status = 'ready', rendered_at = now(), applied_sequence = 1, "
            "updated_at = now() - interval '2 hours' WHERE id = :id",
            id=image_id,
        )
        sql.run(
            "INSERT INTO renditions VALUES (:id, 'thumbnail', :key, 'image/webp', 5, 1, 1, false)",
            id=image_id,
            key=f"storage/{folder}/1/thumbnail.webp",
        )
        return image_id

    return add


def sweep(
    records: PostgresJanitorRecords,
    storage: S3Storage,
    min_age_seconds: int = 0,
    *,
    dry_run: bool = False,
    max_percent: int = 100,
) -> dict[str, Any]:
    return janitor.sweep(
        records,
        storage,
        start=0.5,
        min_age_seconds=min_age_seconds,
        max_percent=max_percent,
        dry_run=dry_run,
        remaining_milliseconds=lambda: 60_000,
    )


def status(sql: Connection, image_id: int) -> list[Any]:
    row: list[Any] = sql.run("SELECT status, error FROM images WHERE id = :id", id=image_id)[0]
    return row


def keys(storage: S3Storage) -> set[str]:
    return {stored.key for page in storage.pages("storage/", "storage/") for stored in page}


def test_where_everything_agrees_nothing_changes(
    records: PostgresJanitorRecords,
    storage: S3Storage,
    add_image: Callable[[str], int],
    sql: Connection,
) -> None:
    ids = [add_image(folder) for folder in ("0a", "7f", "80", "ff")]
    before = keys(storage)
    report = sweep(records, storage, -1)
    assert (report["objects_seen"], report["finished"]) == (8, True)
    assert (report["objects_without_row"], report["rows_without_object"]) == (0, 0)
    assert keys(storage) == before
    assert {tuple(status(sql, image_id)) for image_id in ids} == {("ready", None)}


def test_a_file_that_no_row_speaks_of_is_removed_once_it_is_old(
    records: PostgresJanitorRecords,
    storage: S3Storage,
    add_image: Callable[[str], int],
    sql: Connection,
) -> None:
    add_image("7f")
    expected = keys(storage)
    for key in ("storage/01/original.png", "storage/7f/2/image.png", "storage/fe/original.png"):
        storage.put(key, b"left behind", "image/png")
    storage.put("incoming/1/a", b"not its business", "image/png")
    assert sweep(records, storage, HOUR_SECONDS)["objects_without_row"] == 0
    assert sweep(records, storage, -1, dry_run=True)["objects_without_row"] == 3
    assert len(keys(storage)) == len(expected) + 3
    # Seen once it stays, and after a day without a row it goes.
    assert sweep(records, storage, -1)["objects_deleted"] == 0
    assert sweep(records, storage, HOUR_SECONDS)["objects_deleted"] == 0
    assert len(keys(storage)) == len(expected) + 3
    assert sweep(records, storage, -1)["objects_deleted"] == 0
    assert sweep(records, storage, -1)["objects_deleted"] == 3
    assert keys(storage) == expected
    assert sql.run("SELECT count(*) FROM objects_without_row") == [[0]]
    assert storage.get("incoming/1/a") == b"not its business"


@pytest.mark.parametrize("lost", ["original.png", "1/thumbnail.webp"])
def test_an_image_whose_file_is_lost_is_failed_and_says_so(
    records: PostgresJanitorRecords,
    storage: S3Storage,
    add_image: Callable[[str], int],
    sql: Connection,
    lost: str,
) -> None:
    whole, broken = add_image("7e"), add_image("7f")
    storage.delete([f"storage/7f/{lost}"])
    assert sweep(records, storage, 3 * HOUR_SECONDS)["rows_without_object"] == 0
    assert sweep(records, storage, HOUR_SECONDS)["rows_without_object"] == 1
    assert status(sql, whole) == ["ready", None]
    assert status(sql, broken) == [
        "failed",
        "A stored file of this image is missing; upload it again",
    ]


def test_what_is_being_deleted_keeps_its_files_until_both_go(
    records: PostgresJanitorRecords,
    storage: S3Storage,
    add_image: Callable[[str], int],
    image_records: PostgresImageRecords,
    sql: Connection,
) -> None:
    image_id = add_image("7f")
    assert image_records.accept_delete(Caller(1, ""), image_id) is not None
    sql.run("UPDATE images SET deleted_at = now() - interval '2 hours'")
    assert sweep(records, storage, HOUR_SECONDS)["objects_without_row"] == 0
    assert len(keys(storage)) == 2


def test_after_a_restore_of_an_older_database_no_picture_is_lost(
    services: RealServices,
    administrator_url: str,
    database: Database,
    records: PostgresJanitorRecords,
    storage: S3Storage,
    add_image: Callable[[str], int],
    sql: Connection,
) -> None:
    """The procedure of docs/aws.md, with a copy of the database in the place of a snapshot."""
    kept, gone_since = add_image("1a"), add_image("1b")
    for number in range(20):
        add_image(f"3{number:02}")
    source = urlsplit(administrator_url).path.removeprefix("/")
    snapshot = f"snapshot_{uuid4().hex}"
    database.close()
    services.administer(
        "SELECT pg_terminate_backend(pid, 600000) FROM pg_stat_activity "
        f"WHERE datname = '{source}'",
        f"CREATE DATABASE {snapshot} TEMPLATE {source}",
    )
    restored = Database(services.administrator_of(snapshot))
    looking = connect(services.administrator_of(snapshot))
    try:
        now = connect(administrator_url)
        now.run("DELETE FROM images WHERE id = :id", id=gone_since)
        now.close()
        storage.delete([key for key in keys(storage) if key.startswith("storage/1b/")])
        for folder in ("2a", "2b", "2c"):
            for name in ("original.png", "1/thumbnail.webp"):
                storage.put(f"storage/{folder}/{name}", b"after the snapshot", "image/png")
        before = keys(storage)

        # Somebody forgets the first step: it stops by itself, run after run.
        janitor_of_restored = PostgresJanitorRecords(restored)
        for _ in range(3):
            report = sweep(janitor_of_restored, storage, -1, max_percent=10)
            assert (report["stopped"], report["objects_without_row"]) == (True, 6)
        assert keys(storage) == before
        assert looking.run("SELECT DISTINCT status FROM images") == [["ready"]]

        # Step by step: looked at, the rows added that can be had, then let go.
        dry = sweep(janitor_of_restored, storage, -1, max_percent=10, dry_run=True)
        assert (dry["objects_without_row"], dry["rows_without_object"]) == (6, 1)
        looking.run(
            "INSERT INTO images (user_id, title, visibility, original_key, object_key, "
            "content_type, size_bytes, width, height) SELECT 1, 'a', 'shared', key, key, "
            "'image/png', 1, 1, 1 FROM objects_without_row WHERE key LIKE '%/original.png'"
        )
        swept = sweep(janitor_of_restored, storage, -1, max_percent=10)
        assert swept["stopped"] is False
        assert {key for key in before if key.endswith("original.png")} <= keys(storage)
        assert status(looking, gone_since)[0] == "failed"
        assert status(looking, kept)[0] == "ready"
    finally:
        looking.close()
        restored.close()
        services.administer(f"DROP DATABASE {snapshot} WITH (FORCE)")
