"""The janitor over real rows and real objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pg8000.native import Connection

from image_api.aws.s3 import S3Storage
from image_api.core import janitor
from image_api.core.images import Caller
from image_api.core.uploads import NewImage
from image_api.postgres.database import Database
from image_api.postgres.images import PostgresImageRecords
from image_api.postgres.janitor import PostgresJanitorRecords

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
) -> dict[str, Any]:
    return janitor.sweep(
        records,
        storage,
        start=0.5,
        min_age_seconds=min_age_seconds,
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
    records: PostgresJanitorRecords, storage: S3Storage, add_image: Callable[[str], int]
) -> None:
    add_image("7f")
    expected = keys(storage)
    for key in ("storage/01/original.png", "storage/7f/2/image.png", "storage/fe/original.png"):
        storage.put(key, b"left behind", "image/png")
    storage.put("incoming/1/a", b"not its business", "image/png")
    assert sweep(records, storage, HOUR_SECONDS)["objects_without_row"] == 0
    assert sweep(records, storage, -1, dry_run=True)["objects_without_row"] == 3
    assert len(keys(storage)) == len(expected) + 3
    assert sweep(records, storage, -1)["objects_without_row"] == 3
    assert keys(storage) == expected
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
