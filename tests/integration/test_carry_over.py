"""From the release before the log to this one and back: what was accepted is done, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest
from pg8000.native import Connection

import image_migrations
from image_api.core.change_log import events, relay
from image_api.core.change_log.changes import Work
from image_api.core.change_log.events import Event
from image_api.core.consumer.settling import Consumer
from image_api.postgres.changes import PostgresRelayRecords
from image_api.postgres.database import Database
from image_api.postgres.processing import PostgresChangeLog
from tests.fakes import FakePublisher, FakeStorage
from tests.integration.accepting import age, changes
from tests.integration.publishing import change_log_of
from tests.integration.real_services import connect
from tests.integration.release_before import ReleaseBefore
from tests.integration.test_change_log import waiting_for_locks
from tests.integration.test_migrations import downgrade
from tests.integration.test_relay import MemoryBroker, run
from tests.unit.core.consumer_bench import TIMEOUT_MILLISECONDS, processor_of, sent, use_fake_pixels
from tests.waiting import eventually


@dataclass
class Old:
    """A database as the release before left it, and what this release makes of it."""

    url: str
    database: Database
    sql: Connection
    before: ReleaseBefore
    storage: FakeStorage
    publisher: FakePublisher

    def upgrade(self) -> None:
        image_migrations.upgrade(self.url)
        self.log = change_log_of(self.database, MemoryBroker())
        self.consumer = Consumer(
            lambda: self.log,
            processor_of(self.log, self.storage),
            self.publisher,
            "events",
            workers=1,
        )

    def upload(self, *, published: bool = False) -> Event:
        event = self.before.upload(published=published)
        self.storage.objects[event.data["object_key"]] = (b"original", "image/png")
        return event

    def ready(self) -> Event:
        event = self.upload(published=True)
        assert self.before.complete(event)
        return event

    def process(self, *deliveries: Event) -> dict[str, int]:
        return self.consumer.consume(
            [sent(event) for event in deliveries], lambda: TIMEOUT_MILLISECONDS
        )

    def relayed(self) -> list[str]:
        """The ids of what the relay publishes."""
        broker = MemoryBroker(soon=1000)
        age(self.sql, relay.GRACE_SECONDS + 1)
        self.sql.run("UPDATE outbox SET created_at = created_at - interval '11 s'")
        run(PostgresRelayRecords(self.database), broker)
        return broker.published

    def images(self) -> dict[int, tuple[str, str]]:
        return {
            image_id: (status, title)
            for image_id, status, title in self.sql.run("SELECT id, status, title FROM images")
        }


@pytest.fixture
def old(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Old]:
    use_fake_pixels(monkeypatch)
    image_migrations.upgrade(empty_database_url, "0002")
    database, sql = Database(empty_database_url), connect(empty_database_url)
    made = Old(
        empty_database_url,
        database,
        sql,
        ReleaseBefore(database),
        FakeStorage(),
        FakePublisher(),
    )
    yield made
    made.consumer.close()
    database.close()
    sql.close()


def test_what_was_accepted_before_is_done_whatever_state_it_was_in(old: Old) -> None:
    waiting = [old.upload()]
    in_broker = [old.upload(published=True)]
    for published in (False, True):
        image_id = old.ready().image_id
        kept = in_broker if published else waiting
        kept += [
            old.before.update(image_id, title, published=published) for title in ("first", "last")
        ]
        image_id = old.ready().image_id
        kept.append(old.before.delete(image_id, published=published))
    # One of each, and a removal behind a change that was not applied.
    image_id = old.ready().image_id
    in_broker.append(old.before.update(image_id, "one", published=True))
    waiting.append(old.before.update(image_id, "two"))
    image_id = old.ready().image_id
    in_broker += [
        old.before.update(image_id, "void", published=True),
        old.before.delete(image_id, published=True),
    ]
    failed = old.upload(published=True)
    assert old.before.fail(failed, "why")
    untouched = old.ready()

    old.upgrade()

    requests = {event.id for event in waiting}
    relayed = old.relayed()
    assert {each for each in relayed if each in requests} == requests
    # And the outcomes that the release before had not told of.
    assert len(relayed) == len(set(relayed)) == len(requests) + 8
    assert old.sql.run("SELECT count(*) FROM outbox") == [[0]]
    messages = [*in_broker, *waiting, failed, untouched]
    for message in messages:
        old.process(message)
    old.process(*messages)
    assert [row for row in changes(old.sql, "settled_at") if row[0] is None] == []
    assert old.images() == {
        waiting[0].image_id: ("ready", "photo.png"),
        in_broker[0].image_id: ("ready", "photo.png"),
        3: ("ready", "last"),
        5: ("ready", "last"),
        7: ("ready", "two"),
        failed.image_id: ("failed", "photo.png"),
        untouched.image_id: ("ready", "photo.png"),
    }
    # Nobody's message was taken for a stranger's.
    assert old.publisher.to("events.dead") == []
    assert old.sql.run("SELECT count(*) FROM changes_in_broker") == [[0]]


def accept_in(old: Old, image: Event) -> str:
    return old.upload().id


def publish_in(old: Old, image: Event) -> str:
    old.before.publish(image)
    return image.id


def apply_in(old: Old, image: Event) -> str:
    assert old.before.complete(image)
    return image.id


@pytest.mark.parametrize("act", [accept_in, publish_in, apply_in])
def test_what_happens_while_the_log_is_made_is_carried_over_as_well(
    old: Old, act: Callable[[Old, Event], str]
) -> None:
    waiting = old.upload()
    with ThreadPoolExecutor(1) as threads:
        with old.database.transaction():
            change_id = act(old, waiting)
            upgraded = threads.submit(image_migrations.upgrade, old.url)
            eventually(lambda: waiting_for_locks(old.sql) == 1 or upgraded.done(), "the copy waits")
        upgraded.result()
    old.upgrade()
    logged = dict(old.sql.run("SELECT change_id::text, settled_at IS NULL FROM changes"))
    in_broker = old.sql.run("SELECT image_id FROM changes_in_broker")
    if act is accept_in:
        assert logged == {waiting.id: True, change_id: True} and in_broker == []
    elif act is publish_in:
        assert logged == {} and in_broker == [[waiting.image_id]]
    else:
        assert logged == {} and in_broker == []


def test_what_was_lost_before_is_found_again_or_given_up(old: Old) -> None:
    upload = old.upload(published=True)
    update_of = old.ready().image_id
    old.before.update(update_of, "lost", published=True)
    removal_of = old.ready().image_id
    old.before.update(removal_of, "lost", published=True)
    old.before.delete(removal_of, published=True)
    old.upgrade()
    records = PostgresRelayRecords(old.database)
    # A removal says all there is to know: any message starts it.
    stranger = replace(upload, id=events.new_id(), image_id=99)
    assert old.process(stranger) == {"rejected": 1, "applied": 1}
    assert removal_of not in old.images()
    # For all others their messages are awaited for a day.
    records.forget_old(90, 100)
    assert old.process(stranger) == {"rejected": 1}
    old.sql.run("UPDATE changes_in_broker SET noticed_at = now() - interval '25 hours'")
    records.forget_old(90, 100)
    assert old.process(stranger, stranger) == {"rejected": 2, "applied": 1, "dead": 1}
    assert old.images() == {
        upload.image_id: ("ready", "photo.png"),
        update_of: ("failed", "photo.png"),
    }


def test_an_old_dead_letter_that_is_sent_back_has_its_other_chance(old: Old) -> None:
    upload = old.upload(published=True)
    assert old.before.fail(upload, "why")
    applied = old.ready()
    old.upgrade()
    back = replace(sent(upload), headers={"x-redriven": 1})
    altered = replace(
        upload, id=events.new_id(), type=events.UPDATE_REQUESTED, data={"changes": {"title": "x"}}
    )
    messages = [replace(sent(event), headers={"x-redriven": 1}) for event in (altered, applied)]
    assert old.consumer.consume(messages, lambda: TIMEOUT_MILLISECONDS) == {
        "rejected": 1,
        "duplicate": 1,
    }
    assert old.consumer.consume([back], lambda: TIMEOUT_MILLISECONDS) == {"applied": 1}
    assert old.images()[upload.image_id] == ("ready", "photo.png")
    assert old.consumer.consume([back], lambda: TIMEOUT_MILLISECONDS) == {"duplicate": 1}


def begun(log: PostgresChangeLog) -> Work:
    work = log.begin(events.new_id(), 0, crashed=False)
    assert work is not None
    return work


def test_the_log_follows_what_the_release_before_goes_on_to_do(old: Old) -> None:
    old.upgrade()
    upload = old.upload()
    assert changes(old.sql, "change_id::text, user_id, published_at IS NULL") == [
        [upload.id, 1, True]
    ]
    old.before.publish(upload)
    assert changes(old.sql, "published_at IS NULL, settled_at IS NULL") == [[False, True]]
    update, failing = (old.before.update(upload.image_id, title) for title in ("new", "bad"))
    removal = old.before.delete(upload.image_id)
    assert old.before.complete(upload)
    assert old.before.complete(update)
    assert old.before.fail(failing, "why")
    assert changes(old.sql, "outcome, reason") == [
        *(["applied", None], ["applied", None], ["failed", "why"], [None, None])
    ]
    assert old.before.remove(removal)
    assert changes(old.sql, "outcome")[-1] == ["applied"]
    # This release has nothing left to do, and tells what the other has not told.
    assert old.process(upload, update, failing, removal) == {"duplicate": 4}
    assert len(old.relayed()) == 3 + 4
    assert old.relayed() == []


def test_both_releases_at_once_apply_a_change_once(old: Old) -> None:
    old.upgrade()
    first, second = old.upload(), old.upload()
    work = begun(old.log)
    assert old.before.complete(first)
    assert old.log.complete(work, "completed", []) is None
    work = begun(old.log)
    assert old.log.complete(work, "completed", []) is not None
    assert not old.before.complete(second)
    assert changes(old.sql, "outcome") == [["applied"], ["applied"]]
    removal = old.before.delete(first.image_id)
    work = begun(old.log)
    assert work.event == removal
    assert old.before.remove(removal)
    assert old.log.remove(work, "completed") == []


def test_on_the_way_back_nothing_is_lost(old: Old) -> None:
    old.upgrade()
    settled, waiting = old.upload(), old.upload()
    outcome = old.log.complete(begun(old.log), "completed", [])
    assert outcome is not None
    downgrade(old.url, "0002")
    rows = old.sql.run("SELECT event_id::text FROM outbox")
    assert {row[0] for row in rows} == {settled.id, waiting.id, outcome.id}
    assert old.sql.run("SELECT event_id::text FROM inbox") == [[settled.id]]
    assert old.before.complete(waiting)
    old.upgrade()
    assert old.process(settled, waiting) == {"duplicate": 2}


@pytest.mark.parametrize("statement", ["complete", "remove"])
def test_what_this_release_settles_is_left_alone_by_the_bridge(old: Old, statement: str) -> None:
    old.upgrade()
    upload = old.upload()
    settle: dict[str, Callable[[], object]] = {
        "complete": lambda: old.log.complete(begun(old.log), "completed", []),
        "remove": lambda: old.log.remove(begun(old.log), "completed"),
    }
    if statement == "remove":
        assert old.before.complete(upload)
        old.before.delete(upload.image_id)
    assert settle[statement]()
    assert changes(old.sql, "outcome_type")[-1] == ["completed"]
