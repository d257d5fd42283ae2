"""template.gradual.yaml: new code gets requests little by little, and the old one stays near."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.tools import gradual
from tests.commands import output_of
from tests.template.document import ROOT, Deployment, nodes, read
from tests.template.stacks import Stacks, documents, parameters_of

_LOCAL_PYTHON = ROOT / ".venvs" / "local" / "bin" / "python"
_TRANSLATE = """
import json, sys
from pathlib import Path
from infra.local.template.translation import translate
given = dict(zip(("SchemaRevision", "Traffic"), sys.argv[2:]))
json.dump(translate(Path(sys.argv[1]), {}, "us-east-1", given).document, sys.stdout)
"""
FIRST, SECOND = "0123456789abcdef", "fedcba9876543210"


def translated(*given: str) -> dict[str, Any]:
    """With a revision, and another way for the traffic."""
    gradual.PATH.write_text(gradual.gradual((ROOT / "template.yaml").read_text(encoding="utf-8")))
    said = output_of(_LOCAL_PYTHON, "-c", _TRANSLATE, gradual.PATH, *given, cwd=ROOT)
    found: dict[str, Any] = json.loads(said)
    return found


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return translated(FIRST)


def of_type(document: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    return {
        name: resource
        for name, resource in document["Resources"].items()
        if resource["Type"] == kind
    }


def behind_the_gateway() -> set[str]:
    return {
        function.logical_id
        for function in Deployment(read(ROOT / "template.yaml"), {}).functions
        if function.routes
    }


def test_every_function_behind_the_gateway_is_shifted_and_taken_back_by_an_alarm(
    document: dict[str, Any],
) -> None:
    aliases = of_type(document, "AWS::Lambda::Alias")
    assert set(aliases) == {f"{name}Aliaslive" for name in behind_the_gateway()}
    groups = of_type(document, "AWS::CodeDeploy::DeploymentGroup")
    for alias in aliases.values():
        group = alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]["DeploymentGroupName"]["Ref"]
        properties = groups[group]["Properties"]
        assert properties["AlarmConfiguration"] == {
            "Enabled": True,
            "Alarms": [{"Name": {"Ref": "NewCodeFails"}}],
        }
        assert "DEPLOYMENT_STOP_ON_ALARM" in properties["AutoRollbackConfiguration"]["Events"]


def test_a_tenth_of_the_requests_come_first_unless_somebody_chooses_otherwise(
    document: dict[str, Any],
) -> None:
    chosen = translated(FIRST, "Linear10PercentEvery1Minute")
    for made, way in (
        (document, "Canary10Percent10Minutes"),
        (chosen, "Linear10PercentEvery1Minute"),
    ):
        for group in of_type(made, "AWS::CodeDeploy::DeploymentGroup").values():
            name, values = group["Properties"]["DeploymentConfigName"]["Fn::Sub"]
            assert (name, values) == ("CodeDeployDefault.Lambda${ConfigName}", {"ConfigName": way})


@pytest.mark.parametrize(
    ("errors", "requests", "rings"),
    [(0, 1000, False), (4, 40, False), (5, 40, True), (5, 10_000, False), (30, 10_000, True)],
)
def test_new_code_is_taken_back_for_what_a_tenth_of_the_requests_meets(
    document: dict[str, Any], errors: int, requests: int, rings: bool
) -> None:
    alarm = document["Resources"]["NewCodeFails"]["Properties"]
    share, *measured = alarm["Metrics"]
    counted = {"errors": errors, "requests": requests}

    value = eval(share["Expression"], {"IF": lambda holds, yes, no: yes if holds else no}, counted)
    assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
    assert (value > alarm["Threshold"]) == rings
    assert alarm["EvaluationPeriods"] == 1
    assert alarm["TreatMissingData"] == "notBreaching"
    assert {each["Id"] for each in measured} == counted.keys()


def test_the_alarm_counts_the_requests_of_this_api(document: dict[str, Any]) -> None:
    resources = document["Resources"]
    api = {"ApiName": resources["Api"]["Properties"]["Name"]}
    (stage,) = of_type(document, "AWS::ApiGateway::Stage").values()
    api["Stage"] = stage["Properties"]["StageName"]
    found = {}
    for each in resources["NewCodeFails"]["Properties"]["Metrics"][1:]:
        metric = each["MetricStat"]["Metric"]
        found[each["Id"]] = metric["MetricName"]
        assert metric["Namespace"] == "AWS/ApiGateway"
        assert {each["Name"]: each["Value"] for each in metric["Dimensions"]} == api
        assert each["MetricStat"]["Stat"] == "Sum"
    assert found == {"errors": "5XXError", "requests": "Count"}


def test_a_parameter_says_whether_versions_begin_as_copies_of_a_snapshot(
    document: dict[str, Any],
) -> None:
    assert document["Parameters"]["SnapStart"]["Default"] == "None"
    assert {
        name
        for name, function in of_type(document, "AWS::Lambda::Function").items()
        if function["Properties"].get("SnapStart") == {"ApplyOn": {"Ref": "SnapStart"}}
    } == behind_the_gateway()


def test_the_gateway_reaches_aliases_alone(document: dict[str, Any]) -> None:
    (api,) = of_type(document, "AWS::ApiGateway::RestApi").values()
    uris = [value["Fn::Sub"] for path, value in nodes(api) if path[-1:] == ("uri",)]
    assert uris
    assert all("Aliaslive}" in uri for uri in uris)


def test_each_revision_publishes_every_version_anew_and_deletes_the_old(
    document: dict[str, Any],
) -> None:
    """Also where only a layer or a parameter has changed, of which SAM would not know."""
    first = of_type(document, "AWS::Lambda::Version")
    second = of_type(translated(SECOND), "AWS::Lambda::Version")
    assert len(first) == len(second) == len(behind_the_gateway())
    assert not set(first) & set(second)
    # What stays of a version costs, and nobody reaches it.
    assert {version["DeletionPolicy"] for version in first.values()} == {"Delete"}


def test_all_else_is_as_in_the_plain_template(document: dict[str, Any]) -> None:
    added = {"Alias", "Version", "DeploymentGroup"}
    plain = set(documents()[""]["Resources"])
    for name in set(document["Resources"]) - plain:
        kind = document["Resources"][name]["Type"]
        assert (
            kind.rpartition("::")[2] in added
            or name in ("NewCodeFails", "ServerlessDeploymentApplication", "CodeDeployServiceRole")
            or kind == "AWS::ApiGateway::Deployment"
        ), name


def test_nothing_waits_for_itself(document: dict[str, Any]) -> None:
    stacks = Stacks({**documents(), "": document}, parameters_of("prod"))
    assert not [path for path in stacks.paths() if path in stacks.made_before(path)]
