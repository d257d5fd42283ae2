"""A broker that takes nothing: alarms, refusals and silence, as it says them in AMQP's frames."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from itertools import chain, repeat
from types import SimpleNamespace
from typing import Any

import pytest
from pika import frame, spec

from image_api.core.change_log import events
from image_api.core.change_log.events import Event
from image_api.errors import ServiceUnavailable
from image_api.rabbitmq import batch_publisher, broker
from image_api.rabbitmq.broker import Broker
from image_api.settings import BrokerSettings
from tests.waiting import PATIENCE_SECONDS

EVENT = Event(
    "0b0f6f9e-8a5e-4a6e-9c1b-2f6f3b1e7a10", events.UPLOAD_REQUESTED, 1, 1, {}, "request-1",
    "2024-01-01T00:00:00Z",
)  # fmt: skip


class FakeBroker(socketserver.ThreadingTCPServer):
    """Lets everybody in; what it says to a method, if anything, is `says`, by the method."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.says: dict[type[Any], list[Any]] = {
            spec.Connection.StartOk: [spec.Connection.Tune(10, 131_072, 0)],
            spec.Connection.Open: [spec.Connection.OpenOk()],
            spec.Channel.Open: [spec.Channel.OpenOk()],
            spec.Confirm.Select: [spec.Confirm.SelectOk()],
            spec.Channel.Close: [spec.Channel.CloseOk()],
            spec.Connection.Close: [spec.Connection.CloseOk()],
        }
        self.connections = 0

    @property
    def client(self) -> Broker:
        return client_of(self.server_address[1])


def client_of(port: int) -> Broker:
    return Broker(BrokerSettings(f"amqp://guest:guest@127.0.0.1:{port}/%2F", "events"))


class _Handler(socketserver.BaseRequestHandler):
    server: FakeBroker

    def handle(self) -> None:
        self.server.connections += 1
        buffer = self.request.recv(8)[8:]
        properties = {
            "capabilities": {"connection.blocked": True, "publisher_confirms": True,
                             "basic.nack": True},
        }  # fmt: skip
        self._say(0, spec.Connection.Start(0, 9, properties, b"PLAIN", b"en_US"))
        while more := self.request.recv(65_536):
            buffer += more
            while True:
                taken, received = frame.decode_frame(buffer)
                if not taken:
                    break
                buffer = buffer[taken:]
                if isinstance(received, frame.Method):
                    for method in self.server.says.get(type(received.method), []):
                        is_of_channel = not method.NAME.startswith("Connection.")
                        self._say(received.channel_number if is_of_channel else 0, method)

    def _say(self, channel: int, method: Any) -> None:
        self.request.sendall(frame.Method(channel, method).marshal())


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBroker]:
    for module in (batch_publisher, broker):
        monkeypatch.setattr(module, "_CLOSE_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr(batch_publisher, "_GRACE_SECONDS", 0.1)
    # Nobody is late who only was paused, nor is "a moment ago" over; a test of a time-out sets it.
    for name in ("CONNECT_TIMEOUT", "OPENING_TIMEOUT", "CONFIRM_TIMEOUT", "PAUSE_AFTER_FAILURE"):
        monkeypatch.setattr(broker, f"_{name}_SECONDS", PATIENCE_SECONDS)
    server = FakeBroker()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_nothing_to_publish_needs_no_broker(fake: FakeBroker) -> None:
    assert fake.client.publish_events([], 60) == []
    assert fake.connections == 0


def test_what_a_broker_confirms_is_published(fake: FakeBroker) -> None:
    fake.says[spec.Basic.Publish] = [spec.Basic.Ack(1)]

    assert fake.client.publish_events([EVENT], 60) == [EVENT]


# Opening ends with the time to send, before and after it, and with the time for confirms.
@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.1, 0.2, 0.3])
def test_a_broker_that_takes_connections_and_says_nothing_is_away(
    monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    monkeypatch.setattr(broker, "_CONNECT_TIMEOUT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        client = client_of(frozen.getsockname()[1])
        with pytest.raises(ServiceUnavailable, match=r"^The broker did not take the message"):
            client.publish_events([EVENT], seconds)
        # It costs one request its wait, and not every one.
        with pytest.raises(ServiceUnavailable, match=r"^The broker was away a moment ago"):
            client.publish_events([EVENT], 60)


@pytest.mark.parametrize("unanswered", [spec.Channel.Open, spec.Confirm.Select])
def test_a_broker_that_freezes_just_after_the_handshake_costs_one_request_its_wait(
    fake: FakeBroker, monkeypatch: pytest.MonkeyPatch, unanswered: type[Any]
) -> None:
    monkeypatch.setattr(broker, "_OPENING_TIMEOUT_SECONDS", 0.2)
    del fake.says[unanswered]
    client = fake.client

    for reason in (r"^The broker cannot be reached", r"^The broker was away a moment ago"):
        with pytest.raises(ServiceUnavailable, match=reason):
            client.publish_event(EVENT)
    assert fake.connections == 1


@pytest.mark.parametrize("unanswered", [spec.Channel.Open, spec.Queue.Declare])
def test_a_broker_that_freezes_ends_a_look_at_the_dead_letters(
    fake: FakeBroker, monkeypatch: pytest.MonkeyPatch, unanswered: type[Any]
) -> None:
    monkeypatch.setattr(broker, "_OPENING_TIMEOUT_SECONDS", 0.2)
    # pika waits for two of them, and five seconds for each.
    monkeypatch.setattr(broker, "_HEARTBEAT_OF_MANY_SECONDS", 1)
    fake.says.pop(unanswered, None)

    with pytest.raises(ServiceUnavailable, match=r"^The broker did not take the message"):
        fake.client.dead_letters(1)


def test_a_broker_that_lets_in_and_confirms_nothing_costs_one_batch_its_wait(
    fake: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It is let in with little time left, however long that took.
    seconds = chain([0.0], repeat(59.9))
    clock = SimpleNamespace(monotonic=lambda: next(seconds))
    monkeypatch.setattr(batch_publisher, "time", clock)
    client = fake.client

    assert client.publish_events([EVENT], 60) == []
    with pytest.raises(ServiceUnavailable, match=r"^The broker was away a moment ago"):
        client.publish_events([EVENT], 60)


@pytest.mark.parametrize(
    "said", [[spec.Connection.Blocked("low on disk")], []], ids=["an alarm", "silence"]
)
def test_a_broker_that_does_not_confirm_an_event_costs_one_request_its_wait(
    fake: FakeBroker, monkeypatch: pytest.MonkeyPatch, said: list[Any]
) -> None:
    monkeypatch.setattr(broker, "_CONFIRM_TIMEOUT_SECONDS", 0.1)
    fake.says[spec.Basic.Publish] = said
    client = fake.client

    with pytest.raises(ServiceUnavailable, match=r"^The broker did not take the message"):
        client.publish_event(EVENT)
    for _ in range(2):
        with pytest.raises(ServiceUnavailable, match=r"^The broker was away a moment ago"):
            client.publish_event(EVENT)
    assert fake.connections == 1


def test_a_broker_that_lacks_something_is_asked_again_at_once(fake: FakeBroker) -> None:
    fake.says[spec.Basic.Publish] = [spec.Channel.Close(404, "no exchange", 60, 40)]
    client = fake.client

    for _ in range(2):
        with pytest.raises(ServiceUnavailable, match=r"no exchange$"):
            client.publish_events([EVENT], 60)


@pytest.mark.parametrize("answers_goodbye", [True, False])
def test_an_alarm_ends_a_batch_at_once_and_the_next_one_before_it_begins(
    fake: FakeBroker, answers_goodbye: bool
) -> None:
    fake.says[spec.Basic.Publish] = [spec.Connection.Blocked("low on disk")]
    if not answers_goodbye:
        del fake.says[spec.Connection.Close]
    client = fake.client

    # A minute is not waited for.
    assert client.publish_events([EVENT], 60) == []
    with pytest.raises(ServiceUnavailable, match=r"^The broker was away a moment ago"):
        client.publish_events([EVENT], 60)
    assert fake.connections == 1


def test_a_broker_that_ends_the_connection_has_taken_nothing(fake: FakeBroker) -> None:
    fake.says[spec.Basic.Publish] = [spec.Connection.Close(320, "CONNECTION_FORCED", 0, 0)]

    with pytest.raises(ServiceUnavailable, match=r"^The broker did not take the message"):
        fake.client.publish_events([EVENT], 60)


def test_the_check_says_that_a_broker_with_an_alarm_takes_nothing(fake: FakeBroker) -> None:
    fake.says[spec.Queue.Declare] = [spec.Queue.DeclareOk("events", 0, 0)]
    # It takes one message to say so.
    fake.says[spec.Basic.Publish] = [spec.Connection.Blocked("low on disk"), spec.Basic.Ack(1)]
    client = fake.client

    for _ in range(2):
        with pytest.raises(ServiceUnavailable, match=r"^The broker takes no messages just now"):
            client.ping()

    assert fake.connections == 1
    client.close()
