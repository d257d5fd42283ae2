"""Whatever becomes of messages and queues, what was accepted is done: the log says what is left."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import NackError

from image_api.core.change_log import events
from image_api.core.change_log.changes import LEASE_SECONDS
from image_api.core.change_log.queues import RETRY_DELAYS_SECONDS, retry_queue
from tests import samples
from tests.e2e.api_client import ApiClient
from tests.faults import batches
from tests.faults.audit import Audit
from tests.faults.breakable_cloud import BreakableCloud
from tests.faults.queue_operations import delete_everything, delete_queue, purge_queue
from tests.integration.accepting import age
from tests.waiting import eventually

COUNT = 30


@contextmanager
def consumer_held(audit: Audit) -> Iterator[None]:
    """Nothing is applied inside: the consumer waits for a table to which only it writes."""
    with audit.database() as database:
        database.run("BEGIN")
        database.run("LOCK TABLE renditions IN EXCLUSIVE MODE")
        try:
            yield
        finally:
            database.run("ROLLBACK")


@pytest.fixture
def listener(system: BreakableCloud) -> Iterator[str]:
    """Another service's queue, which takes everything: the broker confirms what it alone has."""
    name = "somebody-else"
    with system.broker() as channel:
        channel.queue_declare(name, durable=True, arguments={"x-queue-type": "quorum"})
        channel.queue_bind(name, events.EXCHANGE, "#")
    yield name
    with system.broker() as channel:
        channel.queue_delete(name)


@pytest.mark.parametrize("lose", [delete_queue, purge_queue, delete_everything])
def test_uploads_whose_messages_are_lost_become_ready(
    system: BreakableCloud,
    audit: Audit,
    user: ApiClient,
    listener: str,
    lose: Callable[[BlockingChannel, str], None],
) -> None:
    # What renderers stored for consumers that other tests killed.
    audit.sweep()
    with consumer_held(audit):
        before = [user.upload(samples.png()) for _ in range(COUNT)]
        with system.broker() as channel:
            lose(channel, system.queue)
        after = [user.upload(samples.png()) for _ in range(5)]
        answers = [*before, *after]
        removed = [answer.json()["id"] for answer in answers[-10::2]]
        assert {user.delete(image_id).status_code for image_id in removed} == {200}
    assert {answer.status_code for answer in answers} == {200}

    audit.make_overdue()
    system.relay()
    if lose is delete_everything:
        # Whoever listened has to bind their queues again; what they missed comes with a replay.
        audit.bind()
    audit.make_overdue()
    system.relay()
    audit.settle()

    kept = {answer.json()["id"] for answer in answers} - set(removed)
    assert {
        image["id"] for image in user.images(owner="me", status="ready", limit=100).json()
    } == kept
    # The files of what was removed are gone as well.
    assert audit.orphans() == set()
    assert audit.missing() == set()
    assert audit.hear().duplicated == []


def test_a_queue_that_is_full_costs_no_accepted_change(
    system: BreakableCloud, audit: Audit, user: ApiClient
) -> None:
    with system.broker_policy(f"^{system.queue}$", {"max-length": 3}):
        with consumer_held(audit):
            answers = [user.upload(samples.png()) for _ in range(60)]
        assert {answer.status_code for answer in answers} == {200}
        audit.settle()
    assert len(user.images(owner="me", status="ready", limit=100).json()) == 60
    assert audit.hear().duplicated == []


def _fill(channel: BlockingChannel, queue: str, body: bytes) -> None:
    """With what the consumer cannot settle, until the queue takes no more."""
    with suppress(NackError):
        while True:
            channel.basic_publish("", queue, body, mandatory=True)


def test_what_waits_in_a_delay_comes_back_to_a_queue_that_was_full(
    system: BreakableCloud, audit: Audit, user: ApiClient
) -> None:
    system.ways["broker"].cut()
    uploaded = {user.upload(samples.png()).json()["id"] for _ in range(10)}
    delay = retry_queue(system.queue, RETRY_DELAYS_SECONDS[0])
    with audit.database() as database:
        accepted = batches.accepted_events(database)
        database.run("UPDATE changes SET published_at = now() WHERE published_at IS NULL")
    system.ways["broker"].restore()
    with system.broker_policy(f"^{system.queue}$", {"max-length": 3}):
        with consumer_held(audit), system.broker() as channel:
            channel.confirm_delivery()
            _fill(channel, system.queue, events.encode(accepted[0]))
            for event in accepted:
                channel.basic_publish("", delay, events.encode(event), mandatory=True)
            delayed_at = time.monotonic()
            eventually(lambda: time.monotonic() > delayed_at + 3, "the delay is long over")
            _fill(channel, system.queue, events.encode(accepted[0]))
        for _ in range(2):
            with audit.database() as database:
                age(database, 60)
            system.relay()
        eventually(
            lambda: (
                {image["id"] for image in user.images(owner="me", status="ready").json()}
                == uploaded
            ),
            "all are ready",
        )
    audit.settle()
    assert audit.hear().duplicated == []


def test_what_the_broker_gives_up_costs_no_accepted_change(
    system: BreakableCloud, audit: Audit, user: ApiClient
) -> None:
    """As RabbitMQ 4 gives up what came back 20 times."""
    kills, dead_before = Counter[str](), audit.dead()

    def kill(method: str, path: str) -> None:
        # Not so often that the picture is taken for the cause.
        if method == "GET" and kills[path] < 2:
            kills[path] += 1
            system.kill_consumer()

    with system.broker_policy(f"^{system.queue}$", {"delivery-limit": 1}):
        system.storage.break_with(kill)
        uploaded = {user.upload(samples.png()).json()["id"] for _ in range(10)}
        eventually(lambda: audit.dead() > dead_before, "the broker gave some up")
        system.storage.heal()
        with audit.database() as database:
            age(database, LEASE_SECONDS)
        system.relay()
        audit.settle()
    assert {image["id"] for image in user.images(owner="me", status="ready").json()} == uploaded
    assert audit.hear().duplicated == []
