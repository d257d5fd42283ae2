"""The Lambda API's Invoke through an AWS SDK, and custom resources."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from aiohttp import web
from botocore.exceptions import ClientError

from infra.local.lambda_.functions import FunctionService
from infra.local.lambda_.invoke_api import InvokeApi
from infra.local.template.reader import CustomResource, Template, read_template
from infra.local.triggers.custom_resources import CustomResourceFailed, CustomResources
from infra.services.ports import hold_free_port, port_of
from tests.local_cloud.conftest import StartFunctions

pytestmark = pytest.mark.asyncio

Serve = Callable[[Template], Any]


@pytest.fixture
def serve(start_functions: StartFunctions) -> Serve:
    """Functions, their Invoke API, and the custom resources behind it."""

    @asynccontextmanager
    async def start(template: Template) -> AsyncIterator[tuple[str, CustomResources]]:
        async with start_functions(template) as functions:
            assert isinstance(functions, FunctionService)
            held = hold_free_port()
            url = f"http://127.0.0.1:{port_of(held)}"
            custom_resources = CustomResources(functions, "us-east-1", url)
            runner = web.ServerRunner(InvokeApi(functions, custom_resources).server())
            await runner.setup()
            await web.SockSite(runner, held).start()
            try:
                yield url, custom_resources
            finally:
                await runner.cleanup()

    return start


async def invoke(url: str, function: str, **arguments: Any) -> dict[str, Any]:
    client: Any = boto3.client(
        "lambda",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    try:
        answer: dict[str, Any] = await asyncio.to_thread(
            client.invoke, FunctionName=function, **arguments
        )
        answer["Payload"] = answer["Payload"].read()
    finally:
        client.close()
    return answer


@pytest.mark.parametrize(
    "name",
    [
        "ProbeFunction",
        "probe",
        "arn:aws:lambda:us-east-1:012345678912:function:ProbeFunction",
        "ProbeFunction:$LATEST",
    ],
)
async def test_an_sdk_invokes_a_function_by_every_name(
    serve: Serve, template: Template, name: str
) -> None:
    async with serve(template) as (url, _):
        answer = await invoke(url, name, Payload=b'{"do": "show"}')
    assert answer["StatusCode"] == 200
    assert answer["ExecutedVersion"] == "$LATEST"
    assert "FunctionError" not in answer
    assert json.loads(answer["Payload"])["event"] == {"do": "show"}


async def test_a_functions_error_is_flagged(serve: Serve, template: Template) -> None:
    async with serve(template) as (url, _):
        answer = await invoke(url, "probe", Payload=b'{"do": "raise"}')
    assert answer["StatusCode"] == 200
    assert answer["FunctionError"] == "Unhandled"
    assert json.loads(answer["Payload"])["errorType"] == "ValueError"


async def test_the_log_is_returned_when_asked_for(serve: Serve, template: Template) -> None:
    async with serve(template) as (url, _):
        answer = await invoke(url, "probe", Payload=b'{"do": "log"}', LogType="Tail")
    log = base64.b64decode(answer["LogResult"]).decode()
    assert log.startswith("START RequestId: ")
    assert "first line\nsecond line\n" in log
    assert "REPORT RequestId: " in log


async def test_an_asynchronous_invocation_is_accepted_at_once(
    serve: Serve, template: Template
) -> None:
    async with serve(template) as (url, _):
        answer = await invoke(
            url, "probe", Payload=b'{"do": "sleep", "seconds": 1.5}', InvocationType="Event"
        )
        dry = await invoke(url, "probe", InvocationType="DryRun")
    assert (answer["StatusCode"], answer["Payload"]) == (202, b"")
    assert dry["StatusCode"] == 204


@pytest.mark.parametrize(
    ("name", "payload", "code"),
    [
        ("nothing", b"{}", "ResourceNotFoundException"),
        ("probe", b"not json", "InvalidRequestContentException"),
        ("probe", b'"' + b"x" * 6_300_000 + b'"', "RequestTooLargeException"),
    ],
)
async def test_a_request_that_lambda_would_refuse_is_refused(
    serve: Serve, template: Template, name: str, payload: bytes, code: str
) -> None:
    async with serve(template) as (url, _):
        with pytest.raises(ClientError) as raised:
            await invoke(url, name, Payload=payload)
    assert raised.value.response["Error"]["Code"] == code


REPORTING = """
import json, urllib.request

def lambda_handler(event, context):
    report = {report}
    if report is not None:
        request = urllib.request.Request(
            event["ResponseURL"], data=json.dumps(report).encode(), method="PUT"
        )
        urllib.request.urlopen(request).close()
    {then}
"""

RESOURCE = CustomResource(
    "Schema", "Custom::Schema", "ProbeFunction", {"ServiceToken": "arn", "Count": 4, "On": True}
)


def reporting(project: Path, report: str, then: str = "") -> Template:
    source = project / "functions/probe/app.py"
    source.write_text(REPORTING.format(report=report, then=then))
    return read_template(project / "template.yaml", {}, "us-east-1")


async def test_a_custom_resource_is_created_as_cloudformation_does(
    serve: Serve, project: Path
) -> None:
    template = reporting(project, "{'Status': 'SUCCESS', 'Reason': json.dumps(event)}")
    async with serve(template) as (_, custom_resources):
        received: list[bytes] = []
        answer = custom_resources.answer

        def record(path: str, body: bytes) -> None:
            received.append(body)
            answer(path, body)

        custom_resources.answer = record
        await custom_resources.create(RESOURCE)
    event = json.loads(json.loads(received[0])["Reason"])
    assert event["RequestType"] == "Create"
    assert event["LogicalResourceId"] == "Schema"
    assert event["ResourceType"] == "Custom::Schema"
    assert event["ResourceProperties"] == {"ServiceToken": "arn", "Count": "4", "On": "true"}
    assert event.keys() >= {"ResponseURL", "StackId", "RequestId", "ServiceToken"}


@pytest.mark.parametrize(
    ("report", "then", "words"),
    [
        ("{'Status': 'FAILED', 'Reason': 'no such table'}", "", "no such table"),
        ("{'Status': 'FAILED'}", "", "failed without a reason"),
        ("'text'", "", "no JSON object"),
        ("None", "raise ValueError('it broke')", "ValueError: it broke"),
    ],
)
async def test_a_custom_resource_that_fails_says_why(
    serve: Serve, project: Path, report: str, then: str, words: str
) -> None:
    async with serve(reporting(project, report, then)) as (_, custom_resources):
        with pytest.raises(CustomResourceFailed, match=f"Schema: .*{words}"):
            await custom_resources.create(RESOURCE)


async def test_a_custom_resource_whose_function_reports_nothing_is_not_waited_for(
    serve: Serve, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.local.triggers.custom_resources._ANSWER_TIMEOUT_SECONDS", 0.05)
    async with serve(reporting(project, "None")) as (_, custom_resources):
        with pytest.raises(CustomResourceFailed, match="without reporting"):
            await custom_resources.create(RESOURCE)
