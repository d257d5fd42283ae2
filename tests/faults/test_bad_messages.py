"""A message that can never succeed is buried, delays nobody, and can be sent back."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import ANY

import pytest

from image_api.core.change_log import events
from image_api.core.change_log.queues import dead_queue
from tests import samples
from tests.application import ROOT
from tests.e2e.api_client import ApiClient
from tests.e2e.running_cloud import local_python
from tests.faults import batches
from tests.faults.audit import Audit
from tests.faults.breakable_cloud import BreakableCloud
from tests.waiting import eventually

DeadLetters = Callable[..., str]


@pytest.fixture
def dead_letters(system: BreakableCloud) -> DeadLetters:
    """`make dead-letters` and `make redrive`, on an empty queue of the dead."""
    with system.broker() as channel:
        channel.queue_purge(dead_queue(system.queue))

    def run(*arguments: str) -> str:
        finished = subprocess.run(
            [local_python(), "-m", "infra.tools.dead_letters", *arguments],
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": "layers/common",
                "RABBITMQ_URL": system.services["broker"].url,
                "RABBITMQ_QUEUE": system.queue,
            },
            capture_output=True,
            text=True,
            check=True,
        )
        return finished.stdout

    return run


def test_one_bad_message_among_a_hundred_delays_none_of_the_others(
    system: BreakableCloud, audit: Audit, user: ApiClient, dead_letters: DeadLetters
) -> None:
    system.ways["broker"].cut()
    uploaded = [user.upload(samples.png()).json()["id"] for _ in range(99)]
    with audit.held_back() as accepted:
        system.ways["broker"].restore()
        bad = replace(accepted[0], id=events.new_id(), correlation_id="request-of-the-bad")
        records = [batches.record(event) for event in accepted]
        records.insert(50, batches.record(bad, b"{ this is no JSON"))
        assert len(records) == 100

        counts = system.cloud.invoke("consumer", batches.batch(system.queue, records))

    # At once: what a busy machine has not rendered yet is in the renderers' hands.
    assert counts.pop("rejected") == 1
    in_work = counts.pop("waiting", 0) + counts.pop("rendering", 0)
    assert counts.pop("applied") + in_work == 99
    assert not counts
    audit.settle()
    ready = user.images(owner="me", status="ready", limit=100).json()
    assert {image["id"] for image in ready} == set(uploaded)
    properties, body = _only_dead_letter(system)
    assert body == b"{ this is no JSON"
    assert properties.headers == {"x-reason": "The message is not JSON"}
    assert properties.message_id == bad.id
    assert properties.correlation_id == "request-of-the-bad"
    assert properties.type == bad.type
    assert properties.content_type == events.CONTENT_TYPE
    assert properties.delivery_mode == 2
    listed = dead_letters("list")
    assert bad.id in listed
    assert "attempts 1: The message is not JSON" in listed


@dataclass(frozen=True)
class BrokenUpload:
    """An upload whose file went missing before it was processed."""

    image_id: int
    key: str
    data: bytes


@pytest.fixture
def broken(
    system: BreakableCloud, audit: Audit, user: ApiClient, dead_letters: DeadLetters
) -> BrokenUpload:
    """It has failed, and its message is the only dead letter."""
    data = samples.png()
    system.ways["broker"].cut()
    image_id = user.upload(data).json()["id"]
    with audit.database() as database:
        ((key,),) = database.run("SELECT original_key FROM images WHERE id = :id", id=image_id)
    audit.bucket().Object(key).delete()
    with audit.held_back() as changes:
        system.ways["broker"].restore()
        (accepted,) = (event for event in changes if event.image_id == image_id)
        event = batches.batch(system.queue, [batches.record(accepted)])
        # On a busy machine the renderer may not have ended when nobody waits for it any more.
        assert system.cloud.invoke("consumer", event) in ({"dead": 1}, {"rendering": 1})
    audit.settle()
    assert user.image(image_id).json()["status"] == "failed"
    return BrokenUpload(image_id, key, data)


def test_a_dead_letter_that_is_sent_back_succeeds_once_its_cause_is_gone(
    audit: Audit, user: ApiClient, dead_letters: DeadLetters, broken: BrokenUpload
) -> None:
    assert "attempts 1: The stored file is missing" in dead_letters("list")
    audit.bucket().put_object(Key=broken.key, Body=broken.data, ContentType="image/png")

    assert dead_letters("redrive").endswith(": 1\n")

    image = eventually(
        lambda: (
            image if (image := user.image(broken.image_id).json())["status"] == "ready" else None
        ),
        "the image is processed after all",
    )
    assert image["error"] is None
    assert user.download(image["url"]).content == broken.data
    audit.settle()
    assert audit.hear().of_image(broken.image_id) == [
        events.UPLOAD_FAILED,
        events.UPLOAD_COMPLETED,
    ]
    assert dead_letters("list").endswith(": 0\n")


def test_a_dead_letter_that_is_sent_back_too_early_returns_to_the_dead(
    system: BreakableCloud, user: ApiClient, dead_letters: DeadLetters, broken: BrokenUpload
) -> None:
    assert dead_letters("redrive").endswith(": 1\n")

    eventually(lambda: dead_letters("list").endswith(": 1\n"), "it is among the dead again")
    properties, _ = _only_dead_letter(system)
    assert properties.headers == {
        "x-reason": "The stored file is missing",
        "x-attempt": 1,
        "traceparent": ANY,
    }
    assert user.image(broken.image_id).json()["status"] == "failed"


def test_looking_at_the_dead_letters_uses_none_of_them_up(
    system: BreakableCloud, user: ApiClient, dead_letters: DeadLetters, broken: BrokenUpload
) -> None:
    # As RabbitMQ 4 has it by itself, for a queue that an older version declared.
    with system.broker_policy(f"^{dead_queue(system.queue)}$", {"delivery-limit": 2}):
        for _ in range(6):
            assert dead_letters("list").endswith(": 1\n")
        assert dead_letters("redrive", "--event", "of no message").endswith(": 0\n")
        assert dead_letters("list").endswith(": 1\n")
    assert dead_letters("redrive").endswith(": 1\n")


def _only_dead_letter(system: BreakableCloud) -> tuple[Any, bytes]:
    """Its properties and its body; it stays where it is."""
    with system.broker() as channel:
        method, properties, body = channel.basic_get(dead_queue(system.queue))
        assert method is not None and body is not None
        assert method.message_count == 0
        # The broker's own note of this look at it.
        properties.headers.pop("x-delivery-count", None)
        return properties, body
