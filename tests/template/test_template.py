"""The templates against the code they deploy; and each check against a template that is wrong."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from image_api.core.change_log.changes import LEASE_SECONDS
from image_api.core.renditions.render_requests import RENDERER_TIMEOUT_SECONDS
from tests.template import checks, expansion
from tests.template.document import ROOT, Deployment, nodes, read

DOCUMENT = read(ROOT / "template.yaml")
NESTED = {f"infra/{path.name}": read(path) for path in sorted((ROOT / "infra").glob("*.yaml"))}
TEMPLATES = {"template.yaml": DOCUMENT, **NESTED}
OPENAPI = json.loads((ROOT / "functions" / "docs" / "openapi.json").read_text(encoding="utf-8"))
LAYER_OF = {"image_api": "CommonLayer", "image_migrations": "MigrationsLayer"}
# Lambda sets the region and what signs; a developer's own Postgres is where there is no template.
NOT_OF_THE_TEMPLATE = re.compile(
    "AWS_(REGION|ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|CONTAINER_|LAMBDA_)|POSTGRES_"
)
READ_BY_LIBRARIES = re.compile("POWERTOOLS_")
# Another value starts environments anew.
MEANS_NOTHING = "REVISION"
# Everything of the stack's own, and everything named by a parameter.
PARAMETERS: dict[str, dict[str, str]] = {
    "create": {"Platform": "create"},
    "existing": {
        **{
            name: f"given-{name}"
            for name, parameter in DOCUMENT["Parameters"].items()
            if parameter.get("Default") == ""
        },
        "Platform": "existing",
    },
}

Document = dict[str, Any]
Check = Callable[[Deployment], Iterator[str]]
CHECKS: dict[str, Check] = {
    "handlers": checks.handlers,
    "layers": lambda deployment: checks.layers(deployment, LAYER_OF),
    "routes": lambda deployment: checks.routes(deployment, OPENAPI),
    "limits": checks.limits,
}


@pytest.fixture
def changed() -> Document:
    """A copy of the template, to be spoilt."""
    return copy.deepcopy(DOCUMENT)


def faults(check: str, document: Mapping[str, Any]) -> set[str]:
    return {
        fault
        for parameters in PARAMETERS.values()
        for fault in CHECKS[check](Deployment(document, parameters))
    }


def properties(document: Document, logical_id: str) -> Document:
    found: Document = document["Resources"][logical_id]["Properties"]
    return found


# --- the templates as they are ------------------------------------------------------------------


@pytest.mark.parametrize("parameters", PARAMETERS)
@pytest.mark.parametrize("check", CHECKS)
def test_template_and_code_agree(check: str, parameters: str) -> None:
    deployment = Deployment(DOCUMENT, PARAMETERS[parameters])
    assert {function.name for function in deployment.functions} == {
        path.parent.name for path in ROOT.glob("functions/*/app.py")
    }
    assert list(CHECKS[check](deployment)) == []


def test_every_function_has_every_setting_and_migrations_alone_the_schema_owners() -> None:
    source = (ROOT / "layers" / "common" / "image_api" / "settings.py").read_text(encoding="utf-8")
    read = set(re.findall(r'"([A-Z]+(?:_[A-Z]+)+)"', source))
    shared = set(DOCUMENT["Globals"]["Function"]["Environment"]["Variables"]) - {MEANS_NOTHING}
    owners = {
        (logical_id, name)
        for logical_id, resource in DOCUMENT["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
        for name in resource["Properties"].get("Environment", {}).get("Variables", {})
    }
    only_migrations = {
        *("DATABASE_ADMIN_SECRET_ARN", "DATABASE_ADMIN_URL"),
        *("RABBITMQ_ADMIN_SECRET_ARN", "RABBITMQ_MANAGEMENT_URL"),
    }
    # Which go to the database itself: the proxy waits for them.
    owners -= {(name, "DATABASE_HOST") for name in ("MigrateFunction", "InterfacesFunction")}
    # As the renderer waits for migrations.
    owners -= {("MigrateFunction", "RENDERER_FUNCTION")}
    owners = {
        (function, name)
        for function, name in owners
        if name not in ("DATABASE_PURPOSE", "RABBITMQ_PURPOSE") or function == "RendererFunction"
    }
    # The renderer says of each that it does without.
    assert owners == {("MigrateFunction", name) for name in only_migrations} | {
        ("RendererFunction", name) for name in shared if not READ_BY_LIBRARIES.match(name)
    }
    assert {name for name in read if not NOT_OF_THE_TEMPLATE.match(name)} == {
        name for name in shared | only_migrations if not READ_BY_LIBRARIES.match(name)
    }


def test_a_new_revision_starts_every_function_anew() -> None:
    """A secret that was changed is read then; a deployment without a change changes nothing."""
    for function in Deployment(DOCUMENT, {"SchemaRevision": "second"}).functions:
        assert function.properties["Environment"]["Variables"][MEANS_NOTHING] == "second"


def test_nothing_is_missing_and_no_role_may_do_more_than_was_agreed() -> None:
    found = list(expansion.faults(expansion.golden(), expansion.present()))
    assert found == [], "if that is meant, take it: make expansion"


def test_a_right_is_one_action_in_one_place() -> None:
    for right in expansion.present()["rights"]:
        if right.startswith("Deny "):
            continue
        action, _, resource = right.removeprefix("Allow ").partition(" on ")
        assert not set("*?") & set(action), right
        # These take no other resource.
        assert "*" not in resource.removesuffix("/*") or action.startswith("ec2:Describe"), right


def test_the_renderer_is_told_nothing_and_may_nothing() -> None:
    present = expansion.present()
    told = {fact for fact, whose in present["variables"].items() if "RendererFunction" in whose}
    told -= {f"{MEANS_NOTHING}=initial"}
    assert all(READ_BY_LIBRARIES.match(fact) for fact in told)
    assert expansion.rights(present, "RendererFunction") == set()
    # What is left of the rights with which Lambda makes its interface and writes its log.
    roles = {right for right, whose in present["rights"].items() if "RendererFunctionRole" in whose}
    managed = "Managed arn:aws:iam::aws:policy/service-role/AWSLambda"
    code = json.dumps({"ArnEquals": {"lambda:SourceFunctionArn": "RendererFunction.Arn"}})
    assert roles == {
        "Allow sts:AssumeRole by lambda.amazonaws.com",
        f"{managed}BasicExecutionRole",
        f"{managed}VPCAccessExecutionRole",
        f"Deny all but logs:CreateLogStream, logs:PutLogEvents on * if {code}",
        "Deny logs:* on all but ApplicationLogs.Arn",
    }


def test_the_renderers_network_has_one_bucket_and_one_name() -> None:
    platform = Deployment(
        NESTED["infra/platform.yaml"], {"Platform": "create", "ImagesBucket": "images"}
    )
    (statement,) = platform.properties("RendererS3Endpoint")["PolicyDocument"]["Statement"]
    assert statement["Action"] == ["s3:GetObject", "s3:PutObject"]
    assert statement["Resource"] == "arn:AWS::Partition:s3:::images/storage/*"
    assert platform.properties("RendererNames")["Domains"] == [
        "images.s3.AWS::Region.AWS::URLSuffix"
    ]
    rules = platform.properties("RendererNameRules")["FirewallRules"]
    assert [rule["Action"] for rule in rules] == ["ALLOW", "BLOCK"]
    network = {
        name
        for name, resource in NESTED["infra/platform.yaml"]["Resources"].items()
        for path, value in nodes(resource)
        if value == {"Ref": "RendererNetwork"}
    }
    # No gateway, no peering, no endpoint but the one.
    assert network == {
        *("RendererSubnetA", "RendererSubnetB", "RendererRoutes", "RendererSecurityGroup"),
        *("RendererS3Endpoint", "RendererNameRulesOfNetwork"),
    }


def test_code_and_template_agree_how_long_things_take() -> None:
    functions = {function.name: function for function in Deployment(DOCUMENT, {}).functions}
    assert functions["renderer"].properties["Timeout"] == RENDERER_TIMEOUT_SECONDS
    # Nobody else begins what a consumer or a renderer may still be at.
    assert functions["consumer"].properties["Timeout"] < LEASE_SECONDS
    assert RENDERER_TIMEOUT_SECONDS < LEASE_SECONDS


def test_only_migrations_may_read_the_schema_owners_secret() -> None:
    assert [
        roles
        for right, roles in expansion.present()["rights"].items()
        if "DatabaseAdminSecret" in right
    ] == [["MigrateFunctionRole"]]


def test_what_is_no_function_only_denies() -> None:
    for name, resource in DOCUMENT["Resources"].items():
        if resource["Type"] != "AWS::Serverless::Function":
            for _, value in nodes(resource):
                if isinstance(value, dict) and value.get("Sid") != "CloudFrontReads":
                    assert value.get("Effect", "Deny") == "Deny", name


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_parameter_is_described_and_used(name: str) -> None:
    """What else is declared and not used, or used and not declared, in nested stacks too, cfn-lint
    finds: the parameters of a SAM template escape it."""
    text = (ROOT / name).read_text(encoding="utf-8")
    for parameter, declared in TEMPLATES[name]["Parameters"].items():
        assert str(declared["Description"]).strip(), parameter
        assert re.search(rf"!Ref {parameter}\b|\$\{{{parameter}\}}", text), parameter


def test_every_nested_stack_is_there() -> None:
    nested = {value for path, value in nodes(DOCUMENT) if path[-1:] == ("TemplateURL",)}
    assert nested
    assert nested <= NESTED.keys()


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_template_holds_a_secret(name: str) -> None:
    assert list(checks.secrets_in_template(TEMPLATES[name])) == []


@pytest.mark.parametrize(
    "path",
    [
        *(ROOT / name for name in (*TEMPLATES, "samconfig.toml")),
        *sorted((ROOT / "events").glob("*.json")),
    ],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_no_file_of_a_deployment_holds_a_secret(path: Path) -> None:
    assert list(checks.secrets_in_text(path.read_text(encoding="utf-8"))) == []


# --- the checks find what is wrong --------------------------------------------------------------


def test_a_handler_that_does_not_exist_is_found(changed: Document) -> None:
    properties(changed, "GetFunction")["Handler"] = "app.handler"
    properties(changed, "ListFunction")["Handler"] = "main.lambda_handler"

    assert faults("handlers", changed) == {
        "GetFunction: app.py has no handler",
        "ListFunction: there is no main.py in functions/list",
    }


def test_a_missing_and_a_needless_layer_are_found(changed: Document) -> None:
    del properties(changed, "MigrateFunction")["Layers"]
    properties(changed, "DocsFunction")["Layers"] = [{"Ref": "MigrationsLayer"}]

    assert faults("layers", changed) == {
        "MigrateFunction: its code needs MigrationsLayer",
        "DocsFunction: its code does not need MigrationsLayer",
    }


def test_a_function_without_our_own_layer_is_found(changed: Document) -> None:
    changed["Globals"]["Function"]["Layers"].remove({"Ref": "CommonLayer"})

    assert "LoginFunction: its code needs CommonLayer" in faults("layers", changed)


@pytest.mark.parametrize(
    ("function", "event", "route", "found"),
    [
        (
            "HealthFunction",
            "Http",
            {"Path": "/healthy", "Method": "any"},
            {"/health: no function has this route", "/healthy: not in the OpenAPI document"},
        ),
        (
            "HealthFunction",
            "Http",
            {"Path": "/health", "Method": "get"},
            {"GET /health: other methods do not reach the function"},
        ),
        ("DocsFunction", "AnythingElse", None, {"/{proxy+}: nothing answers 404"}),
        (
            "UpdateFunction",
            "Http",
            {"Path": "/image/{image_id}", "Method": "any"},
            {
                "ANY /image/{image_id}: both GetFunction and UpdateFunction",
                "/image/update/{image_id}: no function has this route",
                "/image/{image_id}: UpdateFunction takes []",
            },
        ),
    ],
)
def test_a_route_that_gateway_and_document_do_not_share_is_found(
    changed: Document, function: str, event: str, route: Document | None, found: set[str]
) -> None:
    events = properties(changed, function)["Events"]
    events.pop(event, None)
    if route is not None:
        events[event] = {"Type": "Api", "Properties": {"RestApiId": {"Ref": "Api"}, **route}}

    assert faults("routes", changed) == found


AGREED: expansion.Expansion = {
    "resources": {"AWS::IAM::Role": ["GetFunctionRole"], "AWS::S3::Bucket": ["ImagesBucket"]},
    "rights": {
        "Allow s3:GetObject on b/*": ["GetFunctionRole"],
        "Deny s3:* on b": ["GetFunctionRole"],
    },
    "variables": {"A=1": ["GetFunction"]},
}


@pytest.mark.parametrize(
    ("section", "facts", "found"),
    [
        (
            "resources",
            {"AWS::S3::Bucket": ["ImagesBucket"]},
            ["GetFunctionRole: no longer has AWS::IAM::Role"],
        ),
        ("variables", {"A=2": ["GetFunction"]}, ["GetFunction: no longer has A=1"]),
        ("variables", {"A=1": ["GetFunction", "ListFunction"]}, []),
        ("rights", {"Deny s3:* on b": ["GetFunctionRole"]}, []),
        ("rights", {}, ["GetFunctionRole: no longer has Deny s3:* on b"]),
        *(
            (
                "rights",
                {"Deny s3:* on b": ["GetFunctionRole"], right: [role]},
                [f"{role}: now has {right}"],
            )
            for right, role in (
                ("Allow s3:GetObject on *", "GetFunctionRole"),
                ("Allow s3:GetObject on b/*", "ListFunctionRole"),
                ("Managed arn:aws:iam::aws:policy/AmazonS3FullAccess", "GetFunctionRole"),
            )
        ),
    ],
)
def test_what_is_missing_and_a_right_too_many_are_found(
    section: str, facts: dict[str, list[str]], found: list[str]
) -> None:
    assert list(expansion.faults(AGREED, {**AGREED, section: facts})) == found


@pytest.mark.parametrize(
    ("function", "name", "value", "found"),
    [
        ("GetFunction", "Timeout", 29, "GetFunction: 29 s, and the gateway waits less"),
        ("ConsumerFunction", "Timeout", 901, "ConsumerFunction: Lambda knows no time-out of 901 s"),
        ("RelayFunction", "Timeout", 61, "RelayFunction: runs for 61 s, every 60 s"),
        ("DocsFunction", "MemorySize", 64, "DocsFunction: Lambda knows no memory of 64 MB"),
    ],
)
def test_a_limit_that_cannot_be_is_found(
    changed: Document, function: str, name: str, value: int, found: str
) -> None:
    properties(changed, function)[name] = value

    assert faults("limits", changed) == {found}


def test_a_secret_in_a_template_is_found(changed: Document) -> None:
    changed["Parameters"]["BrokerPassword"] = {"Type": "String", "Default": "guest"}
    variables = changed["Globals"]["Function"]["Environment"]["Variables"]
    variables["JWT_SECRET"] = "correct horse battery staple"
    variables["DATABASE_URL"] = "{{resolve:secretsmanager:images:SecretString:url}}"
    changed["Resources"]["Secret"] = {
        "Type": "AWS::SecretsManager::Secret",
        "Properties": {
            "GenerateSecretString": {"SecretStringTemplate": '{"username": "a", "password": "b"}'}
        },
    }

    in_environment = "Globals.Function.Environment.Variables"
    assert set(checks.secrets_in_template(changed)) == {
        "Parameters.BrokerPassword: a secret, and everybody sees it",
        "Parameters.BrokerPassword: a secret in plain text",
        f"{in_environment}.JWT_SECRET: a secret in plain text",
        f"{in_environment}.DATABASE_URL: Lambda's console would show it",
        "Resources.Secret.Properties.GenerateSecretString.SecretStringTemplate: "
        "password in plain text",
    }


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("url: postgresql://images:secret@db:5432/images", "a URL with a password"),
        ('"AKIAIOSFODNN7EXAMPLE"', "a key or a token"),
        ("-----BEGIN RSA PRIVATE KEY-----", "a key or a token"),
        ("Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "a key or a token"),
    ],
)
def test_a_secret_in_a_text_is_found(line: str, found: str) -> None:
    assert list(checks.secrets_in_text(f"first\n{line}\n")) == [f"line 2: {found}"]
