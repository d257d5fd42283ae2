"""RabbitMQ: topology, confirms, delays, dead letters, and connections that die."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from image_api.core.change_log import events
from image_api.core.change_log.events import Event
from image_api.core.change_log.messages import Message, MessageCounts
from image_api.core.change_log.queues import RETRY_DELAYS_SECONDS, dead_queue, retry_queue
from image_api.errors import ServiceUnavailable
from image_api.rabbitmq import broker as broker_module
from image_api.rabbitmq.broker import Broker
from image_api.settings import BrokerSettings
from tests.e2e.cuttable_proxy import CuttableProxy
from tests.integration.real_services import RealServices
from tests.log_lines import log_lines
from tests.waiting import eventually


def event(event_type: str = events.UPLOAD_REQUESTED, image_id: int = 7) -> Event:
    return Event(
        events.new_id(), event_type, image_id, 1, {"a": 1}, "request-1", "2026-01-02T03:04:05Z"
    )


def message(body: bytes = b"{}", **headers: Any) -> Message:
    return Message(
        body=body,
        message_id=events.new_id(),
        correlation_id="request-1",
        type=events.UPLOAD_REQUESTED,
        timestamp=1_700_000_000,
        headers=headers,
    )


Received = tuple[Any, pika.BasicProperties, bytes]


def received(channel: BlockingChannel, queue: str, *, auto_ack: bool = True) -> Received:
    """The next message of a queue, as soon as it is there."""

    def get() -> Received | None:
        method, properties, body = channel.basic_get(queue, auto_ack=auto_ack)
        return None if method is None else (method, properties, body)

    return eventually(get, f"a message in {queue}")


def is_empty(channel: BlockingChannel, queue: str) -> bool:
    method, _, _ = channel.basic_get(queue, auto_ack=True)
    return method is None


def assert_given_up(broker: Broker) -> None:
    """That it publishes nothing is clear soon, and not only after pika's own time-outs."""
    with ThreadPoolExecutor(1) as threads:
        publishing = threads.submit(broker.publish_event, event())
        eventually(publishing.done, "the broker is given up", patience_seconds=5)
    with pytest.raises(ServiceUnavailable):
        publishing.result()


def proxied(url: str, port: int) -> str:
    parts = urlsplit(url)
    credentials = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{credentials}@127.0.0.1:{port}"))


@contextmanager
def broker_at(url: str, queue: str) -> Iterator[Broker]:
    made = Broker(BrokerSettings(url, queue))
    yield made
    made.close()


@pytest.fixture
def proxy(services: RealServices) -> Iterator[CuttableProxy]:
    with CuttableProxy(urlsplit(services.rabbitmq_url).port or 5672) as made:
        yield made


@pytest.fixture
def listener(channel: BlockingChannel, queue: str) -> str:
    """Another service's queue, bound to every outcome."""
    name = channel.queue_declare("", exclusive=True).method.queue
    for outcome in ("completed", "failed"):
        channel.queue_bind(name, events.EXCHANGE, f"image.*.{outcome}")
    return str(name)


def test_a_full_work_queue_is_noticed_before_all_is_offered_to_whoever_listens(
    broker: Broker, queue: str, channel: BlockingChannel
) -> None:
    arguments = {"x-queue-type": "quorum", "x-max-length": 3, "x-overflow": "reject-publish"}
    other = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(other, events.EXCHANGE, "#")
    channel.queue_delete(queue)
    try:
        channel.queue_declare(queue, durable=True, arguments=arguments)
        broker.bind_work_queue()
        batch = [event() for _ in range(300)]
        offered = broker.offer_events(batch, 60, until_refused=True)
        # A queue may take a few more than its limit.
        assert offered.confirmed
        assert offered.refused
        tried = [*offered.confirmed, *offered.refused]
        assert sorted(tried, key=batch.index) == batch[: len(tried)]
        assert len(tried) < 100
        heard = {events.decode(received(channel, other)[2]).id for _ in tried}
        assert heard == {each.id for each in tried}
        assert broker.wake_consumer(batch, 60) == []
        assert is_empty(channel, other)
        channel.queue_purge(queue)
        assert broker.wake_consumer(batch[:1], 60) == batch[:1]
    finally:
        channel.queue_delete(queue)
        broker.declare_topology()


def test_a_published_event_carries_what_the_contract_says(
    broker: Broker, queue: str, channel: BlockingChannel
) -> None:
    sent = event()
    before = int(time.time())
    broker.publish_event(sent)
    method, properties, body = received(channel, queue)
    assert events.decode(body) == sent
    assert (method.exchange, method.routing_key) == (events.EXCHANGE, "image.upload.requested")
    assert properties.message_id == sent.id
    assert properties.correlation_id == "request-1"
    assert properties.content_type == "application/cloudevents+json"
    assert properties.delivery_mode == 2
    assert properties.type == "image.upload.requested"
    assert properties.app_id == "image-api"
    assert before <= properties.timestamp <= time.time()
    # What a quorum queue counts by itself.
    assert set(properties.headers or {}) <= {"x-delivery-count"}


@pytest.mark.parametrize("event_type", sorted(events.REQUESTS))
def test_every_request_reaches_the_consumers_queue(
    broker: Broker, queue: str, channel: BlockingChannel, event_type: str
) -> None:
    broker.publish_event(event(event_type))
    _, properties, _ = received(channel, queue)
    assert properties.type == event_type


@pytest.mark.parametrize(
    "event_type",
    [
        events.UPLOAD_COMPLETED,
        events.UPLOAD_FAILED,
        events.UPDATE_COMPLETED,
        events.UPDATE_FAILED,
        events.DELETE_COMPLETED,
    ],
)
def test_an_outcome_reaches_who_listens_and_not_the_consumer(
    broker: Broker, queue: str, listener: str, channel: BlockingChannel, event_type: str
) -> None:
    broker.publish_event(event(event_type))
    _, properties, _ = received(channel, listener)
    assert properties.type == event_type
    assert is_empty(channel, queue)


def test_messages_keep_their_order(broker: Broker, queue: str, channel: BlockingChannel) -> None:
    for number in range(1, 21):
        broker.publish_event(event(image_id=number))
    assert [events.decode(received(channel, queue)[2]).image_id for _ in range(20)] == list(
        range(1, 21)
    )


def test_an_outcome_that_nobody_listens_to_is_fine(broker: Broker, queue: str) -> None:
    broker.publish_event(event(events.UPLOAD_COMPLETED))


def test_a_request_that_no_queue_takes_is_not_taken(
    services: RealServices, channel: BlockingChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    lonely = f"test.{uuid4().hex}"
    channel.exchange_declare(lonely, "topic")
    monkeypatch.setattr(events, "EXCHANGE", lonely)
    with broker_at(services.rabbitmq_url, "unused") as broker:
        with pytest.raises(ServiceUnavailable):
            broker.publish_event(event())
        broker.publish_event(event(events.UPLOAD_COMPLETED))
    channel.exchange_delete(lonely)


def test_a_queue_that_is_missing_takes_nothing(broker: Broker, queue: str) -> None:
    with pytest.raises(ServiceUnavailable):
        broker.publish("", f"{queue}.of.nobody", message())
    broker.ping()


def test_declaring_the_topology_again_keeps_the_messages(
    broker: Broker, queue: str, channel: BlockingChannel
) -> None:
    broker.publish_event(event())
    broker.declare_topology()
    broker.declare_topology()
    received(channel, queue)


def is_version_4(channel: BlockingChannel) -> bool:
    return bool(channel.connection._impl.server_properties["version"] >= "4")


def test_dead_letters_stay_however_often_they_are_looked_at(
    broker: Broker, services: RealServices, queue: str, channel: BlockingChannel
) -> None:
    broker.publish("", dead_queue(queue), message(b"kept"))
    for _ in range(25):
        looking = pika.BlockingConnection(pika.URLParameters(services.rabbitmq_url))
        received(looking.channel(), dead_queue(queue), auto_ack=False)
        looking.close()
    assert received(channel, dead_queue(queue))[2] == b"kept"


def test_a_queue_of_the_dead_with_other_arguments_stays_with_its_letters(
    broker: Broker, queue: str, channel: BlockingChannel
) -> None:
    name = dead_queue(queue)
    channel.queue_delete(name)
    channel.queue_declare(
        name, durable=True, arguments={"x-queue-type": "quorum", "x-max-length": 1000}
    )
    broker.publish("", name, message(b"kept"))
    broker.declare_topology()
    assert received(channel, name)[2] == b"kept"
    channel.queue_delete(name)
    # Once it is empty somebody may delete it, and gets the one of today.
    broker.declare_topology()
    broker.publish("", name, message(b"kept"))
    assert received(channel, name)[2] == b"kept"


def test_every_queue_is_a_durable_quorum_queue_that_hands_on_at_least_once(
    channel: BlockingChannel, queue: str
) -> None:
    for name in (queue, retry_queue(queue, 1), dead_queue(queue)):
        # RabbitMQ refuses to declare a queue with other properties than it has.
        arguments: dict[str, Any] = {"x-queue-type": "quorum"}
        if name != dead_queue(queue):
            arguments |= {
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": dead_queue(queue) if name == queue else queue,
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",
            }
        elif is_version_4(channel):
            # Which otherwise drops what was returned 20 times.
            arguments["x-delivery-limit"] = -1
        if name == retry_queue(queue, 1):
            arguments["x-message-ttl"] = 1000
        channel.queue_declare(name, durable=True, arguments=arguments)


def test_there_is_a_queue_for_every_delay(channel: BlockingChannel, queue: str) -> None:
    for delay_seconds in RETRY_DELAYS_SECONDS:
        channel.queue_declare(retry_queue(queue, delay_seconds), passive=True)


def test_a_delay_queue_brings_its_message_back_unchanged(
    broker: Broker, queue: str, channel: BlockingChannel
) -> None:
    sent = message(b'{"a": 1}', **{"x-attempt": 1, "x-reason": "away"})
    started = time.monotonic()
    broker.publish("", retry_queue(queue, 1), sent)
    _, properties, body = received(channel, queue)
    assert time.monotonic() - started >= 0.9
    assert body == sent.body
    assert properties.message_id == sent.message_id
    assert properties.correlation_id == sent.correlation_id
    assert properties.type == sent.type
    assert properties.headers["x-attempt"] == 1
    assert properties.headers["x-reason"] == "away"


def test_a_dead_letter_keeps_its_reason(
    broker: Broker, queue: str, channel: BlockingChannel
) -> None:
    broker.publish("", dead_queue(queue), message(b"bad", **{"x-reason": "no JSON"}))
    _, properties, body = received(channel, dead_queue(queue))
    assert (body, properties.headers["x-reason"]) == (b"bad", "no JSON")


def test_messages_are_counted_by_whether_they_wait_or_were_given_up(
    broker: Broker, queue: str, channel: BlockingChannel
) -> None:
    assert broker.message_counts() == MessageCounts(waiting=0, soon=0, dead=0)
    broker.publish_event(event())
    broker.publish("", retry_queue(queue, 600), message(b"later"))
    broker.publish("", dead_queue(queue), message(b"never"))
    eventually(
        lambda: broker.message_counts() == MessageCounts(waiting=2, soon=1, dead=1),
        "all are counted",
    )
    received(channel, queue)
    eventually(lambda: broker.message_counts().waiting == 1, "one was taken")


def test_queues_that_are_not_there_cannot_be_counted(services: RealServices, exchange: str) -> None:
    with (
        broker_at(services.rabbitmq_url, f"{exchange}-nowhere") as broker,
        pytest.raises(ServiceUnavailable),
    ):
        broker.message_counts()


def test_a_message_that_the_broker_gives_up_is_among_the_dead_letters(
    broker: Broker, queue: str, channel: BlockingChannel
) -> None:
    sent = event()
    broker.publish_event(sent)
    method, _, _ = received(channel, queue, auto_ack=False)
    # As RabbitMQ 4 does by itself with what came back too often.
    channel.basic_reject(method.delivery_tag, requeue=False)
    _, properties, body = received(channel, dead_queue(queue))
    assert events.decode(body) == sent
    assert properties.message_id == sent.id
    assert is_empty(channel, queue)


def test_a_connection_that_was_closed_meanwhile_is_replaced_unnoticed(
    services: RealServices,
    queue: str,
    proxy: CuttableProxy,
    channel: BlockingChannel,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with broker_at(proxied(services.rabbitmq_url, proxy.port), queue) as broker:
        broker.publish_event(event(image_id=1))
        proxy.cut()
        proxy.restore()
        with log_lines() as lines:
            broker.publish_event(event(image_id=2))
        (line,) = lines
        assert line["message"] == "broker connection replaced"
        assert [events.decode(received(channel, queue)[2]).image_id for _ in range(2)] == [1, 2]
        proxy.cut()
        proxy.restore()
        broker.ping()
    assert [record for record in caplog.records if record.name.startswith("pika")] == []


def test_a_broker_that_is_away_is_asked_again_after_a_pause(
    services: RealServices,
    queue: str,
    proxy: CuttableProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [1000.0]
    with broker_at(proxied(services.rabbitmq_url, proxy.port), queue) as broker:
        broker.ping()
        proxy.cut()
        monkeypatch.setattr("image_api.rabbitmq.broker.time.monotonic", lambda: clock[0])
        with pytest.raises(ServiceUnavailable):
            broker.publish_event(event())
        proxy.restore()
        clock[0] += 4.9
        # During the pause no request waits for a broker that may still be away.
        with pytest.raises(ServiceUnavailable, match="a moment ago"):
            broker.publish_event(event())
        clock[0] += 0.2
        broker.publish_event(event())


@pytest.mark.parametrize(
    "url", ["amqp://images:wrong@127.0.0.1:{port}/%2F", "amqp://a:b@127.0.0.1:1"]
)
def test_a_broker_that_does_not_let_in_is_an_outage_that_reveals_nothing(
    services: RealServices, queue: str, url: str
) -> None:
    port = urlsplit(services.rabbitmq_url).port
    with broker_at(url.format(port=port), queue) as broker:
        for ask in (broker.ping, lambda: broker.publish_event(event())):
            with pytest.raises(ServiceUnavailable) as refused:
                ask()
            assert "127.0.0.1" not in refused.value.detail
            assert "wrong" not in refused.value.detail


@pytest.mark.parametrize(
    "url", ["amqp://images:wrong@127.0.0.1:{port}/%2F", "amqp://a:wrong@127.0.0.1:1"]
)
def test_who_sets_it_up_hears_which_broker_does_not_let_in(
    services: RealServices, queue: str, url: str
) -> None:
    address = url.format(port=urlsplit(services.rabbitmq_url).port)
    with (
        log_lines() as lines,
        broker_at(address, queue) as broker,
        pytest.raises(ServiceUnavailable) as refused,
    ):
        broker.declare_topology()
    host = address.split("@")[1].split("/")[0]
    assert host in refused.value.detail
    (line,) = lines
    assert (line["message"], line["address"]) == ("the broker cannot be reached", host)
    assert "wrong" not in f"{refused.value.detail} {line}"


@pytest.mark.parametrize(
    ("arguments", "difference"),
    [
        ({"x-queue-type": "classic"}, "inequivalent arg 'x-"),
        ({"x-queue-type": "quorum", "x-max-length": 5}, "inequivalent arg 'x-"),
        ({"x-queue-type": "quorum"}, "x-dead-letter-exchange"),
    ],
)
def test_a_queue_with_other_arguments_is_named_with_what_differs(
    services: RealServices,
    channel: BlockingChannel,
    arguments: dict[str, Any],
    difference: str,
) -> None:
    name = f"other.{uuid4().hex}"
    channel.queue_declare(name, durable=True, arguments=arguments)
    try:
        with broker_at(services.rabbitmq_url, name) as broker:
            for ask in (broker.ping, broker.declare_topology):
                with pytest.raises(ServiceUnavailable) as refused:
                    ask()
                assert name in refused.value.detail
                assert difference in refused.value.detail
                assert "RABBITMQ_QUEUE" in refused.value.detail
    finally:
        channel.queue_delete(name)


def test_a_broker_that_takes_connections_and_says_nothing_is_given_up(
    queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_module, "_CONNECT_TIMEOUT_SECONDS", 0.2)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        broker_at(f"amqp://a:b@127.0.0.1:{silent.getsockname()[1]}/%2F", queue) as broker,
    ):
        assert_given_up(broker)


def test_a_confirm_that_never_comes_is_not_waited_for_without_end(
    services: RealServices, queue: str, proxy: CuttableProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with broker_at(proxied(services.rabbitmq_url, proxy.port), queue) as broker:
        broker.ping()
        proxy.stall()
        monkeypatch.setattr(broker_module, "_CONFIRM_TIMEOUT_SECONDS", 0.3)
        monkeypatch.setattr(broker_module, "_CONNECT_TIMEOUT_SECONDS", 0.3)
        assert_given_up(broker)
        proxy.cut()


@pytest.mark.parametrize("ask", [Broker.ping, Broker.declare_topology])
def test_a_connection_that_died_unnoticed_is_replaced(
    services: RealServices, queue: str, proxy: CuttableProxy, ask: Callable[[Broker], None]
) -> None:
    with broker_at(proxied(services.rabbitmq_url, proxy.port), queue) as broker:
        broker.ping()
        proxy.drop()
        ask(broker)


def test_threads_may_share_a_broker(broker: Broker, queue: str, channel: BlockingChannel) -> None:
    sent = [event(image_id=number) for number in range(1, 41)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(broker.publish_event, sent))
    got = {events.decode(received(channel, queue)[2]).id for _ in sent}
    assert got == {each.id for each in sent}


def test_closing_twice_and_using_again_is_fine(broker: Broker, queue: str) -> None:
    broker.ping()
    broker.close()
    broker.close()
    broker.ping()


def test_a_password_that_was_changed_is_asked_for_anew(services: RealServices, queue: str) -> None:
    parts = urlsplit(services.rabbitmq_url)
    wrong = parts._replace(netloc=f"{parts.username}:old@{parts.hostname}:{parts.port}").geturl()
    broker = Broker(
        BrokerSettings(wrong, queue), lambda: BrokerSettings(services.rabbitmq_url, queue)
    )
    broker.ping()
    broker.close()
    with pytest.raises(ServiceUnavailable):
        Broker(BrokerSettings(wrong, queue)).ping()
