"""The Lambda API's Invoke through an AWS SDK."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import boto3
import pytest
import pytest_asyncio
from botocore.exceptions import ClientError

from infra.local.template.model import Template
from tests.local_cloud.conftest import ServeLambda


@pytest_asyncio.fixture
async def url(serve_lambda: ServeLambda, template: Template) -> AsyncIterator[str]:
    async with serve_lambda(template) as (url, _):
        yield url


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
async def test_an_sdk_invokes_a_function_by_every_name(url: str, name: str) -> None:
    answer = await invoke(url, name, Payload=b'{"do": "show"}')
    assert answer["StatusCode"] == 200
    assert answer["ExecutedVersion"] == "$LATEST"
    assert "FunctionError" not in answer
    assert json.loads(answer["Payload"])["event"] == {"do": "show"}


async def test_a_functions_error_is_flagged(url: str) -> None:
    answer = await invoke(url, "probe", Payload=b'{"do": "raise"}')
    assert answer["StatusCode"] == 200
    assert answer["FunctionError"] == "Unhandled"
    assert json.loads(answer["Payload"])["errorType"] == "ValueError"


async def test_the_log_is_returned_when_asked_for(url: str) -> None:
    answer = await invoke(url, "probe", Payload=b'{"do": "log"}', LogType="Tail")
    log = base64.b64decode(answer["LogResult"]).decode()
    assert log.startswith("START RequestId: ")
    assert "first line\nsecond line\n" in log
    assert "REPORT RequestId: " in log


async def test_an_asynchronous_invocation_is_accepted_at_once(url: str) -> None:
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
    url: str, name: str, payload: bytes, code: str
) -> None:
    with pytest.raises(ClientError) as raised:
        await invoke(url, name, Payload=payload)
    assert raised.value.response["Error"]["Code"] == code


@pytest.mark.parametrize(
    ("path", "status"),
    [("/2015-03-31/functions/probe/configuration", 404), ("/custom-resources/expired", 200)],
)
async def test_only_reports_of_custom_resources_are_taken_by_put(
    url: str, path: str, status: int
) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.put(url + path, data=b"{}") as answer,
    ):
        assert answer.status == status
