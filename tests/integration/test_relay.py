"""What was accepted reaches the consumer: at once, or later through the relay, but always."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from pg8000.native import Connection
from pika.adapters.blocking_connection import BlockingChannel

from image_api.core.change_log import events, relay
from image_api.core.change_log.events import Event
from image_api.core.change_log.messages import MessageCounts, OfferedEvents
from image_api.core.time_left import time_left
from image_api.errors import ServiceUnavailable
from image_api.postgres.changes import PostgresRelayRecords
from image_api.postgres.database import Database, StatementFailed
from image_api.postgres.processing import PostgresChangeLog
from image_api.rabbitmq.broker import Broker
from image_api.settings import BrokerSettings
from tests.e2e.cuttable_proxy import CuttableProxy
from tests.integration.accepting import Accepting, age, changes
from tests.integration.publishing import change_log_of, sink_of
from tests.integration.real_services import RealServices
from tests.waiting import eventually

# As Lambda says to the relay when it begins.
TIMEOUT_MILLISECONDS = 50_000


class MemoryBroker:
    """Remembers what its work queue takes, no more than `room` at a time, and what others hear.

    Where `is_full`, somebody refuses what does not fit, or where `other_is_full` everything.
    """

    def __init__(self, *, room: int = 1_000_000, soon: int = 0) -> None:
        self.published: list[str] = []
        self.heard: Counter[str] = Counter()
        self.declared = 0
        self.room = room
        self.soon = soon
        self.is_full = False
        self.other_is_full = False

    def publish_event(self, event: Event) -> None:
        if not self.publish_events([event], 1):
            raise ServiceUnavailable("The broker did not take the message; try again")

    def publish_events(self, batch: Sequence[Event], seconds: float) -> list[Event]:
        return self.offer_events(batch, seconds, until_refused=False).confirmed

    def offer_events(
        self, batch: Sequence[Event], _seconds: float, *, until_refused: bool
    ) -> OfferedEvents:
        offered = OfferedEvents([], [])
        for event in batch:
            has_room = event.type not in events.REQUESTS or len(offered.confirmed) < self.room
            if not has_room and not self.is_full:
                break
            self.heard[event.id] += 1
            if has_room:
                self.published.append(event.id)
            if has_room and not self.other_is_full:
                offered.confirmed.append(event)
                continue
            offered.refused.append(event)
            if until_refused:
                break
        if self.is_full:
            self.room -= sum(event.type in events.REQUESTS for event in offered.confirmed)
        return offered

    def wake_consumer(self, batch: Sequence[Event], _seconds: float) -> list[Event]:
        taken = list(batch)[: self.room]
        self.published += [event.id for event in taken]
        return taken

    def message_counts(self) -> MessageCounts:
        return MessageCounts(self.soon, self.soon, 0)

    def bind_work_queue(self) -> None:
        """It is."""

    def declare_topology(self) -> None:
        self.declared += 1


@pytest.fixture
def accept(database: Database, add_user: Callable[[str], int]) -> Accepting:
    return Accepting(database, add_user)


@pytest.fixture
def records(database: Database) -> PostgresRelayRecords:
    return PostgresRelayRecords(database)


@pytest.fixture
def listener(channel: BlockingChannel, queue: str, exchange: str) -> str:
    """Another service's queue, bound to everything."""
    name = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(name, exchange, "#")
    return str(name)


def run(records: PostgresRelayRecords, broker: Any) -> dict[str, int]:
    ends_at = time.monotonic() + TIMEOUT_MILLISECONDS / 1000
    return relay.relay_all(records, broker, lambda: int((ends_at - time.monotonic()) * 1000))


def settle(log: PostgresChangeLog) -> Event:
    """Whatever is next; its outcome."""
    work = log.begin(events.new_id(), 0, crashed=False)
    assert work is not None
    outcome = log.complete(work, events.UPLOAD_COMPLETED, [])
    assert outcome is not None
    return outcome


def received(channel: BlockingChannel, queue: str, count: int) -> list[Event]:
    found: list[Event] = []

    def collect() -> bool:
        method, _, body = channel.basic_get(queue, auto_ack=True)
        if method is not None and body is not None:
            found.append(events.decode(body))
        return len(found) >= count

    eventually(collect, f"{count} messages")
    return found


def test_what_is_published_is_written_down(
    database: Database,
    broker: Broker,
    accept: Accepting,
    queue: str,
    channel: BlockingChannel,
    sql: Connection,
) -> None:
    event = accept.upload()
    sink_of(database, broker).publish(event)
    assert changes(sql, "published_at IS NULL") == [[False]]
    assert received(channel, queue, 1) == [event]


def test_while_the_broker_is_away_the_request_goes_on_and_the_event_is_the_relays(
    database: Database, records: PostgresRelayRecords, accept: Accepting, sql: Connection
) -> None:
    event = accept.upload()
    sink_of(database, MemoryBroker(room=0)).publish(event)
    assert changes(sql, "published_at IS NULL") == [[True]]
    # Whose request may still publish it is left alone.
    assert run(records, MemoryBroker()) == {"published": 0, "repeated": 0}
    age(sql, relay.GRACE_SECONDS + 1)
    broker = MemoryBroker()
    assert run(records, broker) == {"published": 1, "repeated": 0}
    assert broker.published == [event.id]


@pytest.mark.parametrize("fault", [AssertionError("out of step"), StatementFailed("22021", "")])
def test_whatever_publishing_does_what_was_accepted_is_answered(
    database: Database,
    records: PostgresRelayRecords,
    accept: Accepting,
    sql: Connection,
    monkeypatch: pytest.MonkeyPatch,
    fault: Exception,
) -> None:
    accepted = [accept.upload(), accept.upload()]
    broker = MemoryBroker()

    def fail(*_: object) -> None:
        raise fault

    with monkeypatch.context() as odd:
        odd.setattr(broker, "publish_event", fail)
        odd.setattr(broker, "publish_events", fail)
        sink = sink_of(database, broker)
        sink.publish(accepted[0])
        sink.publish_requests(accepted)
        sink.publish_outcomes(accepted * 3)
    age(sql, relay.GRACE_SECONDS + 1)
    assert run(records, broker) == {"published": 2, "repeated": 0}


def test_a_request_that_has_no_time_left_leaves_what_it_accepted_to_the_relay(
    database: Database, accept: Accepting, sql: Connection
) -> None:
    remaining = [11_900]

    class SlowBroker(MemoryBroker):
        def offer_events(self, *arguments: Any, **options: Any) -> OfferedEvents:
            remaining[0] -= 4_000
            return super().offer_events(*arguments, **options)

    broker = SlowBroker()
    sink = sink_of(database, broker)

    def publish(accepted: Event) -> None:
        with time_left.during(lambda: remaining[0]):
            sink.publish(accepted)
            sink.publish_requests([accepted])

    publish(late := accept.upload())
    assert broker.published == []
    # Nor is it written down that it was published.
    remaining[0] = 12_900
    publish(slow := accept.upload())
    assert broker.published == [slow.id]
    assert changes(sql, "published_at IS NULL") == [[True]] * 2
    # Where nobody waits for an answer there is time.
    sink.publish(late)
    assert changes(sql, "published_at IS NULL") == [[False], [True]]


def test_the_relay_publishes_requests_and_outcomes_in_order_and_unchanged(
    database: Database,
    records: PostgresRelayRecords,
    broker: Broker,
    accept: Accepting,
    queue: str,
    listener: str,
    channel: BlockingChannel,
    monkeypatch: pytest.MonkeyPatch,
    sql: Connection,
) -> None:
    log = change_log_of(database, broker)
    accepted = [accept.upload() for _ in range(5)]
    outcomes = [settle(log) for _ in accepted]
    monkeypatch.setattr(relay, "GRACE_SECONDS", 0)
    assert run(records, broker) == {"published": 10, "repeated": 0}
    heard = received(channel, listener, 10)
    assert heard[:5] == received(channel, queue, 5) == accepted
    assert [(event.id, event.data) for event in heard[5:]] == [
        (outcome.id, outcome.data) for outcome in outcomes
    ]
    assert changes(sql, "published_at IS NULL OR outcome_published_at IS NULL") == [[False]] * 5
    assert run(records, broker) == {"published": 0, "repeated": 0}


def test_what_is_overdue_is_published_again_until_it_is_settled(
    database: Database, records: PostgresRelayRecords, accept: Accepting, sql: Connection
) -> None:
    broker = MemoryBroker()
    lost, postponed, settled, young = [accept.upload() for _ in range(4)]
    sql.run("UPDATE changes SET due_at = now() + interval '1 hour' WHERE image_id <> 3")
    settle(change_log_of(database, broker))
    sql.run("UPDATE changes SET due_at = accepted_at WHERE image_id <> 2")
    for event in (lost, postponed, settled, young):
        sink_of(database, broker).publish(event)
    assert run(records, broker) == {"published": 0, "repeated": 0}
    age(sql, relay.OVERDUE_SECONDS + 1)
    sql.run("UPDATE changes SET published_at = now() WHERE image_id = 4")
    broker.published.clear()
    run(records, broker)
    assert broker.published.count(lost.id) == 1
    assert not {postponed.id, settled.id, young.id} & set(broker.published)
    # And not again at once.
    broker.published.clear()
    assert run(records, broker) == {"published": 0, "repeated": 0}


def test_what_only_waits_for_its_turn_is_not_published_again(
    database: Database, records: PostgresRelayRecords, accept: Accepting, sql: Connection
) -> None:
    broker = MemoryBroker(soon=3)
    for _ in range(3):
        sink_of(database, broker).publish(accept.upload())
    age(sql, relay.OVERDUE_SECONDS + 1)
    assert run(records, broker) == {"published": 0, "repeated": 0}
    broker.soon = 2
    assert run(records, broker) == {"published": 0, "repeated": 3}


def test_a_relay_that_is_cut_off_loses_nothing_and_repeats_only_what_it_could_not_write_down(
    records: PostgresRelayRecords, accept: Accepting, sql: Connection
) -> None:
    accepted = [accept.upload().id for _ in range(5)]
    age(sql, relay.GRACE_SECONDS + 1)
    half = MemoryBroker(room=3)
    assert run(records, half) == {"published": 5, "repeated": 0}
    assert half.published == accepted
    away = MemoryBroker(room=0)
    later = accept.upload().id
    age(sql, relay.GRACE_SECONDS + 1)
    assert run(records, away)["published"] == 0
    # Perhaps it is the queues that are missing.
    assert away.declared > 0
    broker = MemoryBroker()
    run(records, broker)
    assert later in broker.published


def test_relays_side_by_side_leave_nothing(
    make_database: Callable[[], Database], accept: Accepting, sql: Connection
) -> None:
    accepted = {accept.upload().id for _ in range(60)}
    age(sql, relay.GRACE_SECONDS + 1)
    broker = MemoryBroker(soon=1000)
    with ThreadPoolExecutor(3) as threads:
        relays = [PostgresRelayRecords(make_database()) for _ in range(3)]
        list(threads.map(lambda each: run(each, broker), relays))
    assert set(broker.published) == accepted
    assert changes(sql, "published_at IS NULL") == [[False]] * 60


def test_a_run_publishes_batch_after_batch_until_its_time_is_up(
    records: PostgresRelayRecords,
    accept: Accepting,
    monkeypatch: pytest.MonkeyPatch,
    sql: Connection,
) -> None:
    monkeypatch.setattr(relay, "BATCH_SIZE", 2)
    for _ in range(7):
        accept.upload()
    age(sql, relay.GRACE_SECONDS + 1)
    # Two steps, and between them a look at each of the other kinds.
    times = iter([*[50_000] * 4, *[14_000] * 2])
    broker = MemoryBroker(soon=1000)
    assert relay.relay_all(records, broker, lambda: next(times)) == {"published": 4, "repeated": 0}
    assert run(records, broker) == {"published": 3, "repeated": 0}


def test_what_a_full_work_queue_refuses_is_offered_once_a_run_and_holds_up_no_outcome(
    database: Database,
    records: PostgresRelayRecords,
    accept: Accepting,
    monkeypatch: pytest.MonkeyPatch,
    sql: Connection,
) -> None:
    monkeypatch.setattr(relay, "BATCH_SIZE", 4)
    log = change_log_of(database, MemoryBroker())
    accepted = [accept.upload().id for _ in range(20)]
    sql.run("UPDATE changes SET published_at = now() WHERE id <= 3")
    outcomes = {settle(log).id for _ in range(3)}
    age(sql, relay.GRACE_SECONDS + 1)
    broker = MemoryBroker(room=6, soon=1000)
    broker.is_full = True
    assert run(records, broker) == {"published": 6 + 3, "repeated": 0}
    # One more told that there is no room, and nobody heard of one twice.
    assert set(broker.heard) == {*accepted[3:10], *outcomes}
    assert set(broker.heard.values()) == {1}
    # As long as there is none.
    assert run(records, broker) == {"published": 0, "repeated": 0}
    assert broker.heard.total() == 6 + 3 + 2
    broker.room = 1000
    assert run(records, broker) == {"published": 11, "repeated": 0}
    assert set(broker.published) == {*accepted[3:], *outcomes}


def test_what_somebody_elses_full_queue_refuses_wakes_the_consumer_and_ends_some_time(
    database: Database, records: PostgresRelayRecords, accept: Accepting, sql: Connection
) -> None:
    accepted = [accept.upload().id for _ in range(20)]
    outcome = settle(change_log_of(database, MemoryBroker())).id
    age(sql, relay.GRACE_SECONDS + 1)
    broker = MemoryBroker(soon=1000)
    broker.other_is_full = True
    for runs in (1, 2):
        assert run(records, broker) == {"published": 0, "repeated": 0}
        assert broker.heard == dict.fromkeys([*accepted, outcome], runs)
        assert set(accepted) < set(broker.published)
    age(sql, relay.REFUSED_FOR_SECONDS)
    for _ in range(2):
        run(records, broker)
        # All others have it, and nobody hears it for ever.
        assert broker.heard == dict.fromkeys([*accepted, outcome], 3)
    assert changes(sql, "published_at IS NULL") == [[False]] * 20


def test_what_is_overdue_wakes_the_consumer_and_nobody_else(
    records: PostgresRelayRecords, accept: Accepting, sql: Connection
) -> None:
    accepted = [accept.upload().id for _ in range(3)]
    sql.run("UPDATE changes SET published_at = now()")
    age(sql, relay.OVERDUE_SECONDS + 1)
    broker = MemoryBroker()
    assert run(records, broker) == {"published": 0, "repeated": 3}
    assert (broker.published, broker.heard.total()) == (accepted, 0)


def test_a_binding_that_is_gone_is_there_again_after_one_run(
    records: PostgresRelayRecords,
    broker: Broker,
    accept: Accepting,
    queue: str,
    exchange: str,
    listener: str,
    channel: BlockingChannel,
) -> None:
    channel.queue_unbind(queue, exchange, events.REQUESTS_BINDING)
    run(records, broker)
    event = accept.upload()
    broker.publish_event(event)
    assert received(channel, queue, 1) == received(channel, listener, 1) == [event]


def _delete_queue(channel: BlockingChannel, queue: str, exchange: str) -> None:
    channel.queue_delete(queue)


def _purge(channel: BlockingChannel, queue: str, exchange: str) -> None:
    channel.queue_purge(queue)


def _unbind(channel: BlockingChannel, queue: str, exchange: str) -> None:
    channel.queue_unbind(queue, exchange, events.REQUESTS_BINDING)


def _delete_dead_and_delays(channel: BlockingChannel, queue: str, exchange: str) -> None:
    for name in ("dead", "retry.1s", "retry.600s"):
        channel.queue_delete(f"{queue}.{name}")


@pytest.mark.parametrize("is_heard", [False, True], ids=["alone", "with a listener"])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    "break_topology", [_delete_queue, _purge, _unbind, _delete_dead_and_delays]
)
def test_whatever_becomes_of_the_queues_what_was_accepted_reaches_the_work_queue(
    database: Database,
    records: PostgresRelayRecords,
    broker: Broker,
    accept: Accepting,
    queue: str,
    exchange: str,
    channel: BlockingChannel,
    sql: Connection,
    break_topology: Callable[[BlockingChannel, str, str], None],
    moment: str,
    is_heard: bool,
) -> None:
    if is_heard:
        # Its queue takes what has no other: the broker confirms it.
        channel.queue_bind(channel.queue_declare("", exclusive=True).method.queue, exchange, "#")
    sink = sink_of(database, broker)
    if moment == "before":
        break_topology(channel, queue, exchange)
    accepted = [accept.upload() for _ in range(5)]
    for event in accepted:
        sink.publish(event)
    if moment == "after":
        break_topology(channel, queue, exchange)
    for seconds in (relay.GRACE_SECONDS, relay.OVERDUE_SECONDS):
        age(sql, seconds + 1)
        run(records, broker)
    reached = {event.id for event in received(channel, queue, 5)}
    assert reached == {event.id for event in accepted}
    broker.ping()
    assert broker.message_counts().dead == 0


def test_an_exchange_that_is_gone_is_declared_again(
    database: Database,
    records: PostgresRelayRecords,
    accept: Accepting,
    broker: Broker,
    queue: str,
    exchange: str,
    channel: BlockingChannel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    channel.exchange_delete(exchange)
    event = accept.upload()
    sink_of(database, broker).publish(event)
    monkeypatch.setattr(relay, "GRACE_SECONDS", 0)
    assert run(records, broker) == {"published": 1, "repeated": 0}
    assert received(channel, queue, 1) == [event]


@pytest.fixture
def slow_broker(services: RealServices, queue: str) -> Iterator[tuple[Broker, CuttableProxy]]:
    parts = urlsplit(services.rabbitmq_url)
    with CuttableProxy(parts.port or 5672) as proxy:
        credentials = parts.netloc.rpartition("@")[0]
        url = urlunsplit(parts._replace(netloc=f"{credentials}@127.0.0.1:{proxy.port}"))
        broker = Broker(BrokerSettings(url, queue))
        yield broker, proxy
        broker.close()


# A confirm is a frame of 21 bytes: then each of them takes its time.
@pytest.mark.parametrize(("seconds", "chunk_bytes"), [(0.3, 65_536), (0.02, 21)])
def test_a_slow_broker_gets_what_it_can_confirm_and_nothing_twice(
    records: PostgresRelayRecords,
    accept: Accepting,
    slow_broker: tuple[Broker, CuttableProxy],
    listener: str,
    channel: BlockingChannel,
    sql: Connection,
    seconds: float,
    chunk_bytes: int,
) -> None:
    accepted = Counter(accept.upload().id for _ in range(300))
    age(sql, relay.GRACE_SECONDS + 1)
    broker, proxy = slow_broker
    proxy.delay_answers(seconds, chunk_bytes)
    published = 0
    while published < 300:
        count = run(records, broker)["published"]
        assert count > 0
        published += count
    assert Counter(event.id for event in received(channel, listener, 300)) == accepted
    method, _, _ = channel.basic_get(listener, auto_ack=True)
    assert method is None


def test_old_changes_leave_in_bounded_steps_and_what_is_not_told_stays(
    database: Database, records: PostgresRelayRecords, accept: Accepting, sql: Connection
) -> None:
    broker = MemoryBroker()
    log = change_log_of(database, broker)
    sink = sink_of(database, broker)
    for number in range(6):
        sink.publish(accept.upload())
        outcome = settle(log)
        if number != 3:
            log.publish([outcome])
    sink.publish(accept.upload())
    age(sql, 91 * 24 * 3600)
    sql.run("UPDATE changes SET settled_at = now() WHERE image_id = 6")
    assert records.forget_old(None, 2) == 0
    assert [records.forget_old(90, 2) for _ in range(3)] == [2, 2, 0]
    # Not yet told, not yet old, not yet settled.
    assert changes(sql, "image_id") == [[4], [6], [7]]


def test_the_age_of_what_waits_longest_is_measured(
    database: Database, records: PostgresRelayRecords, accept: Accepting, sql: Connection
) -> None:
    assert records.oldest_unsettled_age_seconds() == 0
    started_at = time.monotonic()
    accept.upload()
    age(sql, 1_000_000)
    accept.upload()
    assert records.oldest_unsettled_age_seconds() >= 1_000_000
    settle(change_log_of(database, MemoryBroker()))
    assert 0 <= records.oldest_unsettled_age_seconds() < time.monotonic() - started_at + 1
