"""A request with a key is done once, however often it comes, and answered as it was at first."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event as Flag
from typing import Any

import pytest
from pg8000.native import Connection

from image_api.core.library import editing, uploads
from image_api.core.library.images import Caller, Changes
from image_api.core.library.uploads import UploadDetails
from image_api.errors import (
    DamagedImage,
    ImageNotFound,
    KeyReused,
    RequestInProgress,
    ServiceUnavailable,
    Unauthenticated,
)
from image_api.postgres.database import Database
from image_api.postgres.images import PostgresImageRecords
from tests import samples
from tests.fakes import FakeStorage, RecordingSink

DETAILS = UploadDetails(filename="a.png", title=None, visibility="shared")
PNG = samples.png()


class Client:
    """Somebody who sends requests with keys."""

    def __init__(self, records: PostgresImageRecords, user_id: int) -> None:
        self.records = records
        self.caller = Caller(user_id, "request-1")
        self.storage = FakeStorage()
        self.sink = RecordingSink()

    def upload(self, key: str | None, data: bytes = PNG, details: UploadDetails = DETAILS) -> int:
        caller = replace(self.caller, idempotency_key=key)
        return uploads.upload(self.records, self.storage, self.sink, caller, data, details).id

    def send(self, upload_id: str | None = None) -> str:
        user_id = self.caller.user_id
        if upload_id is None:
            upload_id = uploads.offer_direct_upload(self.records, self.storage, user_id).upload_id
        self.storage.objects[f"incoming/{user_id}/{upload_id}"] = (PNG, "")
        return upload_id

    def complete(self, key: str | None, upload_id: str, details: UploadDetails = DETAILS) -> int:
        caller = replace(self.caller, idempotency_key=key)
        return uploads.complete_direct_upload(
            self.records, self.storage, self.sink, caller, upload_id, details
        ).id

    def update(self, key: str | None, image_id: int, title: str) -> int:
        caller = replace(self.caller, idempotency_key=key)
        changes = Changes(title=title)
        return editing.update(self.records, self.sink, caller, image_id, changes).id

    def delete(self, key: str | None, image_id: int) -> int:
        caller = replace(self.caller, idempotency_key=key)
        return editing.delete(self.records, self.sink, caller, image_id).id


@pytest.fixture
def client(image_records: PostgresImageRecords, add_user: Callable[[str], int]) -> Client:
    return Client(image_records, add_user("Ada"))


def changes(sql: Connection) -> int:
    return int(sql.run("SELECT count(*) FROM changes")[0][0])


def test_the_same_upload_with_the_same_key_makes_one_image(client: Client, sql: Connection) -> None:
    first = client.upload("k1")
    assert client.upload("k1") == first
    assert changes(sql) == 1
    assert len(client.storage.objects) == len(client.sink.events) == 1
    assert client.upload("k2") != first
    assert client.upload(None) != client.upload(None)


@pytest.mark.parametrize(
    ("data", "details"),
    [
        (samples.jpeg(), DETAILS),
        (PNG, replace(DETAILS, title="other")),
        (PNG, replace(DETAILS, visibility="private")),
        (PNG, replace(DETAILS, filename="b.png")),
    ],
    ids=["bytes", "title", "visibility", "filename"],
)
def test_another_request_with_the_same_key_is_refused(
    client: Client, sql: Connection, data: bytes, details: UploadDetails
) -> None:
    client.upload("k")
    with pytest.raises(KeyReused):
        client.upload("k", data, details)
    assert changes(sql) == 1


def test_a_key_belongs_to_one_operation_on_one_image(client: Client, sql: Connection) -> None:
    one, other = client.upload(None), client.upload(None)
    assert client.update("k", one, "new") == one
    with pytest.raises(KeyReused):
        client.update("k", other, "new")
    with pytest.raises(KeyReused):
        client.update("k", one, "newer")
    with pytest.raises(KeyReused):
        client.delete("k", one)
    assert client.update("k", one, "new") == one
    assert changes(sql) == 3


def test_a_deletion_sent_again_is_answered_though_the_image_is_gone(client: Client) -> None:
    image_id = client.upload(None)
    assert client.delete("k", image_id) == image_id
    assert client.delete("k", image_id) == image_id
    with pytest.raises(ImageNotFound):
        client.delete("other", image_id)


def test_keys_are_each_users_own(
    client: Client, image_records: PostgresImageRecords, add_user: Callable[[str], int]
) -> None:
    other = Client(image_records, add_user("Bob"))
    assert client.upload("k") != other.upload("k", samples.jpeg())


def test_a_refusal_is_not_remembered(client: Client) -> None:
    with pytest.raises(ImageNotFound):
        client.update("k", 99, "new")
    with pytest.raises(DamagedImage):
        client.upload("k", PNG[:-20])
    client.storage.fault = lambda operation, _: _unavailable() if operation == "put" else None
    with pytest.raises(ServiceUnavailable):
        client.upload("k")
    client.storage.fault = lambda _operation, _key: None
    assert client.upload("k") == client.upload("k")


def _unavailable() -> None:
    raise ServiceUnavailable("The storage did not take the file; try again")


def test_while_the_first_is_running_the_second_is_told_so(
    client: Client, make_database: Callable[[], Database]
) -> None:
    stored, may_go_on = Flag(), Flag()

    def wait(operation: str, _: str) -> None:
        if operation == "put":
            stored.set()
            assert may_go_on.wait(300)

    slow = Client(PostgresImageRecords(make_database()), client.caller.user_id)
    slow.storage.fault = wait
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(slow.upload, "k")
        assert stored.wait(300)
        with pytest.raises(RequestInProgress):
            client.upload("k")
        may_go_on.set()
        assert client_until_answered(client) == first.result()


def test_whoever_comes_while_the_first_waits_for_a_lock_does_not_wait_behind_it(
    client: Client, make_database: Callable[[], Database], sql: Connection
) -> None:
    first = Client(PostgresImageRecords(make_database()), client.caller.user_id)

    def meanwhile(operation: str, _: str) -> None:
        if operation == "put":
            sql.run("BEGIN")
            # As the statement does that accepts, while it waits for the account or the image.
            sql.run("SELECT FROM idempotency_keys FOR UPDATE")
            with pytest.raises(RequestInProgress):
                client.upload("k")
            sql.run("ROLLBACK")

    first.storage.fault = meanwhile
    assert first.upload("k") == client.upload("k")


def client_until_answered(client: Client) -> int:
    while True:
        try:
            return client.upload("k")
        except RequestInProgress:
            continue


def test_twenty_at_once_make_one_image(
    client: Client, make_database: Callable[[], Database], sql: Connection
) -> None:
    def upload(database: Database) -> int | None:
        try:
            return Client(PostgresImageRecords(database), client.caller.user_id).upload("k")
        except RequestInProgress:
            return None

    databases = [make_database() for _ in range(20)]
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(upload, databases))
    assert changes(sql) == 1
    assert set(answers) - {None} == {client.upload("k")}


def test_a_claim_whose_process_died_is_taken_over_and_the_late_one_changes_nothing(
    client: Client, make_database: Callable[[], Database], sql: Connection
) -> None:
    late = Client(PostgresImageRecords(make_database()), client.caller.user_id)
    answers: list[Any] = []

    def overtake(operation: str, _: str) -> None:
        if operation == "put" and not answers:
            answers.append(None)
            sql.run("UPDATE idempotency_keys SET leased_until = now() - interval '1 second'")
            answers[0] = client.upload("k")

    late.storage.fault = overtake
    with pytest.raises(RequestInProgress):
        late.upload("k")
    assert changes(sql) == 1
    assert late.storage.objects == {}
    assert client.upload("k") == answers[0]


def test_a_key_is_forgotten_after_a_day(client: Client, sql: Connection) -> None:
    first = client.upload("k")
    sql.run("UPDATE idempotency_keys SET claimed_at = now() - interval '25 hours'")
    assert client.upload("k", samples.jpeg()) != first


def test_old_keys_leave_in_bounded_steps_and_what_they_made_stays(
    client: Client, sql: Connection
) -> None:
    images = [client.upload(f"k{number}") for number in range(3)]
    sql.run("UPDATE idempotency_keys SET claimed_at = now() - interval '25 hours'")
    young = client.upload("young")
    assert [client.records.forget_old_keys(2) for _ in range(3)] == [2, 1, 0]
    assert client.upload("young") == young
    assert sql.run("SELECT id FROM images ORDER BY id") == [[each] for each in (*images, young)]


def test_a_user_who_is_gone_claims_nothing(
    image_records: PostgresImageRecords, sql: Connection
) -> None:
    with pytest.raises(Unauthenticated):
        Client(image_records, 99).update("k", 1, "new")
    assert sql.run("SELECT count(*) FROM idempotency_keys") == [[0]]


def test_a_direct_upload_completed_again_is_answered_as_at_first(
    client: Client, sql: Connection
) -> None:
    upload_id = client.send()
    first = client.complete("k", upload_id)
    keys = [None, "k", "other", "other", None]
    assert {client.complete(key, upload_id) for key in keys} == {first}
    for key in ("k", "other"):
        with pytest.raises(KeyReused):
            client.complete(key, upload_id, replace(DETAILS, title="other"))
    assert changes(sql) == 1


def test_a_direct_upload_completed_again_after_days_makes_no_second_image(
    client: Client, sql: Connection
) -> None:
    upload_id = client.send()
    first = client.complete("k", upload_id)
    sql.run("UPDATE idempotency_keys SET claimed_at = claimed_at - interval '4 days'")
    client.records.forget_old_keys(100)
    client.send(upload_id)
    assert {client.complete(key, upload_id) for key in ("k", "k", None)} == {first}
    sql.run("UPDATE idempotency_keys SET claimed_at = claimed_at - interval '4 days'")
    assert client.records.forget_old_keys(100) == 2


def test_a_completion_that_was_taken_over_takes_nothing_away_from_its_successor(
    client: Client, make_database: Callable[[], Database], sql: Connection
) -> None:
    upload_id = client.send()
    successor = Client(PostgresImageRecords(make_database()), client.caller.user_id)
    successor.storage = FakeStorage(client.storage.objects)
    images: list[int] = []

    def overtake(operation: str, _: str) -> None:
        if operation == "put":
            sql.run("UPDATE idempotency_keys SET leased_until = now() - interval '1 second'")
            images.append(successor.complete(None, upload_id))

    client.storage.fault = overtake
    with pytest.raises(RequestInProgress):
        client.complete(None, upload_id)
    ((image_id, key),) = sql.run("SELECT id, original_key FROM images")
    assert images == [image_id]
    assert list(client.storage.objects) == [key]
