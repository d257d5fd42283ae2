"""The log of changes: each is begun, applied and told once; as the fake of it does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pg8000.native import Connection
from pika.adapters.blocking_connection import BlockingChannel

from image_api.core.change_log import events
from image_api.core.change_log.changes import (
    CRASH_PAUSE_SECONDS,
    LATE_SECONDS,
    LEASE_SECONDS,
    StoredRendition,
    Work,
)
from image_api.core.change_log.dead_letters import (
    LETTER_GRACE_SECONDS,
    LETTER_PAUSE_SECONDS,
    Letter,
)
from image_api.core.change_log.events import Event
from image_api.core.change_log.queues import dead_queue
from image_api.core.library.images import Caller
from image_api.postgres.changes import PostgresRelayRecords
from image_api.postgres.database import Database
from image_api.postgres.dead_letters import PostgresLetterRecords
from image_api.postgres.images import PostgresImageRecords
from image_api.postgres.processing import PostgresChangeLog
from image_api.postgres.rerendering import PostgresRerenderRecords
from image_api.settings import AccountLimits
from tests.consistency import contradictions
from tests.fakes import FakeChangeLog
from tests.integration.accepting import Accepting, age, another_image, changes
from tests.integration.functions import Api
from tests.integration.publishing import change_log_of
from tests.waiting import eventually

MESSAGE_ID = events.new_id()


class Recorder:
    def __init__(self) -> None:
        self.published: list[Event] = []

    def publish_event(self, event: Event) -> None:
        self.published.append(event)

    def publish_events(self, events: Sequence[Event], seconds: float) -> list[Event]:
        assert seconds > 0
        self.published += events
        return list(events)


@pytest.fixture
def publisher() -> Recorder:
    return Recorder()


@pytest.fixture
def log(database: Database, publisher: Recorder) -> PostgresChangeLog:
    return change_log_of(database, publisher)


@pytest.fixture
def make_log(
    make_database: Callable[[], Database], publisher: Recorder
) -> Callable[[], PostgresChangeLog]:
    return lambda: change_log_of(make_database(), publisher)


@pytest.fixture
def accept(database: Database, add_user: Callable[[str], int]) -> Accepting:
    return Accepting(database, add_user)


def beside_original(work: Work) -> list[StoredRendition]:
    assert work.image is not None
    folder = work.image.original_key.rpartition("/")[0]
    return [
        replace(rendition, object_key=f"{folder}/1/{rendition.object_key.rpartition('/')[2]}")
        for rendition in renditions()
    ]


def renditions(width: int = 640, folder: str = "1") -> list[StoredRendition]:
    folder = f"storage/0000/{folder}"
    return [
        StoredRendition("image", f"{folder}/image.png", "image/png", 99, width, 5, False, 1),
        StoredRendition("thumbnail", f"{folder}/thumbnail.webp", "image/webp", 9, 3, 2, False, 1),
    ]


def begun(log: PostgresChangeLog, **options: Any) -> Work:
    work = log.begin(MESSAGE_ID, options.pop("after", 0), crashed=options.pop("crashed", False))
    assert work is not None
    return work


def completed(log: PostgresChangeLog, *, of: list[StoredRendition] | None = None) -> Event | None:
    """The outcome of whatever is next."""
    work = begun(log)
    outcome_type = work.event.type.replace("requested", "completed")
    return log.complete(work, outcome_type, renditions() if of is None else of)


def test_a_begun_change_is_what_was_accepted(log: PostgresChangeLog, accept: Accepting) -> None:
    upload = accept.upload()
    work = begun(log)
    assert work.event == upload
    assert (work.user_id, work.failures, work.crashes, work.is_replaced) == (1, 0, 0, False)
    assert work.image is not None
    assert (work.image.original_key, work.image.rendered) == ("storage/0001/original.png", False)
    assert log.begin(MESSAGE_ID, 0, crashed=False) is None


def test_a_completed_upload_is_ready_with_what_was_measured(
    log: PostgresChangeLog,
    image_records: PostgresImageRecords,
    accept: Accepting,
    publisher: Recorder,
    sql: Connection,
) -> None:
    upload = accept.upload()
    outcome = completed(log)
    image = image_records.find(1, upload.image_id)
    assert image is not None
    assert (image["status"], image["resolution"], image["size"]) == ("ready", "640x5", 99)
    assert image["url"] == image["file_path"] == "storage/0000/1/image.png"
    assert image["thumbnail_url"] == "storage/0000/1/thumbnail.webp"
    assert outcome is not None
    assert (outcome.type, outcome.sequence, outcome.correlation_id) == (
        *(events.UPLOAD_COMPLETED, 1, "request-1"),
    )
    assert outcome.data["status"] == "ready"
    assert outcome.data["resolution"] == "640x5"
    assert outcome.occurred_at.endswith("Z")
    assert changes(sql, "outcome, outcome_id::text, outcome_published_at IS NULL") == [
        ["applied", outcome.id, True]
    ]
    log.publish([outcome])
    assert publisher.published == [outcome]
    assert changes(sql, "outcome_published_at IS NULL") == [[False]]


def test_an_update_replaces_the_renditions_and_keeps_what_it_does_not_name(
    log: PostgresChangeLog, image_records: PostgresImageRecords, accept: Accepting
) -> None:
    upload = accept.upload()
    completed(log)
    accept.update(upload.image_id, title="new", resolution="10x5")
    accept.update(upload.image_id, title="newer")
    work = begun(log)
    assert work.image is not None
    assert work.image.rendition_keys == tuple(each.object_key for each in renditions())
    log.complete(work, events.UPDATE_COMPLETED, renditions(10, "2"))
    completed(log, of=[])
    image = image_records.find(1, upload.image_id)
    assert image is not None
    assert (image["title"], image["visibility"], image["resolution"]) == ("newer", "shared", "10x5")
    assert image["url"] == "storage/0000/2/image.png"


def test_a_resolution_is_replaced_by_a_later_accepted_one_only(
    log: PostgresChangeLog, accept: Accepting
) -> None:
    upload = accept.upload()
    for wanted in ({"resolution": "1x1"}, {"title": "t"}, {"resolution": "2x2"}, {"title": "u"}):
        accept.update(upload.image_id, **wanted)
    replaced = []
    for _ in range(5):
        work = begun(log)
        replaced.append(work.is_replaced)
        log.complete(work, events.UPDATE_COMPLETED, [])
    assert replaced == [True, True, True, False, False]


@pytest.mark.parametrize("the_later_one_fails", [True, False])
def test_a_size_that_was_replaced_is_made_anew_if_the_change_that_replaces_it_fails(
    log: PostgresChangeLog, accept: Accepting, database: Database, the_later_one_fails: bool
) -> None:
    upload = accept.upload()
    completed(log)
    accept.update(upload.image_id, resolution="20x10", fit="contain")
    accept.update(upload.image_id, resolution="30x10")
    assert completed(log, of=[]) is not None
    rerenders = PostgresRerenderRecords(database)
    assert rerenders.begin(1, 3) is None
    if the_later_one_fails:
        assert log.fail(begun(log), events.UPDATE_FAILED, "lost") is not None
        outdated = rerenders.begin(1, 3)
        assert outdated is not None and outdated.asked == ((20, 10), "contain")
    else:
        completed(log, of=renditions(30, "3"))
        assert rerenders.begin(1, 3) is None


@pytest.mark.parametrize(
    "how",
    [
        "goes on",
        "died",
        "died before another",
        "left its renderer",
        "lost its renderer",
        "lost its renderer before another",
    ],
)
def test_a_removal_knows_how_long_attempts_before_it_may_store_something(
    log: PostgresChangeLog, accept: Accepting, sql: Connection, how: str
) -> None:
    upload = accept.upload()
    work = begun(log)
    if how == "left its renderer":
        log.leave(work, "storage/0001/1-aa", 90.0, 1)
    elif how.startswith("lost"):
        log.lose_renderer(work, LATE_SECONDS)
        log.postpone(work, 0, "away")
    elif how != "goes on":
        log.free([MESSAGE_ID])
    if how.endswith("before another"):
        work = begun(log, crashed=how.startswith("died"))
        assert log.complete(work, events.UPLOAD_COMPLETED, renditions()) is not None
    accept.delete(upload.image_id)
    removal = begun(log)
    longest = LEASE_SECONDS + LATE_SECONDS if how == "goes on" else LATE_SECONDS
    assert longest - 60 < removal.busy_seconds <= longest
    log.put_back(removal, 0)
    age(sql, LATE_SECONDS)
    for column in ("rendering_until", "storing_until"):
        sql.run(f"UPDATE changes SET {column} = {column} - interval '95 seconds'")
    if how != "goes on":
        assert begun(log).busy_seconds == 0


def test_a_failure_is_told_and_what_follows_has_its_turn(
    log: PostgresChangeLog, accept: Accepting, sql: Connection
) -> None:
    upload = accept.upload()
    accept.update(upload.image_id, title="new")
    outcome = log.fail(begun(log), events.UPLOAD_FAILED, "why")
    assert outcome is not None
    assert outcome.data == {"user_id": 1, "status": "failed", "error": "why"}
    assert sql.run("SELECT status, error FROM images") == [["processing", "why"]]
    assert begun(log).event.sequence == 2


def test_a_letter_is_owed_with_the_verdict_and_until_it_is_sent(
    log: PostgresChangeLog,
    database: Database,
    make_database: Callable[[], Database],
    accept: Accepting,
    sql: Connection,
) -> None:
    upload, other = accept.upload(), accept.upload("Grace")
    for _ in range(2):
        assert log.fail(begun(log), events.UPLOAD_FAILED, "why", owes_letter=True) is not None
    # Whoever owes it is about to send it.
    relay, another = PostgresLetterRecords(database), PostgresLetterRecords(make_database())
    assert relay.due_letters(10) == []
    log.letter_sent(other)
    age(sql, LETTER_GRACE_SECONDS)
    sql.run("BEGIN")
    sql.run("SELECT FROM owed_letters FOR UPDATE")
    # As long as nobody can write down that it was sent, nobody sends it.
    assert relay.due_letters(10) == []
    sql.run("ROLLBACK")
    (letter,) = relay.due_letters(10)
    assert letter == Letter(letter.event, "why", 1)
    assert replace(letter.event, occurred_at=upload.occurred_at) == upload
    assert another.due_letters(10) == []
    age(sql, LETTER_PAUSE_SECONDS)
    assert [each.event.id for each in another.due_letters(10)] == [upload.id]
    another.letter_sent(upload)
    age(sql, LETTER_PAUSE_SECONDS)
    assert relay.due_letters(10) == []


def test_the_relay_sends_what_a_consumer_that_died_owed(
    api: Api,
    ada: str,
    log: PostgresChangeLog,
    channel: BlockingChannel,
    queue: str,
    sql: Connection,
) -> None:
    image_id = api.upload(ada)
    assert log.fail(begun(log), events.UPLOAD_FAILED, "why", owes_letter=True) is not None
    api.call("relay", {})
    assert channel.basic_get(dead_queue(queue))[0] is None
    for _ in range(2):
        age(sql, LETTER_PAUSE_SECONDS)
        api.call("relay", {})
    method, properties, body = channel.basic_get(dead_queue(queue), auto_ack=True)
    assert properties is not None and body is not None and method.message_count == 0
    assert events.decode(body).image_id == image_id
    assert (properties.headers["x-reason"], properties.headers["x-attempt"]) == ("why", 1)


def test_a_letter_goes_with_the_account_of_its_change(
    log: PostgresChangeLog, accept: Accepting, sql: Connection
) -> None:
    accept.upload()
    assert log.fail(begun(log), events.UPLOAD_FAILED, "why", owes_letter=True) is not None
    sql.run("DELETE FROM changes")
    assert sql.run("SELECT count(*) FROM owed_letters") == [[0]]


def test_a_removal_waits_for_nothing_and_leaves_no_row_of_the_image(
    log: PostgresChangeLog, accept: Accepting, publisher: Recorder, sql: Connection
) -> None:
    upload = accept.upload()
    assert not log.is_deleted(upload.image_id)
    in_work = begun(log)
    accept.update(upload.image_id, title="new")
    accept.delete(upload.image_id)
    assert log.is_deleted(upload.image_id)
    work = begun(log)
    assert work.event.type == events.DELETE_REQUESTED
    outcomes = log.remove(work, events.DELETE_COMPLETED)
    assert [(outcome.type, outcome.sequence) for outcome in outcomes] == [
        (events.UPLOAD_FAILED, 1),
        (events.UPDATE_FAILED, 2),
        (events.DELETE_COMPLETED, 3),
    ]
    assert outcomes[1].data == {"user_id": 1, "status": "failed", "error": "The image was deleted"}
    assert outcomes[2].data == {"user_id": 1}
    assert log.remove(work, events.DELETE_COMPLETED) == []
    assert log.complete(in_work, events.UPLOAD_COMPLETED, renditions()) is None
    log.postpone(in_work, 1, "away")
    for table in ("images", "renditions"):
        assert sql.run(f"SELECT count(*) FROM {table}") == [[0]]
    log.publish(outcomes)
    assert changes(sql, "outcome, outcome_published_at IS NULL") == [
        *(["failed", False], ["failed", False], ["applied", False])
    ]


def test_the_changes_of_an_image_that_is_gone_are_settled(
    log: PostgresChangeLog, accept: Accepting, sql: Connection
) -> None:
    upload = accept.upload()
    accept.delete(upload.image_id)
    # As somebody without the log may leave it.
    sql.run("ALTER TABLE images DISABLE TRIGGER images_gone")
    sql.run("DELETE FROM images")
    sql.run("ALTER TABLE images ENABLE TRIGGER images_gone")
    first, second = begun(log), begun(log)
    assert (first.image, second.image) == (None, None)
    assert log.fail(first, events.UPLOAD_FAILED, "gone") is not None
    assert [event.type for event in log.remove(second, events.DELETE_COMPLETED)] == [
        events.DELETE_COMPLETED
    ]
    assert changes(sql, "settled_at IS NULL") == [[False]] * 2


@pytest.mark.parametrize("beginners", [2, 8])
def test_a_change_is_begun_once_however_many_consumers_there_are(
    make_log: Callable[[], PostgresChangeLog], accept: Accepting, sql: Connection, beginners: int
) -> None:
    for number in range(40):
        accept.upload(f"user {number % 3}")
    logs = [make_log() for _ in range(beginners)]

    def work_on(log: PostgresChangeLog) -> list[str]:
        ids = []
        while (work := log.begin(MESSAGE_ID, 0, crashed=False)) is not None:
            ids.append(work.event.id)
            log.complete(work, events.UPLOAD_COMPLETED, renditions())
        return ids

    with ThreadPoolExecutor(beginners) as threads:
        ids = [each for found in threads.map(work_on, logs) for each in found]
    assert len(ids) == len(set(ids)) == 40
    assert changes(sql, "attempts, outcome") == [[1, "applied"]] * 40


# Two that lock in different orders meet now and then only.
@pytest.mark.parametrize("_round", range(10))
def test_a_change_takes_effect_once_however_many_have_begun_it(
    _round: int,
    make_log: Callable[[], PostgresChangeLog],
    log: PostgresChangeLog,
    accept: Accepting,
    sql: Connection,
) -> None:
    upload = accept.upload()
    accept.update(upload.image_id, title="new")
    work = begun(log)

    def settle(number: int) -> bool:
        target = make_log()
        if number % 2:
            return target.fail(work, events.UPLOAD_FAILED, "why") is not None
        return target.complete(work, events.UPLOAD_COMPLETED, renditions()) is not None

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(settle, range(8))) == 1
    assert sql.run("SELECT applied_sequence FROM images") == [[1]]
    assert [row[0] is None for row in changes(sql, "outcome")] == [False, True]


def test_a_removal_beside_an_update_settles_both_once(
    make_log: Callable[[], PostgresChangeLog],
    log: PostgresChangeLog,
    accept: Accepting,
    sql: Connection,
) -> None:
    for _ in range(10):
        upload = accept.upload()
        completed(log)
        accept.update(upload.image_id, title="new")
        update = begun(log)
        accept.delete(upload.image_id)
        removal = begun(log)
        logs = make_log(), make_log()
        with ThreadPoolExecutor(2) as threads:
            updated = threads.submit(logs[0].complete, update, events.UPDATE_COMPLETED, [])
            removed = threads.submit(logs[1].remove, removal, events.DELETE_COMPLETED)
            outcomes = [updated.result(), *removed.result()]
        assert sorted(outcome.sequence for outcome in outcomes if outcome) == [2, 3]
    assert sql.run("SELECT count(*) FROM images") == [[0]]
    assert changes(sql, "settled_at IS NULL") == [[False]] * 30


def test_users_have_their_turns_one_after_the_other(
    log: PostgresChangeLog, accept: Accepting
) -> None:
    users = ["Ada", "Ada", "Ada", "Bob", "Cyd", "Cyd"]
    uploads = [accept.upload(user) for user in users]
    ids = {accept.user_id(user): user for user in users}
    last, order = 0, []
    for _ in uploads:
        work = begun(log, after=last)
        last = work.user_id
        order.append((ids[last], work.event.image_id))
    assert order == [("Ada", 1), ("Bob", 4), ("Cyd", 5), ("Ada", 2), ("Cyd", 6), ("Ada", 3)]


def test_what_waits_is_not_begun_before_it_is_due(
    log: PostgresChangeLog, accept: Accepting, sql: Connection
) -> None:
    upload = accept.upload()
    log.postpone(begun(log), 600, "away")
    assert log.begin(MESSAGE_ID, 0, crashed=False) is None
    known = log.look_up([upload])[upload.id]
    assert (known.is_settled, round(known.due_in_seconds, -1)) == (False, 600)
    # It ended in order: a message that comes again does not hasten it.
    log.free([MESSAGE_ID])
    assert log.begin(MESSAGE_ID, 0, crashed=False) is None
    age(sql, 601)
    assert begun(log).failures == 1


def test_an_attempt_that_did_not_end_is_free_when_its_message_comes_again_or_its_lease_ends(
    log: PostgresChangeLog, accept: Accepting, sql: Connection
) -> None:
    accept.upload()
    begun(log)
    log.free([events.new_id()])
    assert log.begin(MESSAGE_ID, 0, crashed=True) is None
    log.free([MESSAGE_ID])
    assert log.begin(MESSAGE_ID, 0, crashed=False) is None
    assert begun(log, crashed=True).crashes == 1
    # Twice may be its own fault: that has time.
    log.free([MESSAGE_ID])
    assert log.begin(MESSAGE_ID, 0, crashed=True) is None
    age(sql, CRASH_PAUSE_SECONDS)
    assert begun(log, crashed=True).crashes == 2
    age(sql, LEASE_SECONDS)
    assert begun(log, crashed=True).crashes == 3


def test_what_failed_is_reopened_once_and_only_as_the_last_word(
    make_log: Callable[[], PostgresChangeLog],
    log: PostgresChangeLog,
    accept: Accepting,
    sql: Connection,
) -> None:
    upload = accept.upload()
    log.fail(begun(log), events.UPLOAD_FAILED, "why")
    with ThreadPoolExecutor(4) as threads:
        logs = [make_log() for _ in range(4)]
        assert sum(threads.map(lambda each: each.reopen(upload), logs)) == 1
    assert completed(log) is not None
    # A file that was found missing later is another matter, and so is what was applied.
    sql.run("UPDATE images SET status = 'failed', error = 'A file is missing'")
    assert not log.reopen(upload)
    assert sql.run("SELECT status, applied_sequence FROM images") == [["failed", 1]]


def visibility(sql: Connection) -> Any:
    return sql.run("SELECT visibility FROM images")[0][0]


def test_to_hide_an_image_is_done_with_the_answer_and_nothing_earlier_undoes_it(
    log: PostgresChangeLog, accept: Accepting, sql: Connection
) -> None:
    image_id = accept.upload().image_id
    accept.update(image_id, visibility="shared")
    accept.update(image_id, visibility="private")
    assert visibility(sql) == "private"
    for _ in range(2):
        assert completed(log) is not None
        assert visibility(sql) == "private"
    # Nor does it matter what becomes of the change itself.
    log.fail(begun(log), events.UPDATE_FAILED, "why")
    assert visibility(sql) == "private"
    accept.update(image_id, visibility="shared")
    assert visibility(sql) == "private"
    assert completed(log) is not None
    assert visibility(sql) == "shared"


def test_what_is_shown_at_the_very_moment_in_which_it_is_hidden_stays_hidden(
    make_database: Callable[[], Database],
    log: PostgresChangeLog,
    accept: Accepting,
    sql: Connection,
) -> None:
    image_id = accept.upload().image_id
    assert completed(log) is not None
    accept.update(image_id, visibility="shared")
    showing = begun(log)
    hiding = make_database()
    with ThreadPoolExecutor(1) as threads:
        with hiding.transaction():
            caller = Caller(accept.user_id("Ada"), "request-1")
            PostgresImageRecords(hiding).accept_update(caller, image_id, {"visibility": "private"})
            shown = threads.submit(log.complete, showing, events.UPDATE_COMPLETED, [])
            eventually(lambda: waiting_for_locks(sql) == 1, "the change waits for the image")
        assert shown.result() is not None
    assert visibility(sql) == "private"


def waiting_for_locks(sql: Connection) -> int:
    ((number,),) = sql.run(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return int(number)


def test_the_bytes_of_an_image_are_its_original_and_whatever_was_made_of_it(
    log: PostgresChangeLog, accept: Accepting, sql: Connection
) -> None:
    def stored() -> Any:
        return sql.run("SELECT bytes FROM account_usage")[0][0]

    image_id = accept.upload().image_id
    assert stored() == 1234
    completed(log)
    assert stored() == 1234 + 99 + 9
    accept.update(image_id, title="new")
    completed(log, of=[])
    assert stored() == 1234 + 99 + 9
    accept.update(image_id, resolution="1x1")
    # An original with nothing to remove from it is its own rendition.
    image, thumbnail = renditions()
    ((original,),) = sql.run("SELECT original_key FROM images")
    completed(log, of=[replace(image, object_key=original, size_bytes=1234), thumbnail])
    assert stored() == 1234 + 9


def test_whoever_accepts_and_settles_side_by_side_waits_for_nobody_in_a_circle(
    make_log: Callable[[], PostgresChangeLog],
    make_database: Callable[[], Database],
    accept: Accepting,
    sql: Connection,
) -> None:
    image_ids = [accept.upload().image_id for _ in range(3)]
    caller = Caller(accept.user_id("Ada"), "request-1")
    every = AccountLimits(1000, 10**9, 1000, 1000)

    def ask(database: Database) -> None:
        records = PostgresImageRecords(database, every)
        for turn in range(15):
            image_id = image_ids[turn % 3]
            wish = "private" if turn % 2 else "shared"
            records.accept_update(caller, image_id, {"visibility": wish})
            if turn % 5 == 4:
                added = records.accept_upload(caller, another_image())
                records.accept_delete(caller, added.image_id)

    def settle(log: PostgresChangeLog) -> None:
        while True:
            last = asked.is_set()
            works = list(filter(None, [log.begin(events.new_id(), 0, crashed=False)]))
            if last and not works:
                return
            for work in works:
                if work.event.type == events.DELETE_REQUESTED:
                    log.remove(work, events.DELETE_COMPLETED)
                elif work.event.sequence % 3:
                    log.complete(work, events.UPDATE_COMPLETED, renditions())
                else:
                    log.fail(work, events.UPDATE_FAILED, "why")

    asked = threading.Event()
    with ThreadPoolExecutor(8) as threads:
        settling = [threads.submit(settle, make_log()) for _ in range(4)]
        asking = [threads.submit(ask, make_database()) for _ in range(4)]
        try:
            for each in asking:
                each.result()
        finally:
            asked.set()
        for each in settling:
            each.result()
    assert contradictions(sql) == []


@pytest.mark.parametrize(
    ("what", "planted"),
    [
        ("account_usage", "UPDATE account_usage SET unfinished_changes = unfinished_changes + 1"),
        ("image_totals", "UPDATE image_totals SET images = images + 1 WHERE user_id = 0"),
        ("tag_totals", "DELETE FROM tag_totals WHERE user_id = 0"),
        ("listed_images", "UPDATE listed_images SET title_key = 'another'"),
        ("images.applied_sequence", "UPDATE images SET applied_sequence = 0"),
        ("images.deleted_at", "UPDATE images SET deleted_at = now()"),
        ("changes.sequence", "DELETE FROM changes WHERE sequence = 1"),
        ("changes.image_id", "DELETE FROM images"),
    ],
)
def test_what_does_not_agree_is_found(
    log: PostgresChangeLog, accept: Accepting, sql: Connection, what: str, planted: str
) -> None:
    kept, gone = accept.upload().image_id, accept.upload().image_id
    accept.update(kept, title="Noon", tags=["beach"])
    accept.delete(gone)
    while (work := log.begin(MESSAGE_ID, 0, crashed=False)) is not None:
        if work.event.type == events.DELETE_REQUESTED:
            log.remove(work, events.DELETE_COMPLETED)
        else:
            log.complete(work, events.UPDATE_COMPLETED, renditions())
    assert contradictions(sql) == []
    sql.run(planted)
    assert what in {each.partition(":")[0] for each in contradictions(sql)}


MARKS: dict[str, Callable[[Database, list[Event]], object]] = {
    "requests are marked": lambda database, accepted: PostgresRelayRecords(database).mark_published(
        accepted
    ),
    "outcomes are marked": lambda database, accepted: PostgresRelayRecords(database).mark_published(
        [replace(event, type=events.UPDATE_COMPLETED) for event in accepted]
    ),
    "changes are freed": lambda database, accepted: change_log_of(database, Recorder()).free(
        [event.id for event in accepted]
    ),
    "an image is removed": lambda database, accepted: change_log_of(database, Recorder()).remove(
        removal_of(accepted), events.DELETE_COMPLETED
    ),
}


def removal_of(accepted: list[Event]) -> Work:
    return Work(accepted[-1], 1, 0, 0, 0, False, None, 0.0, None)


@pytest.mark.parametrize("what", MARKS)
def test_two_that_change_the_same_rows_wait_for_each_other_in_no_circle(
    what: str, make_database: Callable[[], Database], accept: Accepting, sql: Connection
) -> None:
    upload = accept.upload()
    accepted = [accept.update(upload.image_id, title=title) for title in ("a", "b")]
    accepted.append(accept.delete(upload.image_id))
    # However they are found, the one with the lowest id comes last.
    for sequence in (3, 2, 1):
        sql.run("UPDATE changes SET id = DEFAULT WHERE sequence = :sequence", sequence=sequence)
    sql.run("UPDATE changes SET change_id = lpad(sequence::text, 32, '0')::uuid")
    sql.run("UPDATE changes SET attempts = 1, begun_for = change_id, outcome_id = change_id")
    sql.run("CLUSTER changes USING changes_of_image_unique")
    accepted = [replace(event, id=str(UUID(int=event.sequence))) for event in accepted]
    holder, other = make_database(), make_database()
    with ThreadPoolExecutor(1) as threads:
        with holder.transaction():
            holder.rows("UPDATE changes SET reason = 'held' WHERE sequence = 4")
            changed = threads.submit(MARKS[what], other, accepted)
            eventually(lambda: waiting_for_locks(sql) == 1, "the other waits for the first row")
            holder.rows("UPDATE changes SET reason = 'held' WHERE sequence < 4")
        changed.result()


def test_a_stranger_is_not_in_the_log(log: PostgresChangeLog, accept: Accepting) -> None:
    upload = accept.upload()
    assert log.look_up([stranger(upload)]) == {}
    assert not log.reopen(stranger(upload))
    assert log.look_up([upload]).keys() == {upload.id}


def stranger(event: Event) -> Event:
    return Event(
        events.new_id(), event.type, event.image_id, 2, {"a": "\0"}, "x" * 10_000, "yesterday"
    )


WISHES = {
    "title": {"title": "new"},
    "size": {"resolution": "10x10"},
    "hide": {"visibility": "private"},
    "show": {"visibility": "shared", "resolution": "9x9"},
    "both": {"title": "both", "visibility": "shared"},
}
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("accept"), st.sampled_from(["upload", *WISHES, "delete"])),
        st.tuples(st.just("begin"), st.booleans()),
        st.tuples(
            st.sampled_from(["complete", "fail", "remove", "postpone", "again", "reopen", "move"]),
            st.integers(0, 3),
        ),
        st.tuples(st.sampled_from(["free", "wait"]), st.just(0)),
        st.tuples(st.just("apply_plain"), st.integers(1, 3)),
    ),
    max_size=25,
)


@hypothesis_settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(operations=OPERATIONS)
def test_the_fake_that_unit_tests_use_behaves_as_postgres_does(
    log: PostgresChangeLog,
    database: Database,
    add_user: Callable[[str], int],
    sql: Connection,
    operations: list[tuple[str, Any]],
) -> None:
    sql.run("TRUNCATE users, images, changes, searchable_titles RESTART IDENTITY CASCADE")
    both = Both(log, Accepting(database, add_user), sql)
    for operation, argument in operations:
        getattr(both, operation)(argument)
    both.compare()


class Both:
    """The same operations on the fake and on Postgres, with the same answers."""

    def __init__(self, real: PostgresChangeLog, accepting: Accepting, sql: Connection) -> None:
        self._real, self._accepting, self._sql = real, accepting, sql
        self._fake = FakeChangeLog()
        # The events of both, and what was begun in both.
        self._accepted: list[tuple[Event, Event]] = []
        self._begun: list[tuple[Work, Work]] = []
        self._last_user_id = 0

    def accept(self, what: str) -> None:
        owned = [image_id for image_id, image in self._fake.images.items() if not image.deleted]
        if what == "upload" or not owned:
            real = self._accepting.upload()
            fake = self._fake.accept_upload(f"storage/{real.image_id:04}/original.png")
            # Ids go on where images were removed.
            self._fake.images[real.image_id] = self._fake.images.pop(fake.image_id)
            self._fake.changes[fake.id].event = Event(
                fake.id, fake.type, real.image_id, *_rest(fake)
            )
        elif what == "delete":
            real = self._accepting.delete(owned[0])
            fake = self._fake.accept_delete(owned[0])
        else:
            changes = WISHES[what]
            real = self._accepting.update(owned[0], **changes)
            fake = self._fake.accept_update(owned[0], changes)
        self._accepted.append((self._fake.changes[fake.id].event, real))
        self._fake.now += 0.001

    def begin(self, crashed: bool) -> None:
        works = [
            log.begin(MESSAGE_ID, self._last_user_id, crashed=crashed)
            for log in (self._fake, self._real)
        ]
        assert _shown(works[0]) == _shown(works[1])
        if works[0] is not None and works[1] is not None:
            self._begun.append((works[0], works[1]))
            self._last_user_id = works[0].user_id

    def apply_plain(self, most: int) -> None:
        applied = [log.apply_plain(self._last_user_id, most) for log in (self._fake, self._real)]
        fake, real = (
            [(each.user_id, _shown(each.event), _shown(each.outcome)) for each in one]
            for one in applied
        )
        assert sorted(fake) == sorted(real)
        if fake:
            self._last_user_id = max(
                (user_id <= self._last_user_id, user_id) for user_id, _, _ in fake
            )[1]

    def complete(self, number: int) -> None:
        self._settle(number, lambda log, work: log.complete(work, "done", beside_original(work)))

    def again(self, number: int) -> None:
        self._settle(number, lambda log, work: log.complete(work, "done", []))

    def move(self, number: int) -> None:
        """As processing does before it settles what is not a removal."""
        for position, (fake, real) in enumerate(self._begun[number : number + 1], number):
            if fake.image is None or fake.event.type == events.DELETE_REQUESTED:
                continue
            key = fake.image.original_key
            folder, new_folder = key.rpartition("/")[0] + "/", f"storage/{number}{len(key)}/"
            works = []
            for log, work in ((self._fake, fake), (self._real, real)):
                moved = log.move(work.event.image_id, folder, new_folder)
                works.append(replace(work, image=moved or work.image))
                log.unexpose(work.event.image_id, key)
            assert _shown(works[0]) == _shown(works[1])
            self._begun[position] = (works[0], works[1])

    def fail(self, number: int) -> None:
        self._settle(number, lambda log, work: log.fail(work, "failed", "why", owes_letter=True))

    def remove(self, number: int) -> None:
        self._settle(number, lambda log, work: log.remove(work, "gone"), removal=True)

    def postpone(self, number: int) -> None:
        # As the consumer does: once an attempt.
        for work, real in self._begun[number : number + 1]:
            for log, each in ((self._fake, work), (self._real, real)):
                log.postpone(each, 600, "away", owes_letter=work.failures == 1)
            self._begun.remove((work, real))

    def reopen(self, number: int) -> None:
        for fake, real in self._accepted[number : number + 1]:
            assert self._fake.reopen(fake) == self._real.reopen(real)

    def free(self, _: int) -> None:
        for log in (self._fake, self._real):
            log.free([MESSAGE_ID])

    def wait(self, _: int) -> None:
        self._fake.now += 1000
        age(self._sql, 1000)

    def compare(self) -> None:
        rows = self._sql.run(
            "SELECT id, title, status, error, applied_sequence, rendered_at IS NOT NULL, "
            "visibility, original_key, exposed_key FROM images ORDER BY id"
        )
        assert rows == [
            [
                *(image_id, image.title, image.status, image.error, image.applied_sequence),
                *(image.rendered, image.visibility, image.original_key, image.exposed_key),
            ]
            for image_id, image in sorted(self._fake.images.items())
        ]
        assert changes(self._sql, "attempts, failures, outcome, reason, outcome_type") == [
            [
                *(row.attempts, row.failures, row.outcome, row.reason),
                row.outcome_event.type if row.outcome_event else None,
            ]
            for row in self._fake.changes.values()
        ]

        letters = self._sql.run(
            "SELECT c.image_id, c.sequence, o.reason, o.attempts FROM owed_letters AS o "
            "JOIN changes AS c ON c.change_id = o.change_id"
        )
        assert sorted(letters) == sorted(
            [each.event.image_id, each.event.sequence, each.reason, each.attempts]
            for each in self._fake.owed.values()
        )

    def _settle(
        self, number: int, settle: Callable[[Any, Work], Any], *, removal: bool = False
    ) -> None:
        for work, real in self._begun[number : number + 1]:
            if (work.event.type == events.DELETE_REQUESTED) != removal:
                continue
            outcomes = settle(self._fake, work), settle(self._real, real)
            assert _shown(outcomes[0]) == _shown(outcomes[1])


def _rest(event: Event) -> tuple[int, dict[str, Any], str, str]:
    return event.sequence, event.data, event.correlation_id, event.occurred_at


def _shown(result: Work | Event | list[Event] | None) -> Any:
    """What both must agree on: not ids, times, and what only Postgres tells."""
    match result:
        case Work(event=event):
            return (
                *(event.type, event.image_id, event.sequence, result.failures, result.crashes),
                *(result.is_replaced, result.image),
            )
        case Event():
            return result.type, result.image_id, result.sequence, result.data.get("error")
        case list():
            return [_shown(each) for each in result]
        case _:
            return None
