"""What operators rely on: the gateway's own answers, logs, alarms, what is kept, what it costs."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from image_api.web import http
from tests.template import stacks as all_stacks
from tests.template.document import ROOT, nodes, read
from tests.template.stacks import Stacks, parameter_sets

TEMPLATE = read(ROOT / "template.yaml")


def of(name: str, **parameters: str) -> Stacks:
    return Stacks(all_stacks.documents(), {**parameter_sets()[name], **parameters})


def api() -> Any:
    return TEMPLATE["Resources"]["Api"]["Properties"]


# --- the gateway --------------------------------------------------------------------------------


def test_a_function_that_finds_no_place_is_answered_503_and_may_be_tried_again() -> None:
    """A new account runs ten functions at once; the gateway's own word for that is 500."""
    answer = api()["GatewayResponses"]["INTEGRATION_FAILURE"]
    assert answer["StatusCode"] == "503"
    assert answer["ResponseParameters"]["Headers"]["Retry-After"] == "'1'"


def test_the_gateways_own_answers_have_the_form_of_ours() -> None:
    for name, answer in api()["GatewayResponses"].items():
        (template,) = answer["ResponseTemplates"].values()
        # Which brings quotation marks of its own.
        body = json.loads(template.replace("$context.error.messageString", '"words"'))
        assert body.keys() == {"detail", "code"}, name
        headers = answer["ResponseParameters"]["Headers"]
        assert "Access-Control-Allow-Origin" in headers, name
        # What a page of another origin is told beside the body, it may also read.
        exposed = headers.get("Access-Control-Expose-Headers", "''").strip("'").split(",")
        told = {header for header in headers if header in http.EXPOSED_HEADERS}
        assert set(filter(None, exposed)) == told, name


def test_the_gateways_own_answers_have_codes_that_programs_know() -> None:
    said = {
        name: re.findall(r'"code": "(\w+)"', *answer["ResponseTemplates"].values())
        for name, answer in api()["GatewayResponses"].items()
    }
    assert said == {
        "MISSING_AUTHENTICATION_TOKEN": ["path_not_found"],
        "REQUEST_TOO_LARGE": ["request_too_large"],
        "WAF_FILTERED": ["bad_request"],
        "INTEGRATION_FAILURE": ["service_unavailable"],
        "INTEGRATION_TIMEOUT": ["timeout"],
        "THROTTLED": ["too_many_requests"],
        "DEFAULT_4XX": ["bad_request"],
        "DEFAULT_5XX": ["internal_error"],
    }


def test_no_client_writes_into_the_access_log() -> None:
    """A header with a quotation mark in it would write fields of its own."""
    text = api()["AccessLogSetting"]["Format"]
    line = json.loads(text)
    written = {
        name for value in line.values() for name in re.findall(r"\$context\.([\w.]+)", value)
    }
    assert written == {
        *("requestId", "extendedRequestId", "identity.sourceIp", "requestTime", "httpMethod"),
        *("path", "resourcePath", "status", "error.responseType", "responseLength"),
        *("responseLatency", "integration.latency", "xrayTraceId"),
    }


def test_metrics_of_each_method_which_nobody_reads_are_not_paid_for() -> None:
    assert [setting["MetricsEnabled"] for setting in api()["MethodSettings"]] == [False]


# --- questions ----------------------------------------------------------------------------------


def test_who_has_nothing_yet_is_asked_last_for_what_exists() -> None:
    """`sam deploy --guided` asks in the template's order."""
    described = {
        name: str(parameter["Description"]) for name, parameter in TEMPLATE["Parameters"].items()
    }
    existing = [name for name, text in described.items() if text.startswith("Existing")]
    first = list(described).index(existing[0])
    # A key for tokens may be there, too.
    assert set(list(described)[first:]) == {*existing, "JwtSecretArn"}
    # Nothing is asked that has no answer already.
    assert all("Default" in parameter for parameter in TEMPLATE["Parameters"].values())


# --- what is kept -------------------------------------------------------------------------------


def test_what_operators_delete_by_mistake_is_there_for_a_week() -> None:
    bucket = of("default").properties(("ImagesBucket",))
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    rules = {rule["Id"]: rule for rule in bucket["LifecycleConfiguration"]["Rules"]}
    assert all(rule["Status"] == "Enabled" for rule in rules.values())
    everything = rules["deleted-by-mistake"]
    assert "Prefix" not in everything
    assert everything["NoncurrentVersionExpiration"] == {"NoncurrentDays": 7}
    # Nothing that a user has is ever expired.
    expiring = {name for name, rule in rules.items() if "ExpirationInDays" in rule}
    assert {rules[name]["Prefix"] for name in expiring} == {"incoming/"}


# --- alarms -------------------------------------------------------------------------------------

# Of AWS's own, what tells of a part before its users do.
_WATCHED = {
    ("AWS/Lambda", "Throttles"),
    ("AWS/RDS", "FreeStorageSpace"),
    ("AWS/RDS", "CPUCreditBalance"),
    ("AWS/RDS", "CPUUtilization"),
    ("AWS/RDS", "DatabaseConnectionsBorrowLatency"),
    ("AWS/RDS", "DatabaseConnectionsCurrentlySessionPinned"),
    ("AWS/AmazonMQ", "RabbitMQMemUsed"),
    ("AWS/AmazonMQ", "RabbitMQDiskFree"),
    ("AWS/ApiGateway", "5XXError"),
}


def alarms(name: str) -> dict[str, Any]:
    stacks = of(name)
    return {path[-1]: stacks.properties(path) for path in stacks.of_type("AWS::CloudWatch::Alarm")}


def test_each_part_has_an_alarm_and_somebody_hears_it() -> None:
    watched = {
        (value["Namespace"], value["MetricName"])
        for alarm in alarms("default").values()
        for _, value in nodes(alarm)
        if isinstance(value, dict) and "MetricName" in value
    }
    assert watched >= _WATCHED
    for name, alarm in alarms("default").items():
        assert alarm["AlarmActions"] == ["Alarms"], name


@pytest.mark.parametrize("name", parameter_sets())
def test_no_alarm_rings_before_anything_was_measured(name: str) -> None:
    """A first deployment sent a mail that work was waiting, and one that it was not."""
    missing = {name: alarm["TreatMissingData"] for name, alarm in alarms(name).items()}
    assert set(missing.values()) <= {"missing", "notBreaching", "ignore"}
    # What is no longer measured is an alarm all the same.
    assert alarms(name)["OldWork"]["InsufficientDataActions"] == ["Alarms"]


def test_one_cold_start_at_night_is_no_alarm() -> None:
    """A percentile of three requests is the slowest of them."""
    percentiles = {
        name: alarm
        for name, alarm in alarms("default").items()
        if re.search(r"'(p\d|ExtendedStatistic)", str(alarm))
    }
    assert set(percentiles) == {"SlowRequests"}
    for alarm in percentiles.values():
        assert alarm["EvaluateLowSampleCountPercentile"] == "ignore"


def test_every_alarm_has_a_line_in_the_runbook() -> None:
    text = (ROOT / "docs" / "aws.md").read_text(encoding="utf-8")
    (table,) = re.findall(
        r"^## When an alarm goes off\n(.*?)^An alarm that stays", text, re.M | re.S
    )
    told = set(re.findall(r"`(\w+)`", " ".join(row.split("|")[1] for row in _rows(table))))
    assert told == {*alarms("default"), "NewCodeFails"}


def _rows(table: str) -> list[str]:
    return [row for row in table.splitlines() if row.startswith("| `")]


@pytest.mark.parametrize(
    ("line", "is_shown"),
    [
        ({"level": "WARNING", "message": "attempt ended"}, True),
        ({"level": "ERROR", "message": "the function failed"}, True),
        ({"level": "CRITICAL", "message": "x"}, True),
        ({"level": "INFO", "message": "request answered"}, False),
        # What the runtime says of a function that can say nothing any more.
        ("[ERROR] Runtime.ImportModuleError: Unable to import module 'functions.get.app'", True),
        ("2026-11-26T09:30:00.000Z 6f1c0e9d Task timed out after 30.03 seconds", True),
        ("RequestId: 6f1c0e9d Error: Runtime exited with error: signal: killed", True),
        ("REPORT RequestId: 6f1c0e9d Duration: 30.00 ms Billed Duration: 30 ms", False),
    ],
    ids=str,
)
def test_the_dashboard_shows_what_goes_wrong_whoever_says_so(
    line: dict[str, str] | str, is_shown: bool
) -> None:
    stacks = of("default")
    (dashboard,) = stacks.of_type("AWS::CloudWatch::Dashboard")
    widgets = json.loads(stacks.properties(dashboard)["DashboardBody"])["widgets"]
    (query,) = (
        widget["properties"]["query"]
        for widget in widgets
        if widget["properties"]["title"] == "Warnings and errors"
    )
    condition = re.search(r"\| filter level in \[(.+?)\] or @message like /(.+?)/ \|", query)
    assert condition is not None
    levels = re.findall(r"'(\w+)'", condition[1])
    text = line if isinstance(line, str) else json.dumps(line)
    # Insights finds the fields of lines that are JSON.
    level = None if isinstance(line, str) else line["level"]
    assert (level in levels or re.search(condition[2], text) is not None) == is_shown
