"""`make replay`: past events, to one queue of another service."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from pg8000.native import Connection
from pika.adapters.blocking_connection import BlockingChannel

from tests import samples
from tests.amqp import open_channel
from tests.application import ROOT
from tests.commands import run
from tests.e2e.api_client import ApiClient
from tests.e2e.running_cloud import RunningCloud, local_python
from tests.variables import variables_without_settings
from tests.waiting import eventually


@pytest.fixture
def channel(cloud: RunningCloud) -> Iterator[BlockingChannel]:
    with open_channel(cloud.environment["RABBITMQ_ADMIN_URL"]) as channel:
        yield channel


def replay(cloud: RunningCloud, queue: str, *options: str) -> subprocess.CompletedProcess[str]:
    return run(
        *(local_python(), "-m", "infra.tools.replay", "--queue", queue, *options),
        *("--data-folder", str(cloud.data_folder)),
        cwd=ROOT,
        env={**variables_without_settings(), "PYTHONPATH": "layers/common"},
    )


def test_a_service_that_joins_late_gets_what_has_happened_since(
    cloud: RunningCloud, ada: ApiClient, channel: BlockingChannel, database: Connection
) -> None:
    ada.uploaded(samples.png())
    eventually(
        lambda: not database.run("SELECT FROM changes WHERE settled_at IS NULL"),
        "nothing of other tests is under way",
    )
    since = datetime.now(UTC).isoformat()
    image = ada.uploaded(samples.png(), title="late.png")
    ada.updated(image["id"], title="later.png")
    eventually(
        lambda: not database.run("SELECT FROM changes WHERE outcome_published_at IS NULL"),
        "all that has happened is told",
    )
    latecomer, listener = (channel.queue_declare("", exclusive=True).method.queue for _ in range(2))
    channel.queue_bind(listener, "image.events", "#")

    done = replay(cloud, latecomer, "--since", since)

    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"4 events sent to {latecomer}\n")
    heard = []
    for _ in range(4):
        _, properties, body = eventually(
            lambda: (got := channel.basic_get(latecomer, auto_ack=True))[0] and got, "an event"
        )
        assert properties.headers["x-replayed"] == 1
        event = json.loads(body)
        heard.append((event["type"], event["subject"], event["id"] == properties.message_id))
    assert heard == [
        (f"image.{what}", f"images/{image['id']}", True)
        for what in (
            *("upload.requested", "upload.completed"),
            *("update.requested", "update.completed"),
        )
    ]
    # All others hear nothing of it.
    assert channel.queue_declare(listener, passive=True).method.message_count == 0
    # Until a moment before, and nothing of it is left.
    again = replay(cloud, latecomer, "--since", since, "--until", since)
    assert again.stdout == f"0 events sent to {latecomer}\n"


def test_a_queue_that_is_not_there_is_told_in_one_line(cloud: RunningCloud, ada: ApiClient) -> None:
    ada.uploaded(samples.png())
    done = replay(cloud, "nobodys", "--since", "2020-01-01")
    assert done.returncode == 1
    assert "The queue nobodys accepts nothing: does it exist, and has it room?" in done.stderr
    assert done.stderr.count("\n") == 1
