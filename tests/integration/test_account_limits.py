"""What one account may have is counted exactly, however many ask at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
from pg8000.native import Connection

from image_api.core.library.images import Caller
from image_api.errors import ImageApiError, QuotaExceeded, TooMuchUnderWay, Unauthenticated
from image_api.postgres.database import Database
from image_api.postgres.images import PostgresImageRecords
from image_api.settings import AccountLimits
from tests.integration.accepting import another_image

SIZE_BYTES = 1000
NUMBERS = count(1)
Accept = Callable[[PostgresImageRecords, int], object]


def upload(records: PostgresImageRecords, user_id: int, size_bytes: int = SIZE_BYTES) -> int:
    return records.accept_upload(Caller(user_id, "request-1"), another_image(size_bytes)).image_id


def offer(records: PostgresImageRecords, user_id: int) -> str:
    upload_id = f"{next(NUMBERS):032x}"
    records.offer_direct_upload(user_id, upload_id, 900)
    return upload_id


def update(records: PostgresImageRecords, user_id: int, **changes: str) -> None:
    caller = Caller(user_id, "request-1")
    assert records.accept_update(caller, 1, changes or {"title": "new"}) is not None


def use(sql: Connection, user_id: int) -> list[int]:
    ((images, size_bytes, unfinished),) = sql.run(
        "SELECT images, bytes, unfinished_changes FROM account_usage WHERE user_id = :user_id",
        user_id=user_id,
    )
    return [images, size_bytes, unfinished]


def settle_everything(sql: Connection) -> None:
    sql.run("UPDATE images SET applied_sequence = accepted_sequence, status = 'ready'")


@pytest.fixture
def ada(add_user: Callable[[str], int]) -> int:
    return add_user("Ada")


@pytest.mark.parametrize(
    ("limits", "accept", "refusal"),
    [
        (AccountLimits(images=7), upload, QuotaExceeded),
        # The eighth would be more by one byte.
        (AccountLimits(bytes=8 * SIZE_BYTES - 1), upload, QuotaExceeded),
        (AccountLimits(unfinished_changes=7), upload, TooMuchUnderWay),
        (AccountLimits(unfinished_changes=8), update, TooMuchUnderWay),
        (AccountLimits(open_direct_uploads=7), offer, TooMuchUnderWay),
    ],
    ids=["images", "bytes", "uploads", "updates", "direct uploads"],
)
def test_of_twenty_at_once_exactly_as_many_are_accepted_as_there_is_room_for(
    make_database: Callable[[], Database],
    sql: Connection,
    ada: int,
    limits: AccountLimits,
    accept: Accept,
    refusal: type[ImageApiError],
) -> None:
    if accept is update:
        upload(PostgresImageRecords(make_database()), ada)
    everyone = [PostgresImageRecords(make_database(), limits) for _ in range(20)]

    def is_accepted(records: PostgresImageRecords) -> bool:
        try:
            accept(records, ada)
        except refusal:
            return False
        return True

    with ThreadPoolExecutor(20) as threads:
        assert sum(threads.map(is_accepted, everyone)) == 7
    rows = sql.run("SELECT count(*) FROM images"), sql.run("SELECT count(*) FROM changes")
    assert use(sql, ada)[0] == rows[0][0][0]
    assert use(sql, ada)[2] == rows[1][0][0]


def test_without_limits_an_account_has_as_much_as_it_likes(
    image_records: PostgresImageRecords, ada: int
) -> None:
    for _ in range(30):
        upload(image_records, ada)
        offer(image_records, ada)


def test_nobody_pays_for_somebody_else(
    database: Database, add_user: Callable[[str], int], ada: int
) -> None:
    records = PostgresImageRecords(database, AccountLimits(1, SIZE_BYTES, 1, 1))
    upload(records, ada)
    bob = add_user("Bob")
    offer(records, bob)
    upload(records, bob)


def test_there_is_room_again_once_something_is_deleted_and_processed(
    database: Database, sql: Connection, ada: int
) -> None:
    records = PostgresImageRecords(
        database, AccountLimits(images=2, bytes=2 * SIZE_BYTES, unfinished_changes=3)
    )
    first, _ = upload(records, ada), upload(records, ada)
    with pytest.raises(QuotaExceeded, match="2 images"):
        upload(records, ada)
    # A deletion is never refused, and makes room at once.
    for image_id in (first,):
        assert records.accept_delete(Caller(ada, "request-1"), image_id) is not None
    with pytest.raises(TooMuchUnderWay, match="try again in 5 seconds"):
        upload(records, ada)
    settle_everything(sql)
    upload(records, ada)
    assert use(sql, ada) == [2, 2 * SIZE_BYTES, 1]


def test_a_new_size_is_refused_to_who_stores_too_much_and_a_title_is_not(
    database: Database, sql: Connection, ada: int
) -> None:
    records = PostgresImageRecords(database, AccountLimits(bytes=SIZE_BYTES))
    upload(records, ada)
    with pytest.raises(QuotaExceeded):
        update(records, ada, resolution="10x10")
    update(records, ada, visibility="private")
    update(records, ada)
    assert use(sql, ada) == [1, SIZE_BYTES, 3]


def test_who_asks_before_storing_a_file_is_answered_the_same(database: Database, ada: int) -> None:
    records = PostgresImageRecords(database, AccountLimits(bytes=SIZE_BYTES))
    records.require_room(ada, SIZE_BYTES)
    with pytest.raises(QuotaExceeded):
        records.require_room(ada, SIZE_BYTES + 1)
    with pytest.raises(QuotaExceeded):
        upload(records, ada, SIZE_BYTES + 1)
    with pytest.raises(Unauthenticated):
        records.require_room(ada + 1, 1)


def test_a_direct_upload_is_open_until_it_is_completed_or_its_time_is_over(
    database: Database, sql: Connection, ada: int
) -> None:
    records = PostgresImageRecords(database, AccountLimits(open_direct_uploads=2))
    began_at = time.monotonic()
    offers = [offer(records, ada) for _ in range(2)]
    with pytest.raises(TooMuchUnderWay, match="2 direct uploads") as refused:
        offer(records, ada)
    passed_seconds = time.monotonic() - began_at
    assert 899 - passed_seconds <= refused.value.retry_after_seconds <= 900

    records.accept_upload(Caller(ada, "request-1"), another_image(), offers[0])
    offer(records, ada)
    with pytest.raises(TooMuchUnderWay):
        offer(records, ada)

    sql.run("UPDATE direct_uploads SET expires_at = now()")
    offer(records, ada)
    assert sql.run("SELECT count(*) FROM direct_uploads") == [[1]]
    sql.run("UPDATE direct_uploads SET expires_at = now()")
    records.forget_old_offers(100)
    assert sql.run("SELECT count(*) FROM direct_uploads") == [[0]]


def test_an_account_that_stores_too_much_is_offered_no_direct_upload(
    database: Database, ada: int
) -> None:
    records = PostgresImageRecords(database, AccountLimits(images=1))
    upload(records, ada)
    with pytest.raises(QuotaExceeded):
        offer(records, ada)
    with pytest.raises(Unauthenticated):
        offer(records, ada + 1)
