"""The event source mapping against the sample event and the limits in AWS's Lambda guide.

https://docs.aws.amazon.com/lambda/latest/dg/with-mq.html
https://docs.aws.amazon.com/lambda/latest/dg/services-mq-params.html
"""

import asyncio
import base64
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pika
import pytest

from infra.local.template.reader import read_template
from infra.services.rabbitmq import RabbitMQService
from infra.services.records import write_record
from tests.local_cloud.triggers.polled_queue import PolledQueue, bodies_of, queue_at
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


@pytest.fixture
def queue(broker: RabbitMQService) -> Iterator[PolledQueue]:
    with queue_at(broker.url, QUEUE) as queue:
        queue.arn = ARN
        queue.declare("classic")
        yield queue


async def test_the_event_is_awss_sample_byte_for_byte(queue: PolledQueue) -> None:
    expected = json.loads(json.dumps(SAMPLE))
    (message,) = expected["rmqMessagesByQueue"][f"{QUEUE}::/"]
    # The sample says 80, of a body that it then replaced by a shorter one.
    message["basicProperties"]["bodySize"] = len(BODY)
    queue.channel.basic_publish("", QUEUE, BODY, PROPERTIES)
    async with queue.polling():
        await until(lambda: queue.function.payloads)
    assert queue.function.payloads == [json.dumps(expected).encode()]


async def test_what_a_message_does_not_have_is_null_headers_too(queue: PolledQueue) -> None:
    queue.publish("")
    async with queue.polling():
        await until(lambda: queue.function.payloads)
    ((message,),) = queue.function.batches
    nothing = dict.fromkeys(MESSAGE["basicProperties"])
    assert message == {
        "basicProperties": {**nothing, "bodySize": 0},
        "redelivered": False,
        "data": "",
    }
    assert message.keys() == MESSAGE.keys()


async def test_after_an_error_the_whole_batch_comes_again_marked_as_redelivered(
    queue: PolledQueue,
) -> None:
    queue.function.failures_left = 2
    for body in (b"1", b"2", b"3"):
        queue.channel.basic_publish("", QUEUE, body, PROPERTIES)
    # The window stays open until all three are together.
    async with queue.polling(batch_size=3, window_seconds=3600):
        await until(lambda: len(queue.function.payloads) == 3)
    first, *again = queue.function.batches
    assert bodies_of(first) == ["1", "2", "3"]
    assert not any(message["redelivered"] for message in first)
    assert again == [[{**message, "redelivered": True} for message in first]] * 2
    assert "Boom: no" in queue.log.getvalue()
    await until(lambda: queue.depth() == 0)


@pytest.mark.parametrize("virtual_host", VIRTUAL_HOSTS[1:])
async def test_a_queue_of_another_virtual_host_is_named_with_it(
    broker: RabbitMQService, virtual_host: str
) -> None:
    url = broker.url.removesuffix("%2F") + quote(virtual_host, safe="")
    with queue_at(url, QUEUE) as queue:
        queue.declare()
        queue.publish("one")
        async with queue.polling():
            await until(lambda: queue.function.payloads)
    assert list(json.loads(queue.function.payloads[0])["rmqMessagesByQueue"]) == [
        f"{QUEUE}::{virtual_host}"
    ]


def test_a_template_that_says_nothing_has_awss_defaults(tmp_path: Path) -> None:
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    (mapping,) = read_template(tmp_path / "template.yaml", {}, "us-east-1").queue_mappings
    assert (mapping.batch_size, mapping.window_seconds, mapping.enabled) == (100, 0.5, True)
    assert mapping.broker_arn == "arn:aws:mq:us-east-1:012345678912:broker:pizzaBroker:b-1"


async def test_a_batch_has_at_most_the_batch_size(queue: PolledQueue) -> None:
    numbers = [str(number) for number in range(200)]
    queue.publish(*numbers)
    # A window that outlasts the test: only being full ends a batch.
    async with queue.polling(batch_size=100, window_seconds=3600):
        await until(lambda: len(queue.function.payloads) == 2)
    assert [len(batch) for batch in queue.function.batches] == [100, 100]
    assert queue.function.received == numbers


async def test_the_window_opens_with_the_first_message_and_a_full_batch_closes_it(
    queue: PolledQueue,
) -> None:
    async with queue.polling(batch_size=2, window_seconds=3600):
        queue.publish("1")
        await until(lambda: queue.depth() == 0)
        assert queue.function.payloads == []
        queue.publish("2")
        await until(lambda: queue.function.payloads)
    assert [len(batch) for batch in queue.function.batches] == [2]


async def test_a_batch_stays_below_six_megabytes(queue: PolledQueue) -> None:
    # The third large one ends the first batch; with two small ones it makes the second one full.
    queue.publish(*("x" * length for length in (2_000_000, 2_000_000, 2_000_000, 1, 1)))
    async with queue.polling(batch_size=3, window_seconds=3600):
        await until(lambda: len(queue.function.payloads) == 2)
    assert [len(batch) for batch in queue.function.batches] == [2, 3]
    assert all(len(payload) <= 6 * 1024 * 1024 for payload in queue.function.payloads)


async def test_one_batch_is_processed_at_a_time_and_later_messages_form_the_next(
    queue: PolledQueue,
) -> None:
    queue.function.go_on.clear()
    async with queue.polling(batch_size=3):
        queue.publish("1")
        await until(lambda: queue.function.running == 1)
        queue.publish("2", "3", "4", "5")
        # Beyond a batch's worth they wait in the broker, where they are safe.
        await until(lambda: queue.depth() == 2)
        queue.function.go_on.set()
        await until(lambda: len(queue.function.received) == 5)
    assert queue.function.received == ["1", "2", "3", "4", "5"]
    assert queue.function.most_running == 1
    assert max(map(len, queue.function.batches)) <= 3
