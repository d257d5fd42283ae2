"""`make dead-letters`, `redrive`, `listen` and `replay`: where they ask, and what they say."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from infra.local.settings import ROOT
from tests import commands
from tests.amqp import open_channel

QUEUE = "tools.events"
DEAD = f"{QUEUE}.dead"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tools, with no local cloud and no settings but what a test gives it."""
    folder = tmp_path_factory.mktemp("my clone")
    ignored = shutil.ignore_patterns("__py*")
    for part in ("infra", "layers/common"):
        shutil.copytree(ROOT / part, folder / part, ignore=ignored)
    return folder


@pytest.fixture
def channel(broker_url: str) -> Iterator[BlockingChannel]:
    """With empty queues of the work and of the dead."""
    with open_channel(broker_url) as channel:
        # A quorum queue notes how often it gave a message out.
        for name, kind in ((QUEUE, "classic"), (DEAD, "quorum")):
            channel.queue_delete(name)
            channel.queue_declare(name, durable=True, arguments={"x-queue-type": kind})
        yield channel


def run(clone: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    own = ("RABBITMQ_", "LOCAL_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    environment = {**kept, "PYTHONPATH": "layers/common", **variables}
    return commands.run(sys.executable, "-m", *arguments, cwd=clone, env=environment)


def dead_letters(clone: Path, *arguments: str, **variables: str) -> str:
    done = run(clone, "infra.tools.dead_letters", *arguments, **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


def bury(channel: BlockingChannel, message_id: str, **headers: object) -> None:
    channel.basic_publish(
        "", DEAD, b"{", pika.BasicProperties(message_id=message_id, headers=headers)
    )


def test_dead_letters_of_the_broker_that_env_names_are_listed_and_stay(
    clone: Path, channel: BlockingChannel, broker_url: str
) -> None:
    channel.confirm_delivery()
    bury(channel, "one", **{"x-reason": "The file is missing", "x-attempt": 6})
    bury(channel, "two", **{"x-first-death-reason": "delivery_limit"})
    (clone / ".env").write_text(f"RABBITMQ_URL={broker_url}\nRABBITMQ_QUEUE={QUEUE}\n")
    try:
        for _ in range(2):
            listed = dead_letters(clone, "list")
            assert "one  None  (no event)\n    attempts 6: The file is missing\n" in listed
            assert "attempts 1: dropped by the broker (delivery_limit)\n" in listed
            assert listed.endswith(f"dead letters in {DEAD}: 2\n")
    finally:
        (clone / ".env").unlink()


def test_a_redriven_message_is_as_if_it_had_never_been_tried(
    clone: Path, channel: BlockingChannel, broker_url: str
) -> None:
    channel.confirm_delivery()
    tried = {"x-attempt": 6, "x-waits": 2, "x-reason": "away", "x-first-death-queue": "q"}
    bury(channel, "one", **tried, kept="yes")
    bury(channel, "two")
    broker = {"RABBITMQ_URL": broker_url, "RABBITMQ_QUEUE": QUEUE}
    for expected in (1, 0):
        said = dead_letters(clone, "redrive", "--event", "one", **broker)
        assert said == f"messages sent back to {QUEUE}: {expected}\n"
    _, properties, body = channel.basic_get(QUEUE)
    assert properties is not None
    assert (properties.message_id, body) == ("one", b"{")
    assert properties.headers == {"kept": "yes", "x-redriven": 1}
    assert dead_letters(clone, "list", **broker).endswith(": 1\n")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (None, "No local cloud is running here: start it with make run, or set RABBITMQ_URL"),
        ("nonsense", "RABBITMQ_URL is not of the form amqp://user:password@host:5672/%2F"),
        ("http://localhost:5672", "RABBITMQ_URL is not of the form"),
        ("amqp://u:p@localhost:no/%2F", "RABBITMQ_URL: Port could not be cast"),
        ("amqp://u:secret@127.0.0.1:1/%2F", "No broker answers at 127.0.0.1:1"),
        ("amqp://u:secret@{address}/%2F", "The broker at {address} refuses the user, the password"),
        ("{url}none", "refuses the user, the password or the virtual host"),
        ("{url}", "The broker at {address} says: NOT_FOUND - no queue 'nobodys.dead'"),
    ],
)
def test_a_broker_that_cannot_be_used_is_told_in_one_line_without_its_password(
    clone: Path, broker_url: str, url: str | None, words: str
) -> None:
    address = urlsplit(broker_url).netloc.rpartition("@")[2]
    variables = {"RABBITMQ_URL": url.format(url=broker_url, address=address)} if url else {}
    tools: list[tuple[str, ...]] = [("infra.tools.dead_letters", "list")]
    # Listening needs no queue that is there already.
    if "no queue" not in words:
        tools.append(("infra.tools.listen",))
    for tool in tools:
        done = run(clone, *tool, RABBITMQ_QUEUE="nobodys", **variables)
        assert done.returncode == 1
        assert words.format(address=address) in done.stderr
        assert done.stderr.count("\n") == 1
        assert "secret" not in done.stderr


@contextmanager
def answering(data_folder: Path, *answers: dict[str, Any]) -> Iterator[list[Any]]:
    """What a function is asked, who answers this; the last answer is its failure."""
    asked: list[Any] = []
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((self.path, json.loads(body)))
            answer = left.pop(0)
            self.send_response_only(200)
            if "errorMessage" in answer:
                self.send_header("X-Amz-Function-Error", "Unhandled")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        data_folder.mkdir()
        state = {"pid": os.getpid(), "invoke_url": f"http://127.0.0.1:{server.server_port}"}
        (data_folder / "state.json").write_text(json.dumps(state))
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield asked
        finally:
            server.shutdown()
            thread.join()


def test_a_replay_goes_on_until_the_function_has_sent_everything(
    clone: Path, tmp_path: Path
) -> None:
    since, until = "2026-11-02T18:10:16Z", "2026-11-03"
    with answering(
        tmp_path / "data",
        {"sent": 500, "until": until, "after": "2026|0|7"},
        {"sent": 3, "until": until, "after": None},
    ) as asked:
        options = ("--queue", "reports", "--since", since, "--data-folder", str(tmp_path / "data"))
        done = run(clone, "infra.tools.replay", *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "500 so far; UNTIL='2026-11-03' AFTER='2026|0|7'\n503 events sent to reports\n"
    )
    first = {"queue": "reports", "since": since, "until": None, "after": None}
    assert asked == [
        ("/2015-03-31/functions/replay/invocations", request)
        for request in (first, first | {"until": until, "after": "2026|0|7"})
    ]


def test_a_replay_that_is_refused_is_told_in_the_functions_words(
    clone: Path, tmp_path: Path
) -> None:
    refused = {"errorMessage": "`since` must be a time", "errorType": "ReplayRefused"}
    options = ("--queue", "q", "--since", "soon", "--data-folder", str(tmp_path / "data"))
    with answering(tmp_path / "data", refused):
        done = run(clone, "infra.tools.replay", *options)
    assert (done.returncode, done.stderr) == (1, "`since` must be a time\n")
    (tmp_path / "data" / "state.json").unlink()
    done = run(clone, "infra.tools.replay", *options)
    assert (done.returncode, done.stderr) == (
        1,
        "No local cloud is running here: start it with make run\n",
    )
