"""The event source mapping by itself: a real RabbitMQ, and a Lambda API that the test plays."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from infra.local.invocation import Invoke
from infra.local.settings import ROOT
from infra.local.triggers.lambda_endpoint import LambdaEndpoint
from infra.services.ports import hold_free_port, port_of
from tests.local_cloud.triggers.polled_queue import PolledQueue, bodies_of, messages_of, queue_at
from tests.waiting import until

QUEUE = "events for elsewhere"
# A runtime's own report, which carries the id of its request.
RAISED = {
    "errorMessage": "no",
    "errorType": "Boom",
    "requestId": "4f0d3e6c-0000-4000-8000-000000000000",
    "stackTrace": [],
}


class LambdaApi:
    """Answers as the test says, `answers` first, then with success."""

    def __init__(self, held: socket.socket) -> None:
        """Nothing answers on the port that is held before `serving`."""
        self._held = held
        self.url = f"http://127.0.0.1:{port_of(held)}"
        self.answers: list[web.Response] = []
        self.invocations: list[tuple[str, dict[str, Any]]] = []
        self.authorizations: list[str] = []

    @property
    def batches(self) -> list[list[str]]:
        return [bodies_of(messages_of(event)) for _, event in self.invocations]

    @property
    def invoke(self) -> Invoke:
        """By the logical id."""
        return self.deployed_as(None)

    def deployed_as(self, function_name: str | None) -> Invoke:
        return LambdaEndpoint(self.url, function_name, {}, "us-east-1").invoke

    async def handle(self, request: web.BaseRequest) -> web.Response:
        assert (request.method, request.raw_path.count("/")) == ("POST", 4)
        name = request.path.removeprefix("/2015-03-31/functions/").removesuffix("/invocations")
        self.invocations.append((name, json.loads(await request.read())))
        self.authorizations.append(request.headers["Authorization"])
        if self.answers:
            return self.answers.pop(0)
        return web.Response(text="null")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        runner = web.ServerRunner(web.Server(self.handle, access_log=None))
        await runner.setup()
        await web.SockSite(runner, self._held).start()
        try:
            yield
        finally:
            await runner.cleanup()


@pytest.fixture
def api() -> Iterator[LambdaApi]:
    with hold_free_port() as held:
        yield LambdaApi(held)


@pytest.fixture
def queue(broker_url: str) -> Iterator[PolledQueue]:
    with queue_at(broker_url, QUEUE) as queue:
        queue.declare()
        yield queue


async def test_a_message_invokes_the_function_by_its_logical_id(
    queue: PolledQueue, api: LambdaApi
) -> None:
    async with api.serving(), queue.polling(api.invoke):
        queue.publish("one")
        await until(lambda: api.batches == [["one"]])
    ((name, event),) = api.invocations
    assert name == "ConsumerFunction"
    assert event["eventSource"] == "aws:rmq"
    assert list(event["rmqMessagesByQueue"]) == [f"{QUEUE}::/"]
    assert "/us-east-1/lambda/aws4_request" in api.authorizations[0]
    assert queue.depth() == 0


async def test_a_deployed_function_is_invoked_by_the_name_it_has_there(
    queue: PolledQueue, api: LambdaApi
) -> None:
    async with api.serving(), queue.polling(api.deployed_as("image-api-Consumer-1A2B")):
        queue.publish("one")
        await until(lambda: bool(api.invocations))
    assert api.invocations[0][0] == "image-api-Consumer-1A2B"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            {"text": '{"errorMessage": "no"}', "headers": {"X-Amz-Function-Error": "Unhandled"}},
            "Error: no",
        ),
        ({"text": json.dumps(RAISED)}, "Boom: no"),
        ({"text": ""}, "ended without an answer"),
        ({"text": '{"Message": "out of memory"}', "status": 500}, "out of memory"),
        ({"status": 429}, "throttled"),
    ],
    ids=["as Lambda says it", "as sam local says it", "killed", "broken", "throttled"],
)
async def test_a_failed_batch_comes_again(
    queue: PolledQueue, api: LambdaApi, answer: dict[str, Any], said: str
) -> None:
    api.answers.append(web.Response(**answer))
    queue.publish("1", "2")
    # A batch of both: the window stays open until they are together.
    async with api.serving(), queue.polling(api.invoke, batch_size=2, window_seconds=3600):
        await until(lambda: len(api.batches) == 2)
    assert api.batches == [["1", "2"]] * 2
    assert api.invocations[-1][1]["rmqMessagesByQueue"][f"{QUEUE}::/"][0]["redelivered"]
    assert said in queue.log.getvalue()
    assert queue.depth() == 0


async def test_an_answer_that_only_speaks_of_errors_is_a_success(
    queue: PolledQueue, api: LambdaApi
) -> None:
    api.answers.append(web.Response(text='{"errorMessage": "none", "errorType": "", "applied": 1}'))
    async with api.serving(), queue.polling(api.invoke):
        queue.publish("1")
        await until(lambda: api.batches == [["1"]])
    assert queue.log.getvalue() == ""
    assert queue.depth() == 0


async def test_while_nothing_answers_the_batch_is_held_and_no_delivery_is_counted(
    queue: PolledQueue, api: LambdaApi
) -> None:
    queue.publish("1")
    async with queue.polling(api.invoke):
        await until(lambda: "1 messages of events for elsewhere wait" in queue.log.getvalue())
        async with api.serving():
            await until(lambda: api.batches == [["1"]])
            await until(lambda: queue.depth() == 0)
    (message,) = api.invocations[0][1]["rmqMessagesByQueue"][f"{QUEUE}::/"]
    assert message["redelivered"] is False


async def test_a_wrong_function_name_holds_the_batch_until_it_is_right(
    queue: PolledQueue, api: LambdaApi
) -> None:
    api.answers.append(web.Response(status=404, text="Function not found"))
    queue.publish("1")
    async with api.serving(), queue.polling(api.invoke):
        await until(lambda: len(api.batches) == 2)
    assert "ConsumerFunction cannot be invoked: 404 Function not found" in queue.log.getvalue()


async def test_what_is_held_returns_to_the_queue_when_polling_ends(
    queue: PolledQueue, api: LambdaApi
) -> None:
    queue.publish("1", "2")
    async with queue.polling(api.invoke):
        await until(lambda: "messages of events for elsewhere wait" in queue.log.getvalue())
    await until(lambda: queue.depth() == 2)


def poll_command(folder: Path, *arguments: str) -> list[str]:
    program = [sys.executable, "-m", "infra.local", "poll", "--data-folder", str(folder)]
    return [*program, *arguments]


def environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RABBITMQ")}
    # Empty counts as unset, and hides what a developer's own .env says.
    return {**kept, "RABBITMQ_URL": "", "RABBITMQ_HOST": "", **variables}


async def test_the_command_polls_the_queue_of_the_template(
    queue: PolledQueue, api: LambdaApi, tmp_path: Path
) -> None:
    process = await asyncio.create_subprocess_exec(
        *poll_command(tmp_path, "--lambda-url", api.url),
        cwd=ROOT,
        env=environment(RABBITMQ_URL=queue.url, RABBITMQ_QUEUE=QUEUE),
        stdout=subprocess.PIPE,
    )
    queue.publish("1")
    async with api.serving():
        await until(lambda: api.batches == [["1"]])
        process.send_signal(signal.SIGTERM)
        output, _ = await process.communicate()
    assert process.returncode == 0
    assert f"{QUEUE} triggers ConsumerFunction at {api.url}" in output.decode()
    assert api.invocations[0][0] == "ConsumerFunction"
    assert queue.depth() == 0


async def test_the_command_says_when_it_knows_no_broker(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *poll_command(tmp_path), cwd=ROOT, env=environment(), stderr=subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert errors.decode().startswith("Which broker? Set RABBITMQ_URL")
