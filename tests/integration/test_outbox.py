"""Accepted events reach RabbitMQ: at once, or later through the relay, but always."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from pg8000.native import Connection
from pika.adapters.blocking_connection import BlockingChannel

from image_api.core import events, relay
from image_api.core.events import Event
from image_api.errors import ServiceUnavailable
from image_api.postgres import outbox
from image_api.postgres.database import Database
from image_api.postgres.outbox import Outbox
from image_api.rabbitmq.broker import Broker
from tests.waiting import eventually


class Publisher:
    """A broker that can be away, and remembers what it was given."""

    def __init__(self, *, fails_from: int | None = None) -> None:
        self.published: list[str] = []
        self.fails_from = fails_from
        self.lock = threading.Lock()

    def publish_event(self, event: Event) -> None:
        with self.lock:
            if self.fails_from is not None and len(self.published) >= self.fails_from:
                raise ServiceUnavailable("The broker did not take the message; try again")
            self.published.append(event.id)


_ACCEPT = f"""
WITH changed AS (
    SELECT :image_id::bigint AS image_id, 1 AS sequence, :data::jsonb AS data
) {outbox.INSERT_EVENT}
"""


def accept(database: Database, image_id: int = 7, data: str = '{"a": "ä"}') -> Event:
    """An event that was committed and not published."""
    event_id = events.new_id()
    row = database.row(
        _ACCEPT,
        event_id=event_id,
        event_type=events.UPLOAD_REQUESTED,
        image_id=image_id,
        data=data,
        correlation_id="request-1",
    )
    assert row is not None
    return Event(event_id, events.UPLOAD_REQUESTED, image_id, 1, {"a": "ä"}, "request-1", row[3])


def waiting(sql: Connection) -> list[str]:
    return [row[0] for row in sql.run("SELECT event_id::text FROM outbox ORDER BY id")]


def published(channel: BlockingChannel, queue: str, count: int) -> list[Event]:
    found: list[Event] = []

    def collect() -> bool:
        method, _, body = channel.basic_get(queue, auto_ack=True)
        if method is not None:
            found.append(events.decode(body))
        return len(found) >= count

    eventually(collect, f"{count} messages")
    return found


def test_a_delivered_event_is_published_and_forgotten(
    database: Database, broker: Broker, queue: str, channel: BlockingChannel, sql: Connection
) -> None:
    event = accept(database)
    Outbox(database, broker).publish(event)
    assert waiting(sql) == []
    assert published(channel, queue, 1) == [event]


def test_while_the_broker_is_away_the_event_stays_and_the_request_goes_on(
    database: Database, sql: Connection
) -> None:
    event = accept(database)
    Outbox(database, Publisher(fails_from=0)).publish(event)
    assert waiting(sql) == [event.id]


def test_the_relay_publishes_what_stayed_in_order_and_unchanged(
    database: Database, broker: Broker, queue: str, channel: BlockingChannel, sql: Connection
) -> None:
    accepted = [accept(database, image_id) for image_id in range(1, 6)]
    box = Outbox(database, broker)
    assert box.relay_batch(grace_seconds=0) == 5
    assert waiting(sql) == []
    assert published(channel, queue, 5) == accepted
    assert box.relay_batch(grace_seconds=0) == 0


def test_an_event_whose_request_may_still_publish_it_is_left_alone(
    database: Database, sql: Connection
) -> None:
    event = accept(database)
    publisher = Publisher()
    box = Outbox(database, publisher)
    assert box.relay_batch() == 0
    sql.run("UPDATE outbox SET created_at = now() - interval '11 seconds'")
    assert box.relay_batch() == 1
    assert publisher.published == [event.id]


def test_a_relay_that_is_cut_off_loses_nothing(database: Database, sql: Connection) -> None:
    accepted = [accept(database).id for _ in range(5)]
    with pytest.raises(ServiceUnavailable):
        Outbox(database, Publisher(fails_from=3)).relay_batch(grace_seconds=0)
    assert waiting(sql) == accepted
    publisher = Publisher()
    assert Outbox(database, publisher).relay_batch(grace_seconds=0) == 5
    assert publisher.published == accepted


def test_relays_side_by_side_publish_each_event_once(
    database: Database,
    make_database: Callable[[], Database],
    monkeypatch: pytest.MonkeyPatch,
    sql: Connection,
) -> None:
    monkeypatch.setattr(outbox, "BATCH_SIZE", 5)
    accepted = [accept(database).id for _ in range(100)]
    publisher = Publisher()
    boxes = [Outbox(make_database(), publisher) for _ in range(4)]

    def relay(box: Outbox) -> int:
        count = 0
        while batch := box.relay_batch(grace_seconds=0):
            count += batch
        return count

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(relay, boxes)) == 100
    assert sorted(publisher.published) == sorted(accepted)
    assert waiting(sql) == []


def test_a_relay_does_not_wait_for_another(
    database: Database, make_database: Callable[[], Database], sql: Connection
) -> None:
    first = accept(database).id
    sql.run("BEGIN")
    sql.run("SELECT FROM outbox FOR UPDATE")
    second = accept(database).id
    publisher = Publisher()
    assert Outbox(make_database(), publisher).relay_batch(grace_seconds=0) == 1
    assert publisher.published == [second]
    sql.run("ROLLBACK")
    assert waiting(sql) == [first]


def test_a_run_of_the_relay_publishes_batch_after_batch_until_its_time_is_up(
    database: Database, monkeypatch: pytest.MonkeyPatch, sql: Connection
) -> None:
    monkeypatch.setattr(outbox, "BATCH_SIZE", 2)
    for _ in range(7):
        accept(database)
    sql.run("UPDATE outbox SET created_at = now() - interval '1 minute'")
    box = Outbox(database, Publisher())
    times = iter([50_000, 30_000, 14_000])
    assert relay.relay_all(box, lambda: next(times)) == {"published": 4}
    assert relay.relay_all(box, lambda: 50_000) == {"published": 3}
    assert relay.relay_all(box, lambda: 50_000) == {"published": 0}
