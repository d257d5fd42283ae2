"""The event source mapping against the sample event and the limits in AWS's Lambda guide.

https://docs.aws.amazon.com/lambda/latest/dg/with-mq.html
https://docs.aws.amazon.com/lambda/latest/dg/services-mq-params.html
"""

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pika
import pytest
import pytest_asyncio
from pika.adapters.blocking_connection import BlockingChannel

from infra.local.invocation import Event, Result
from infra.local.logs import LogStream
from infra.local.template.model import QueueMapping
from infra.local.template.reader import read_template
from infra.local.triggers.event_source import QueuePoller
from infra.services.rabbitmq import RabbitMQService
from infra.services.records import write_record
from tests.amqp import open_channel
from tests.local_cloud.conftest import running
from tests.waiting import until

SAMPLE = json.loads((Path(__file__).parent / "rabbitmq_event.json").read_text())
ARN = SAMPLE["eventSourceArn"]
QUEUE = "pizzaQueue"
USER = "AIDACKCEVSQ6C2EXAMPLE"
VIRTUAL_HOSTS = ("/", "orders", "/orders")
(MESSAGE,) = SAMPLE["rmqMessagesByQueue"][f"{QUEUE}::/"]
BODY = base64.b64decode(MESSAGE["data"])
# As the sample's message was published. RabbitMQ lets a client give no other name than its own.
PROPERTIES = pika.BasicProperties(
    content_type="text/plain",
    headers={"header1": "value1", "header2": "value2", "numberInHeader": 10},
    delivery_mode=1,
    priority=34,
    expiration="60000",
    timestamp=33 * 60 + 41,
    user_id=USER,
)
TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Consumer:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.13
      Handler: app.lambda_handler
      CodeUri: .
      Events:
        Queue:
          Type: MQ
          Properties:
            Broker: !Sub arn:aws:mq:${AWS::Region}:${AWS::AccountId}:broker:pizzaBroker:b-1
            Queues: [pizzaQueue]
            SourceAccessConfigurations:
              - {Type: BASIC_AUTH, URI: "arn:aws:secretsmanager:us-east-1:012345678912:secret:x"}
"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQService]:
    """A broker whose user has the name in AWS's sample, on an event loop of its own."""
    folder = tmp_path_factory.mktemp("broker")
    account = {"user": USER, "password": "pizza"}
    write_record(folder / "rabbitmq" / "credentials.json", account)
    definitions = folder / "definitions.json"
    definitions.write_text(json.dumps(definitions_with(account, VIRTUAL_HOSTS)))
    further = folder / "rabbitmq" / "etc" / "rabbitmq" / "conf.d" / "definitions.conf"
    further.parent.mkdir(parents=True)
    further.write_text(f"load_definitions = {definitions}\n")
    service = RabbitMQService(folder, folder / "logs", 0)
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(service.start())
        yield service
    finally:
        loop.run_until_complete(service.stop())
        loop.close()


def definitions_with(account: dict[str, str], virtual_hosts: Sequence[str]) -> dict[str, Any]:
    """What RabbitMQ is to make at its start, beside what it makes by itself."""
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    return {
        "users": [{"name": account["user"], "password": account["password"], "tags": []}],
        "vhosts": [{"name": name} for name in virtual_hosts],
        "permissions": [
            {"user": account["user"], "vhost": name, **everything} for name in virtual_hosts
        ],
    }


@contextmanager
def channel_of(url: str) -> Iterator[BlockingChannel]:
    """A channel with the queue, new."""
    with open_channel(url) as channel:
        channel.queue_delete(QUEUE)
        channel.queue_declare(QUEUE, durable=True)
        yield channel


@pytest.fixture
def channel(broker: RabbitMQService) -> Iterator[BlockingChannel]:
    with channel_of(broker.url) as channel:
        yield channel


class Function:
    """What the test plays: it notes what it is given, and fails or waits when told to."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.failures_left = 0
        self.running = 0
        self.most_running = 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def invoke(self, _function_id: str, event: Event) -> Result:
        self.payloads.append(b"".join(event.payload))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await self.go_on.wait()
        self.running -= 1
        if self.failures_left:
            self.failures_left -= 1
            return Result(b'{"errorMessage": "not now"}', is_error=True)
        return Result(b"null")

    def batches(self) -> list[list[dict[str, Any]]]:
        events = [json.loads(payload) for payload in self.payloads]
        return [messages for event in events for messages in event["rmqMessagesByQueue"].values()]


@pytest_asyncio.fixture
async def function() -> Function:
    return Function()


@asynccontextmanager
async def polling(
    url: str, function: Function, batch_size: int = 100, window_seconds: float = 0.0
) -> AsyncIterator[None]:
    mapping = QueueMapping("Queue", "Consumer", ARN, QUEUE, batch_size, window_seconds, True)
    poller = QueuePoller(mapping, url, function.invoke, LogStream(io.StringIO()))
    async with running(poller):
        try:
            yield
        finally:
            function.go_on.set()


@pytest.mark.asyncio
async def test_the_event_is_awss_sample_byte_for_byte(
    broker: RabbitMQService, channel: BlockingChannel, function: Function
) -> None:
    expected = json.loads(json.dumps(SAMPLE))
    (message,) = expected["rmqMessagesByQueue"][f"{QUEUE}::/"]
    # The sample says 80, of a body that it then replaced by a shorter one.
    message["basicProperties"]["bodySize"] = len(BODY)
    channel.basic_publish("", QUEUE, BODY, PROPERTIES)
    async with polling(broker.url, function):
        await until(lambda: function.payloads)
    assert function.payloads == [json.dumps(expected).encode()]


@pytest.mark.asyncio
async def test_what_a_message_does_not_have_is_null_headers_too(
    broker: RabbitMQService, channel: BlockingChannel, function: Function
) -> None:
    channel.basic_publish("", QUEUE, b"")
    async with polling(broker.url, function):
        await until(lambda: function.payloads)
    ((message,),) = function.batches()
    nothing = dict.fromkeys(MESSAGE["basicProperties"])
    assert message == {
        "basicProperties": {**nothing, "bodySize": 0},
        "redelivered": False,
        "data": "",
    }
    assert message.keys() == MESSAGE.keys()


@pytest.mark.asyncio
async def test_after_an_error_the_whole_batch_comes_again_marked_as_redelivered(
    broker: RabbitMQService, channel: BlockingChannel, function: Function
) -> None:
    function.failures_left = 1
    for body in (b"1", b"2", b"3"):
        channel.basic_publish("", QUEUE, body, PROPERTIES)
    # The window stays open until all three are together.
    async with polling(broker.url, function, batch_size=3, window_seconds=3600):
        await until(lambda: len(function.payloads) == 2)
    first, second = function.batches()
    assert len(first) == 3
    assert not any(message["redelivered"] for message in first)
    assert second == [{**message, "redelivered": True} for message in first]
    await until(lambda: channel.queue_declare(QUEUE, passive=True).method.message_count == 0)


@pytest.mark.asyncio
@pytest.mark.parametrize("virtual_host", VIRTUAL_HOSTS[1:])
async def test_a_queue_of_another_virtual_host_is_named_with_it(
    broker: RabbitMQService, function: Function, virtual_host: str
) -> None:
    url = broker.url.removesuffix("%2F") + quote(virtual_host, safe="")
    with channel_of(url) as channel:
        channel.basic_publish("", QUEUE, BODY)
        async with polling(url, function):
            await until(lambda: function.payloads)
    assert list(json.loads(function.payloads[0])["rmqMessagesByQueue"]) == [
        f"{QUEUE}::{virtual_host}"
    ]


def test_a_template_that_says_nothing_has_awss_defaults(tmp_path: Path) -> None:
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    (mapping,) = read_template(tmp_path / "template.yaml", {}, "us-east-1").queue_mappings
    assert (mapping.batch_size, mapping.window_seconds, mapping.enabled) == (100, 0.5, True)
    assert mapping.broker_arn == "arn:aws:mq:us-east-1:012345678912:broker:pizzaBroker:b-1"


@pytest.mark.asyncio
async def test_a_batch_has_at_most_the_batch_size(
    broker: RabbitMQService, channel: BlockingChannel, function: Function
) -> None:
    for number in range(200):
        channel.basic_publish("", QUEUE, str(number).encode())
    # A window that outlasts the test: only being full ends a batch.
    async with polling(broker.url, function, batch_size=100, window_seconds=3600):
        await until(lambda: len(function.payloads) == 2)
    assert [len(batch) for batch in function.batches()] == [100, 100]
    bodies = [base64.b64decode(item["data"]) for batch in function.batches() for item in batch]
    assert bodies == [str(number).encode() for number in range(200)]


@pytest.mark.asyncio
async def test_the_window_opens_with_the_first_message_and_a_full_batch_closes_it(
    broker: RabbitMQService, channel: BlockingChannel, function: Function
) -> None:
    async with polling(broker.url, function, batch_size=2, window_seconds=3600):
        channel.basic_publish("", QUEUE, b"1")
        await until(lambda: channel.queue_declare(QUEUE, passive=True).method.message_count == 0)
        assert function.payloads == []
        channel.basic_publish("", QUEUE, b"2")
        await until(lambda: function.payloads)
    assert [len(batch) for batch in function.batches()] == [2]


@pytest.mark.asyncio
async def test_a_batch_stays_below_six_megabytes(
    broker: RabbitMQService, channel: BlockingChannel, function: Function
) -> None:
    # The third large one ends the first batch; with two small ones it makes the second one full.
    for length in (2_000_000, 2_000_000, 2_000_000, 1, 1):
        channel.basic_publish("", QUEUE, bytes(length))
    async with polling(broker.url, function, batch_size=3, window_seconds=3600):
        await until(lambda: len(function.payloads) == 2)
    assert [len(batch) for batch in function.batches()] == [2, 3]
    assert all(len(payload) <= 6 * 1024 * 1024 for payload in function.payloads)


@pytest.mark.asyncio
async def test_one_batch_is_processed_at_a_time(
    broker: RabbitMQService, channel: BlockingChannel, function: Function
) -> None:
    function.go_on.clear()
    for number in range(4):
        channel.basic_publish("", QUEUE, str(number).encode())
    async with polling(broker.url, function, batch_size=1):
        await until(lambda: function.running == 1)
        # The other three wait in the broker, where they are safe.
        assert channel.queue_declare(QUEUE, passive=True).method.message_count == 3
        function.go_on.set()
        await until(lambda: len(function.payloads) == 4)
    assert function.most_running == 1
