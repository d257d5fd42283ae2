"""The Lambda API's Invoke through an AWS SDK."""

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import boto3
import pytest
import pytest_asyncio
from botocore.exceptions import ClientError

from infra.local.template.model import Template
from infra.local.template.reader import read_template
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
        "012345678912:function:ProbeFunction",
        "function:ProbeFunction",
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


@pytest.mark.parametrize("path", ["/2015-03-31/functions/probe/invocations", "/unknown"])
async def test_no_answer_names_a_server(url: str, path: str) -> None:
    async with aiohttp.ClientSession() as session, session.post(url + path, data=b"{}") as answer:
        assert "Server" not in answer.headers


ARN = "arn:aws:lambda:us-east-1:012345678912:function:ProbeFunction"


@pytest_asyncio.fixture
async def published(serve_lambda: ServeLambda, project: Path) -> AsyncIterator[str]:
    """Of the project whose probe is published under the alias `live`."""
    path = project / "template.yaml"
    probe = "      CodeUri: functions/probe\n"
    path.write_text(path.read_text().replace(probe, f"{probe}      AutoPublishAlias: live\n"))
    async with serve_lambda(read_template(path, {}, "us-east-1")) as (url, _):
        yield url


async def test_an_alias_and_the_version_it_stands_for_are_invoked(published: str) -> None:
    for name, qualifier, version in (
        ("ProbeFunction", "live", "1"),
        ("ProbeFunction", "1", "1"),
        (f"{ARN}:live", None, "1"),
        ("ProbeFunction:live", "live", "1"),
        ("ProbeFunction", "$LATEST", "$LATEST"),
        ("ProbeFunction", None, "$LATEST"),
    ):
        more = {"Qualifier": qualifier} if qualifier else {}
        answer = await invoke(published, name, Payload=b'{"do": "show"}', **more)
        shown = json.loads(answer["Payload"])
        asked = qualifier or name.removeprefix(ARN).rpartition(":")[2]
        assert answer["ExecutedVersion"] == version
        assert shown["environment"]["AWS_LAMBDA_FUNCTION_VERSION"] == version
        assert shown["arn"] == (f"{ARN}:{asked}" if asked != "ProbeFunction" else ARN)


@pytest.mark.parametrize(
    ("name", "qualifier", "code", "words"),
    [
        ("ProbeFunction", "nope", "ResourceNotFoundException", f"Function not found: {ARN}:nope"),
        ("ProbeFunction", "99", "ResourceNotFoundException", f"Function not found: {ARN}:99"),
        ("ProbeFunction:nope", None, "ResourceNotFoundException", f"{ARN}:nope"),
        ("ProbeFunction", "invalid!", "ValidationException", "at 'qualifier' failed"),
        ("ProbeFunction", "x" * 129, "ValidationException", "length less than or equal to 128"),
        ("ProbeFunction:$latest", None, "ValidationException", "at 'functionName' failed"),
        ("ProbeFunction:1:2", None, "ValidationException", "at 'functionName' failed"),
        ("ProbeFunction:$LATEST", "1", "InvalidParameterValueException", "does not match"),
        (
            ARN.replace("us-east-1", "eu-west-1"),
            None,
            "ResourceNotFoundException",
            "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')",
        ),
        (ARN.replace("012345678912", "999999999999"), None, "AccessDeniedException", "account"),
        ("another", None, "ResourceNotFoundException", "there are: hello, probe"),
    ],
)
async def test_a_name_or_a_qualifier_that_lambda_would_refuse_is_refused(
    url: str, name: str, qualifier: str | None, code: str, words: str
) -> None:
    query = f"?Qualifier={quote(qualifier)}" if qualifier else ""
    path = f"/2015-03-31/functions/{quote(name)}/invocations{query}"
    # Not by an SDK, which refuses some of these itself.
    async with aiohttp.ClientSession() as session, session.post(url + path, data=b"{}") as answer:
        body = await answer.json()
    assert answer.headers["X-Amzn-ErrorType"] == code
    assert words in body["Message"]


@pytest.mark.parametrize(
    ("headers", "payload", "status", "code"),
    [
        (
            {"X-Amz-Invocation-Type": "Event"},
            b'"' + b"x" * (1024 * 1024) + b'"',
            413,
            "RequestTooLargeException",
        ),
        ({"X-Amz-Client-Context": "!"}, b"{}", 400, "InvalidRequestContentException"),
        ({"X-Amz-Client-Context": "W10="}, b"{}", 400, "InvalidRequestContentException"),
    ],
)
async def test_what_is_asked_for_wrongly_is_refused(
    url: str, headers: dict[str, str], payload: bytes, status: int, code: str
) -> None:
    path = "/2015-03-31/functions/ProbeFunction/invocations"
    async with (
        aiohttp.ClientSession() as session,
        session.post(url + path, data=io.BytesIO(payload), headers=headers) as answer,
    ):
        assert (answer.status, answer.headers["X-Amzn-ErrorType"]) == (status, code)
