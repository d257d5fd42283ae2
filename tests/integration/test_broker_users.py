"""Each purpose's user of a real broker does what its functions need, and little else."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker, ProbableAuthenticationError

from image_api import wiring
from image_api.core.change_log import events
from image_api.core.change_log.events import Event
from image_api.core.change_log.messages import message_of
from image_api.core.change_log.queues import dead_queue, retry_queue
from image_api.errors import ServiceUnavailable
from image_api.rabbitmq.broker import Broker
from image_api.rabbitmq.users import ManagementApi
from image_api.settings import BrokerLogin, BrokerSettings
from tests.amqp import open_channel
from tests.application import ENVIRONMENT, ROOT, forget, use_environment
from tests.e2e.running_cloud import local_python
from tests.variables import variables_without_settings
from tests.waiting import eventually

QUEUE = "image_events"
# A service of somebody else on the same broker, whose names begin alike.
STRANGER = "image_events_of_reports"
PURPOSES = ("publishing", "processing", "operations")


class Users:
    """A node with a management API, as Amazon MQ has it, and what is on it."""

    def __init__(self, owner_url: str, management_url: str) -> None:
        address = urlsplit(owner_url)
        self.owner_url = owner_url
        self.owner = BrokerLogin(str(address.username), str(address.password))
        self.management_url = management_url
        self.management = ManagementApi(management_url, self.owner)
        self.logins = {
            purpose: BrokerLogin(f"images_{purpose}", f"of {purpose}/+?") for purpose in PURPOSES
        }

    def make(self) -> None:
        self.management.make_users(self.logins.items(), QUEUE)

    def settings(self, purpose: str) -> BrokerSettings:
        address = urlsplit(self.owner_url)
        login = self.logins[purpose]
        user = f"{login.user}:{login.password.replace(' ', '%20').replace('/', '%2F')}"
        user = user.replace("+", "%2B").replace("?", "%3F")
        return BrokerSettings(f"amqp://{user}@127.0.0.1:{address.port}/%2F", QUEUE)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Users]:
    folder: Path = tmp_path_factory.mktemp("broker")
    # In the local cloud's environment, as `make run` starts it.
    with subprocess.Popen(
        [local_python(), "-m", "tests.local_cloud.services.management_node", str(folder)],
        cwd=ROOT,
        env=variables_without_settings(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            users = Users(*process.stdout.readline().split())
            users.make()
            # As the migration does, by the right of the user that the relay has.
            with closing(Broker(users.settings("operations"))) as operations:
                operations.declare_topology()
            with open_channel(users.owner_url) as channel:
                channel.queue_declare(STRANGER, durable=True)
                channel.exchange_declare("reports", "topic")
                channel.queue_bind(STRANGER, events.EXCHANGE, "#")
            yield users
        finally:
            process.stdin.close()
            process.wait()


@pytest.fixture
def as_owner(node: Users) -> Iterator[BlockingChannel]:
    with open_channel(node.owner_url) as channel:
        for queue in (QUEUE, STRANGER, dead_queue(QUEUE)):
            channel.queue_purge(queue)
        yield channel


@pytest.fixture
def broker(node: Users) -> Iterator[Callable[[str], Broker]]:
    made: list[Broker] = []

    def of(purpose: str) -> Broker:
        made.append(Broker(node.settings(purpose)))
        return made[-1]

    yield of
    for each in made:
        each.close()


def event(event_type: str = events.UPDATE_REQUESTED) -> Event:
    return Event(
        id="6d9f4a51-4d6c-4dd5-a4ff-0d6e0c3d5f01",
        type=event_type,
        image_id=7,
        sequence=1,
        correlation_id="c",
        occurred_at="2026-11-02T18:10:16.000000Z",
        data={},
    )


def waiting(channel: BlockingChannel, queue: str) -> int:
    return int(channel.queue_declare(queue, passive=True).method.message_count)


def test_requests_are_published(broker: Callable[[str], Broker], as_owner: BlockingChannel) -> None:
    broker("publishing").publish_event(event())
    eventually(lambda: waiting(as_owner, QUEUE) == 1, "it is in the work queue")


def test_the_trigger_reads_and_the_consumer_settles(
    node: Users, broker: Callable[[str], Broker], as_owner: BlockingChannel
) -> None:
    broker("publishing").publish_event(event())
    with open_channel(node.settings("processing").url) as channel:
        # As Lambda's poller.
        channel.queue_declare(QUEUE, passive=True)
        channel.basic_qos(prefetch_count=20)
        method, *_ = next(channel.consume(QUEUE))
        channel.basic_ack(method.delivery_tag)
        channel.cancel()
    consumer = broker("processing")
    for target in (retry_queue(QUEUE, 1), dead_queue(QUEUE)):
        consumer.publish("", target, message_of(event()))
    consumer.publish_event(event(events.UPDATE_COMPLETED))
    eventually(lambda: waiting(as_owner, dead_queue(QUEUE)) == 1, "it is given up")


def test_relay_and_operators_publish_measure_declare_and_send_back(
    broker: Callable[[str], Broker], as_owner: BlockingChannel
) -> None:
    operations = broker("operations")
    as_owner.queue_delete(retry_queue(QUEUE, 5))
    operations.declare_topology()
    operations.ping()
    assert operations.publish_events([event()], 5.0) == [event()]
    operations.publish("", dead_queue(QUEUE), message_of(event()))
    assert [letter.event_id for letter in operations.dead_letters(10)] == [event().id]
    eventually(lambda: operations.message_counts().dead == 1, "it is back")
    assert operations.redrive(None, lambda: True) == 1
    # A replay is to another service's queue.
    assert operations.publish_to_queue(STRANGER, [event()], 5.0) == [event()]


Act = Callable[[BlockingChannel], object]
ACTS: dict[str, Act] = {
    "delete the work queue": lambda channel: channel.queue_delete(QUEUE),
    "delete the exchange": lambda channel: channel.exchange_delete(events.EXCHANGE),
    "purge the work queue": lambda channel: channel.queue_purge(QUEUE),
    "read the work queue": lambda channel: channel.basic_get(QUEUE),
    "read the dead letters": lambda channel: channel.basic_get(dead_queue(QUEUE)),
    "write to a queue by its name": lambda channel: channel.basic_publish("", QUEUE, b"{}"),
    "hear the events": lambda channel: channel.queue_bind(QUEUE, events.EXCHANGE, "#"),
    "declare a queue": lambda channel: channel.queue_declare("mine"),
    "declare a queue that nobody names": lambda channel: channel.queue_declare(""),
    "declare an exchange": lambda channel: channel.exchange_declare("mine", "topic"),
    "declare a name that begins as ours": lambda channel: channel.queue_declare(f"{QUEUE}.mine"),
    "read a stranger's queue": lambda channel: channel.basic_get(STRANGER),
    "purge a stranger's queue": lambda channel: channel.queue_purge(STRANGER),
    "delete a stranger's queue": lambda channel: channel.queue_delete(STRANGER),
    "bind a stranger's queue": lambda channel: channel.queue_bind(STRANGER, events.EXCHANGE, "#"),
    "publish to a stranger's exchange": lambda channel: channel.basic_publish(
        "reports", "x", b"{}"
    ),
}
# RabbitMQ counts purging as reading, and deleting as declaring.
MAY = {
    "publishing": set[str](),
    "processing": {
        *("purge the work queue", "read the work queue", "write to a queue by its name"),
    },
    "operations": {
        *("delete the work queue", "delete the exchange", "purge the work queue"),
        *("read the work queue", "read the dead letters", "write to a queue by its name"),
        "hear the events",
    },
}
REFUSED = [(purpose, act) for purpose in PURPOSES for act in ACTS if act not in MAY[purpose]]


@pytest.mark.parametrize(("purpose", "act"), REFUSED)
def test_a_purposes_user_may_not(node: Users, purpose: str, act: str) -> None:
    with open_channel(node.settings(purpose).url) as channel:
        # A publish is refused when its confirm is due.
        channel.confirm_delivery()
        with pytest.raises(ChannelClosedByBroker) as refused:
            ACTS[act](channel)
    assert refused.value.reply_code == 403, refused.value


def test_users_that_a_url_names_are_made_by_the_owner_of_the_management_api(
    node: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in docker-compose, where there are no secrets."""
    address = urlsplit(node.owner_url)
    login = f"{address.username}:{address.password}"
    url = f"amqp://compose_{{purpose}}:p@127.0.0.1:{address.port}/%2F"
    use_environment(
        monkeypatch,
        {
            **ENVIRONMENT,
            "RABBITMQ_URL": url,
            "RABBITMQ_MANAGEMENT_URL": node.management_url.replace("//", f"//{login}@"),
        },
    )
    wiring.make_broker_users()
    forget()
    for purpose in PURPOSES:
        with (
            open_channel(url.replace("{purpose}", purpose)) as channel,
            pytest.raises(ChannelClosedByBroker, match="ACCESS_REFUSED"),
        ):
            channel.queue_declare("mine")


@pytest.mark.parametrize("purpose", PURPOSES)
def test_nobody_but_the_owner_asks_the_management_api(node: Users, purpose: str) -> None:
    own = ManagementApi(node.management_url, node.logins[purpose])
    with pytest.raises(ServiceUnavailable, match="answers 401"):
        own.make_users([("operations", node.logins[purpose])], QUEUE)


def test_a_changed_password_is_the_only_one_from_the_next_deployment_on(node: Users) -> None:
    before = node.settings("publishing")
    node.logins["publishing"] = BrokerLogin("images_publishing", "another one")
    node.make()
    with open_channel(node.settings("publishing").url):
        pass
    # A function that read the secret before asks for it once more.
    warm = Broker(before, lambda: node.settings("publishing"))
    warm.publish_event(event())
    warm.close()
    with pytest.raises(ProbableAuthenticationError):
        pika.BlockingConnection(pika.URLParameters(before.url))


def test_a_management_api_that_is_away_is_said_to_be_without_the_password(node: Users) -> None:
    away = ManagementApi("http://127.0.0.1:1", node.owner)
    with pytest.raises(ServiceUnavailable, match=r"does not answer at http://127\.0\.0\.1:1") as no:
        away.make_users(node.logins.items(), QUEUE)
    assert node.owner.password not in str(no.value)
