"""Many images at once: one statement, and each accepted or refused by itself."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from pg8000.native import Connection

from image_api.core.change_log.events import Event
from image_api.core.library import batch, trash
from image_api.core.library.batch import BatchRequest
from image_api.core.library.images import Caller
from image_api.errors import ImageNotFound, QuotaExceeded, TooMuchUnderWay, Unauthenticated
from image_api.postgres.database import Database
from image_api.postgres.images import PostgresImageRecords
from image_api.rabbitmq.broker import Broker
from image_api.settings import AccountLimits
from tests.amqp import open_channel
from tests.fakes import RecordingSink
from tests.integration.accepting import another_image, changes
from tests.integration.publishing import sink_of


class Sink(RecordingSink):
    def publish_requests(self, accepted: Any) -> None:
        self.events += accepted


@pytest.fixture
def ada(add_user: Callable[[str], int]) -> Caller:
    return Caller(add_user("Ada"), "request-1")


def upload(database: Database, caller: Caller, number: int) -> list[int]:
    records = PostgresImageRecords(database)
    return [records.accept_upload(caller, another_image()).image_id for _ in range(number)]


def test_what_is_accepted_is_in_the_log_once_each_in_the_order_of_the_ids(
    database: Database, ada: Caller, sql: Connection
) -> None:
    ids = upload(database, ada, 4)[::-1]
    sink = Sink()
    request = BatchRequest.model_validate({"ids": [*ids, ids[0]], "changes": {"tags": ["null"]}})
    outcomes = batch.change_all(PostgresImageRecords(database), sink, ada, request)
    assert outcomes == [(image_id, None) for image_id in (*ids, ids[0])]
    assert [event.image_id for event in sink.events] == ids
    logged = changes(sql, "change_id::text, image_id, sequence, data, correlation_id")[4:]
    assert sorted(logged) == sorted(
        [event.id, event.image_id, 2, event.data, "request-1"] for event in sink.events
    )
    assert sink.events[0].data == {"user_id": ada.user_id, "changes": {"tags": ["null"]}}


def test_what_the_limits_leave_room_for_is_accepted(database: Database, ada: Caller) -> None:
    ids = upload(database, ada, 4)
    records = PostgresImageRecords(database, AccountLimits(unfinished_changes=6))
    request = BatchRequest.model_validate({"ids": ids[::-1], "changes": {"title": "x"}})
    outcomes = batch.change_all(records, Sink(), ada, request)
    assert [type(outcome.refusal) for outcome in outcomes] == [
        *(type(None), type(None), TooMuchUnderWay, TooMuchUnderWay),
    ]
    assert [outcome.image_id for outcome in outcomes] == ids[::-1]
    # To delete is always possible.
    request = BatchRequest.model_validate({"ids": ids, "delete": True})
    assert {each.refusal for each in batch.change_all(records, Sink(), ada, request)} == {None}


def test_a_full_account_makes_no_new_sizes(database: Database, ada: Caller) -> None:
    ids = upload(database, ada, 2)
    records = PostgresImageRecords(database, AccountLimits(bytes=1))
    request = BatchRequest.model_validate({"ids": ids, "changes": {"resolution": "1x1"}})
    outcomes = batch.change_all(records, Sink(), ada, request)
    assert [type(each.refusal) for each in outcomes] == [QuotaExceeded, QuotaExceeded]


def test_a_repeated_batch_is_answered_as_at_first_and_refusals_with_it(
    database: Database, ada: Caller, sql: Connection
) -> None:
    ids = upload(database, ada, 2)
    records = PostgresImageRecords(database, AccountLimits(unfinished_changes=3))
    caller = replace(ada, idempotency_key="k")
    request = BatchRequest.model_validate({"ids": [*ids, 99], "changes": {"title": "x"}})
    sink = Sink()
    first = batch.change_all(records, sink, caller, request)
    sql.run("UPDATE images SET applied_sequence = accepted_sequence")
    again = batch.change_all(records, sink, caller, request)
    assert [str(each.refusal) for each in again] == [str(each.refusal) for each in first]
    assert [type(each.refusal) for each in again] == [type(None), TooMuchUnderWay, ImageNotFound]
    assert len(sink.events) == 1
    # Also where nothing was accepted.
    request = BatchRequest.model_validate({"ids": [98, 99], "delete": True})
    for _ in range(2):
        outcomes = batch.change_all(records, sink, replace(ada, idempotency_key="l"), request)
        assert [type(each.refusal) for each in outcomes] == [ImageNotFound, ImageNotFound]


def test_a_deleted_user_changes_nothing(database: Database, ada: Caller) -> None:
    request = BatchRequest.model_validate({"ids": [1], "delete": True})
    with pytest.raises(Unauthenticated):
        batch.change_all(PostgresImageRecords(database), Sink(), Caller(99, ""), request)


def test_batches_and_single_changes_side_by_side_wait_for_nobody_in_a_circle(
    make_database: Callable[[], Database], database: Database, ada: Caller, sql: Connection
) -> None:
    ids = upload(database, ada, 12)
    numbers = count(1)

    def work(records: PostgresImageRecords) -> int:
        accepted = 0
        for _ in range(10):
            number = next(numbers)
            mixed = ids[number % 12 :] + ids[: number % 12]
            changed = {"tags": [f"tag {number % 3}"], "trashed": number % 2 == 0}
            request = BatchRequest.model_validate({"ids": mixed, "changes": changed})
            outcomes = batch.change_all(records, Sink(), ada, request)
            accepted += sum(each.refusal is None for each in outcomes)
            accepted += records.accept_update(ada, mixed[0], {"title": "x"}) is not None
        return accepted

    with ThreadPoolExecutor(6) as threads:
        accepted = sum(threads.map(work, [PostgresImageRecords(make_database()) for _ in range(6)]))
    assert accepted == 6 * 10 * 13
    assert sql.run("SELECT count(*) FROM changes") == [[12 + accepted]]
    assert sql.run("SELECT unfinished_changes FROM account_usage") == [[12 + accepted]]


def test_many_events_are_published_and_marked(
    database: Database, ada: Caller, sql: Connection, broker: Broker, queue: str, services: Any
) -> None:
    ids = upload(database, ada, 30)
    records = PostgresImageRecords(database)
    request = BatchRequest.model_validate({"ids": ids, "delete": True})
    batch.change_all(records, sink_of(database, broker), ada, request)
    assert sql.run("SELECT count(*) FROM changes WHERE published_at IS NOT NULL") == [[30]]
    with open_channel(services.rabbitmq_url) as channel:
        declared = channel.queue_declare(queue, passive=True)
        assert declared.method.message_count == 30


def test_what_cannot_be_published_is_left_to_the_relay(
    database: Database, ada: Caller, sql: Connection
) -> None:
    class Away:
        def publish_event(self, event: Event) -> None:
            raise AssertionError

        def publish_events(self, batch: Any, seconds: float) -> list[Event]:
            return []

    ids = upload(database, ada, 2)
    request = BatchRequest.model_validate({"ids": ids, "delete": True})
    sink = sink_of(database, Away())
    outcomes = batch.change_all(PostgresImageRecords(database), sink, ada, request)
    assert {each.refusal for each in outcomes} == {None}
    assert sql.run("SELECT count(*) FROM changes WHERE published_at IS NULL") == [[4]]


def test_the_trash_is_emptied_in_steps_of_what_has_been_there_long_enough(
    database: Database, ada: Caller, sql: Connection
) -> None:
    records = PostgresImageRecords(database)
    ids = upload(database, ada, 230)
    request = BatchRequest.model_validate({"ids": ids[:100], "changes": {"trashed": True}})
    for start in (0, 100, 200):
        part = request.model_copy(update={"ids": ids[start : start + 100]})
        batch.change_all(records, Sink(), ada, part)
    sql.run(
        "UPDATE images SET applied_sequence = accepted_sequence, trashed_at = now() - "
        "make_interval(days => 31)"
    )
    young, waiting, deleted = ids[0], ids[1], ids[2]
    sql.run("UPDATE images SET trashed_at = now() WHERE id = :id", id=young)
    records.accept_update(ada, waiting, {"trashed": False})
    records.accept_delete(ada, deleted)

    def empty(days: int, remaining: int = 300_000) -> int:
        return trash.empty(records, trash_days=days, remaining_milliseconds=lambda: remaining)

    assert (empty(0), empty(32), empty(30, remaining=1000)) == (0, 0, 0)
    assert empty(30) == 227
    assert empty(30) == 0
    assert sql.run("SELECT id FROM images WHERE deleted_at IS NULL ORDER BY id") == [
        *([young], [waiting]),
    ]
    assert sql.run(
        "SELECT count(*), min(sequence), bool_and(published_at IS NULL) FROM changes "
        "WHERE type = 'image.delete.requested' AND correlation_id = ''"
    ) == [[227, 3, True]]
