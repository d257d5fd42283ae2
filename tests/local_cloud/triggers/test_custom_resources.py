"""Custom resources, whose functions report to the Invoke API's address."""

import json
from pathlib import Path

import pytest

from infra.local.template.model import CustomResource, Template
from infra.local.template.reader import read_template
from infra.local.triggers.custom_resources import CustomResourceFailed
from tests.local_cloud.conftest import ServeLambda

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
    serve_lambda: ServeLambda, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = reporting(project, "{'Status': 'SUCCESS', 'Reason': json.dumps(event)}")
    async with serve_lambda(template) as (_, custom_resources):
        received: list[bytes] = []
        receive_report = custom_resources.receive_report

        def record(path: str, body: bytes) -> bool:
            received.append(body)
            return receive_report(path, body)

        monkeypatch.setattr(custom_resources, "receive_report", record)
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
        ("'text'", "", "not a JSON object"),
        ("None", "raise ValueError('it broke')", "ValueError: it broke"),
    ],
)
async def test_a_custom_resource_that_fails_says_why(
    serve_lambda: ServeLambda, project: Path, report: str, then: str, words: str
) -> None:
    async with serve_lambda(reporting(project, report, then)) as (_, custom_resources):
        with pytest.raises(CustomResourceFailed, match=f"Schema: .*{words}"):
            await custom_resources.create(RESOURCE)


async def test_a_custom_resource_whose_function_reports_nothing_is_not_waited_for(
    serve_lambda: ServeLambda, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.local.triggers.custom_resources._ANSWER_TIMEOUT_SECONDS", 0.05)
    async with serve_lambda(reporting(project, "None")) as (_, custom_resources):
        with pytest.raises(CustomResourceFailed, match="without reporting"):
            await custom_resources.create(RESOURCE)
