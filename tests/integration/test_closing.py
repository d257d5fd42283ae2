"""The deletion of an account, in real Postgres: at once for everybody, and then step by step."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count

import pytest
from pg8000.native import Connection

from image_api.core.accounts import closing, users
from image_api.core.accounts.sessions import Sessions
from image_api.core.accounts.tokens import TokenSigner
from image_api.core.accounts.users import AccountDeletion, Credentials, Registration
from image_api.core.library.images import Caller
from image_api.core.library.listing import Filters, ListQuery
from image_api.errors import Unauthenticated, WrongCredentials
from image_api.postgres.closed_accounts import PostgresClosedAccounts
from image_api.postgres.database import Database
from image_api.postgres.images import PostgresImageRecords
from image_api.postgres.sessions import PostgresSessionRecords
from image_api.postgres.tags import PostgresTagRecords
from image_api.postgres.users import PostgresUserRecords
from image_api.settings import RegistrationThrottle, SignInThrottle
from tests.integration.accepting import another_image
from tests.integration.real_services import TABLES

HOME = "203.0.113.7"
PASSWORD = "analytical!engine"
SIGNER = TokenSigner("a secret of the tests, thirty-two bytes long", None, 24 * 3600)
NAME = "Ada-of-the-tests"


class Account:
    """Somebody with a connection of their own."""

    def __init__(self, database: Database, name: str = NAME) -> None:
        self.name = name
        self.users = PostgresUserRecords(
            database, SignInThrottle(5, 1000, 900), RegistrationThrottle(1000, 900)
        )
        self.sessions = Sessions(PostgresSessionRecords(database), SIGNER)
        self.images = PostgresImageRecords(database)
        self.tags = PostgresTagRecords(database)
        registration = Registration(username=name, password=PASSWORD)
        self.tokens = users.register(self.users, self.sessions, registration, HOME)
        self.user_id = SIGNER.verify(f"Bearer {self.tokens.access_token}").user_id
        self.caller = Caller(self.user_id, "request-1", client_correlation_id=f"{name}'s")

    def upload(self) -> int:
        image = replace(another_image(), tags=["closing"])
        return self.images.accept_upload(self.caller, image).image_id

    def delete(self) -> None:
        deletion = AccountDeletion(password=PASSWORD)
        users.delete_account(self.users, self.user_id, deletion, HOME, "request-2")


@pytest.fixture
def ada(make_database: Callable[[], Database]) -> Account:
    return Account(make_database())


@pytest.fixture
def bob(make_database: Callable[[], Database]) -> Account:
    return Account(make_database(), "bob")


def seen_by(account: Account) -> tuple[list[int], int]:
    """What is on the list, and how many it says there are; the same by title and by status."""
    found, total, *_ = account.images.page(account.user_id, ListQuery())
    for filters in (
        *(Filters(title="photo"), Filters(title="photo", status="ready"), Filters(q="photo")),
        *(Filters(tag_keys=("closing",)), Filters(visibility="shared"), Filters(status="ready")),
        *(Filters(content_type="image/png"), Filters(created_after="2001-01-01T00:00:00Z")),
    ):
        page = account.images.page(account.user_id, ListQuery(filters))
        assert [image["id"] for image in found] == [image["id"] for image in page.images]
        assert page.total == total
    tags = account.tags.tags(account.user_id, None, 10, None).tags
    assert tags == ([{"tag": "closing", "images": total}] if total else [])
    return [image["id"] for image in found], total


def settle(sql: Connection) -> None:
    """What the consumer does, with everything that waits, and the relay."""
    sql.run("DELETE FROM images WHERE deleted_at IS NOT NULL")
    sql.run(
        "UPDATE images SET applied_sequence = accepted_sequence, status = 'ready', "
        "rendered_at = now()"
    )
    sql.run(
        "UPDATE changes SET settled_at = now(), outcome = 'applied', published_at = now(), "
        "outcome_id = gen_random_uuid(), outcome_published_at = now() WHERE outcome IS NULL"
    )


def closed(sql: Connection) -> list[int]:
    return [row[0] for row in sql.run("SELECT user_id FROM closed_accounts ORDER BY user_id")]


def test_from_the_deletion_on_nobody_sees_an_image_of_the_account(
    ada: Account, bob: Account, sql: Connection
) -> None:
    first = ada.upload()
    kept = bob.upload()
    settle(sql)
    assert seen_by(bob) == ([kept, first], 2)

    ada.delete()

    assert seen_by(bob) == ([kept], 1)
    assert bob.images.find(bob.user_id, first) is None
    # Nothing of it has been touched yet.
    assert sql.run("SELECT count(*) FROM images WHERE deleted_at IS NULL") == [[2]]


def test_whoever_was_signed_in_is_so_no_longer_and_the_name_is_free(
    ada: Account, make_database: Callable[[], Database]
) -> None:
    image_id = ada.upload()
    ada.delete()

    for ask in (
        lambda: ada.images.find(ada.user_id, image_id),
        lambda: ada.images.page(ada.user_id, ListQuery()),
        ada.upload,
        lambda: ada.images.accept_update(ada.caller, image_id, {"title": "new"}),
        lambda: ada.images.accept_delete(ada.caller, image_id),
        lambda: ada.images.offer_direct_upload(ada.user_id, "u", 60),
        lambda: ada.users.profile(ada.user_id),
        ada.delete,
    ):
        with pytest.raises(Unauthenticated):
            ask()
    with pytest.raises(WrongCredentials):
        users.sign_in(ada.users, ada.sessions, Credentials(username=NAME, password=PASSWORD), HOME)
    another = Account(make_database())
    assert another.user_id != ada.user_id
    assert seen_by(another) == ([], 0)


def test_a_wrong_password_deletes_nothing_and_counts(ada: Account, sql: Connection) -> None:
    deletion = AccountDeletion(password="not this one!")
    with pytest.raises(WrongCredentials):
        users.delete_account(ada.users, ada.user_id, deletion, HOME, "request-2")
    assert closed(sql) == []
    # Of the network, and of the name from there; one is the registration's.
    assert sql.run("SELECT sum(failures) FROM sign_in_failures") == [[3]]


def test_nothing_is_left_that_names_anybody_but_that_images_were_removed(
    ada: Account, bob: Account, database: Database, sql: Connection
) -> None:
    ada.images.claim_key(ada.user_id, "ada's key", b"", "7b4f5e4c-0000-4000-8000-000000000000")
    ada.images.offer_direct_upload(ada.user_id, "ada's offer", 900)
    for _ in range(3):
        ada.upload()
    kept = bob.upload()
    settle(sql)
    ada.images.accept_update(ada.caller, 1, {"title": "Ada's portrait"})
    ada.delete()
    records = PostgresClosedAccounts(database)

    closing.remove_closed(records)
    # What is accepted and not done is not forgotten before it is.
    assert closed(sql) == [ada.user_id]
    assert sql.run("SELECT title FROM images WHERE deleted_at IS NULL") == [["photo.png"]]
    settle(sql)
    closing.remove_closed(records)

    assert closed(sql) == []
    rows = sql.run(
        "SELECT image_id, sequence, type, correlation_id, client_correlation_id "
        "FROM changes WHERE user_id = :user_id ORDER BY image_id",
        user_id=ada.user_id,
    )
    assert rows == [
        [1, 3, "image.delete.requested", "request-2", ""],
        [2, 2, "image.delete.requested", "request-2", ""],
        [3, 2, "image.delete.requested", "request-2", ""],
    ]
    for table in TABLES:
        dump = str(sql.run(f"SELECT t::text FROM {table} AS t"))
        # Not within a number in hexadecimal, which may have these digits.
        assert not re.search("(?<![0-9a-f])ada(?![0-9a-f])", dump.casefold()), table
    assert sql.run(
        "SELECT count(*) FROM image_totals WHERE user_id = :user_id", user_id=ada.user_id
    ) == [[0]]
    assert seen_by(bob) == ([kept], 1)


def test_of_uploads_side_by_side_with_the_deletion_none_outlives_it(
    make_database: Callable[[], Database], ada: Account, bob: Account, sql: Connection
) -> None:
    many = [PostgresImageRecords(make_database()) for _ in range(6)]
    numbers = count()
    refused: list[bool] = []

    def upload(records: PostgresImageRecords) -> None:
        while not refused:
            try:
                records.accept_upload(ada.caller, another_image())
                next(numbers)
            except Unauthenticated:
                refused.append(True)

    with ThreadPoolExecutor(7) as threads:
        waiting = [threads.submit(upload, records) for records in many]
        while next(numbers) < 20:
            pass
        ada.delete()
        accepted_by_then = sql.run("SELECT count(*) FROM images")
        for future in waiting:
            future.result()

    assert sql.run("SELECT count(*) FROM images") == accepted_by_then
    assert seen_by(bob) == ([], 0)
    records = PostgresClosedAccounts(make_database())
    closing.remove_closed(records)
    settle(sql)
    closing.remove_closed(records)
    assert (closed(sql), sql.run("SELECT count(*) FROM images")) == ([], [[0]])


def test_an_upload_that_waits_for_the_deletion_is_refused(
    ada: Account, make_database: Callable[[], Database], sql: Connection
) -> None:
    """Its statement began while the account was there."""
    sql.run("BEGIN")
    sql.run("SELECT FROM users WHERE id = :user_id FOR UPDATE", user_id=ada.user_id)
    records = PostgresImageRecords(make_database())
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(records.accept_upload, ada.caller, another_image())
        while not sql.run("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
            assert not waiting.done()
            # Which a transaction sees as it was when it looked first.
            sql.run("SELECT pg_stat_clear_snapshot()")
        sql.run(
            "UPDATE users SET token_generation = -1, username_key = 'x' WHERE id = :user_id",
            user_id=ada.user_id,
        )
        sql.run("COMMIT")
        with pytest.raises(Unauthenticated):
            waiting.result()
    assert sql.run("SELECT count(*) FROM images") == [[0]]


def test_runs_side_by_side_and_runs_that_die_do_each_thing_once(
    make_database: Callable[[], Database],
    bob: Account,
    sql: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(closing, "STEP_IMAGES", 3)
    leaving = [Account(make_database(), f"leaving {number}") for number in range(4)]
    for account in leaving:
        for _ in range(10):
            account.upload()
        account.delete()
    # One that dies between two steps.
    PostgresClosedAccounts(make_database()).remove_images(leaving[0].user_id, 3)

    several = [PostgresClosedAccounts(make_database()) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(closing.remove_closed, several))

    assert sql.run(
        "SELECT count(*), count(DISTINCT image_id) FROM changes "
        "WHERE type = 'image.delete.requested'"
    ) == [[40, 40]]
    assert sql.run("SELECT count(*) FROM images WHERE deleted_at IS NULL") == [[0]]
    assert seen_by(bob) == ([], 0)


def test_an_account_that_was_not_deleted_keeps_its_images_whatever_is_asked(
    bob: Account, database: Database, sql: Connection
) -> None:
    bob.upload()
    assert PostgresClosedAccounts(database).remove_images(bob.user_id, 10) == 0
    assert sql.run("SELECT count(*) FROM images WHERE deleted_at IS NULL") == [[1]]
