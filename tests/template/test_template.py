"""The templates against the code they deploy; and each check against a template that is wrong."""

from __future__ import annotations

import ast
import copy
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.template import checks, code_paths
from tests.template.document import ROOT, Deployment, read

DOCUMENT = read(ROOT / "template.yaml")
NESTED = {f"infra/{path.name}": read(path) for path in sorted((ROOT / "infra").glob("*.yaml"))}
TEMPLATES = {"template.yaml": DOCUMENT, **NESTED}
OPENAPI = json.loads((ROOT / "functions" / "docs" / "openapi.json").read_text(encoding="utf-8"))
LAYER_OF = {"image_api": "CommonLayer", "image_migrations": "MigrationsLayer"}
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
    "variables": checks.variables,
    "rights": checks.rights,
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


def statements(document: Document, logical_id: str) -> list[Document]:
    found: list[Document] = properties(document, logical_id)["Policies"][0]["Statement"]
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


def test_every_setting_is_one_that_some_function_reads() -> None:
    settings = code_paths.PACKAGES["image_api"] / "settings.py"
    reading = "\n".join(
        f"settings.{node.name}()"
        for node in ast.parse(settings.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    )
    read_anywhere = code_paths.of_source(f"from image_api import settings\n{reading}\n").variables
    read_by_functions = set().union(
        *(code_paths.of_function(app).variables for app in ROOT.glob("functions/*/app.py"))
    )
    assert len(read_anywhere) > 20
    assert read_anywhere <= read_by_functions


@pytest.mark.parametrize("name", TEMPLATES)
def test_everything_declared_is_used_and_described(name: str) -> None:
    assert list(checks.declarations(TEMPLATES[name])) == []


def test_the_nested_stacks_fit() -> None:
    assert list(checks.nested_stacks(DOCUMENT, NESTED)) == []


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
        ("HealthFunction", "Http", None, {"/health: no function has this route"}),
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
        ("DocsFunction", "Root", None, {"/: nothing answers 404"}),
        ("DocsFunction", "AnythingElse", None, {"/{proxy+}: nothing answers 404"}),
        (
            "GetFunction",
            "Http",
            {"Path": "/image/delete/{image_id}", "Method": "any"},
            {
                "ANY /image/delete/{image_id}: both GetFunction and DeleteFunction",
                "/image/{image_id}: no function has this route",
            },
        ),
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


@pytest.mark.parametrize(
    ("function", "variable"),
    [
        # Read while the function is loaded, deep within a request, and by what signs a URL.
        ("UploadFunction", "DEFAULT_VISIBILITY"),
        ("LoginFunction", "LOGIN_FAILURES_PER_NAME"),
        ("RegisterFunction", "REGISTRATIONS_PER_ADDRESS"),
        ("RelayFunction", "RABBITMQ_QUEUE"),
        ("JanitorFunction", "JANITOR_DRY_RUN"),
        ("ListFunction", "STORAGE_PUBLIC_URL"),
        ("DocsFunction", "CORS_ALLOWED_ORIGIN"),
        ("MigrateFunction", "DATABASE_ADMIN_SECRET_ARN"),
    ],
)
def test_a_variable_that_is_read_and_not_set_is_found(
    changed: Document, function: str, variable: str
) -> None:
    del properties(changed, function)["Environment"]["Variables"][variable]

    assert f"{function}: its code reads {variable}, which is not set" in faults(
        "variables", changed
    )


@pytest.mark.parametrize(
    ("function", "variable"),
    [
        ("DocsFunction", "JWT_SECRET_ARN"),
        ("LoginFunction", "REGISTRATIONS_PER_ADDRESS"),
        ("RegisterFunction", "IMAGES_BUCKET"),
        ("ConsumerFunction", "JWT_SECRET"),
        ("GetFunction", "DEFAULT_VISIBILITY"),
    ],
)
def test_a_variable_that_is_set_and_never_read_is_found(
    changed: Document, function: str, variable: str
) -> None:
    properties(changed, function)["Environment"]["Variables"][variable] = ""

    assert faults("variables", changed) == {f"{function}: its code does not read {variable}"}


def test_a_shared_variable_that_nobody_reads_is_found(changed: Document) -> None:
    changed["Globals"]["Function"]["Environment"]["Variables"]["LEGACY"] = "1"

    assert faults("variables", changed) == {"Globals: no code reads LEGACY"}


def test_a_function_that_calls_aws_where_no_emulator_is_told_is_found(changed: Document) -> None:
    del changed["Globals"]["Function"]["Environment"]["Variables"]["AWS_ENDPOINT_URL"]

    found = faults("variables", changed)
    assert "LoginFunction: it calls AWS and has no AWS_ENDPOINT_URL" in found
    assert not [fault for fault in found if fault.startswith("DocsFunction")]


@pytest.mark.parametrize(
    ("function", "action", "found"),
    [
        ("UploadFunction", "s3:PutObject", "may not s3:PutObject, which it does"),
        # Only when the row could not be written.
        ("UploadFunction", "s3:DeleteObject", "may not s3:DeleteObject, which it does"),
        ("GetFunction", "s3:GetObject", "may not s3:GetObject, which it does"),
        ("HealthFunction", "s3:ListBucket", "may not s3:ListBucket, which it does"),
        ("ConsumerFunction", "s3:ListBucket", "may not s3:ListBucket, which it does"),
        ("ConsumerFunction", "ec2:DescribeVpcs", "may not ec2:DescribeVpcs, which it does"),
        (
            "RelayFunction",
            "secretsmanager:GetSecretValue",
            "may not secretsmanager:GetSecretValue, which it does",
        ),
    ],
)
def test_a_missing_right_is_found(
    changed: Document, function: str, action: str, found: str
) -> None:
    for statement in statements(changed, function):
        actions = statement["Action"]
        statement["Action"] = [
            one for one in (actions if isinstance(actions, list) else [actions]) if one != action
        ]

    assert f"{function}: {found}" in faults("rights", changed)


@pytest.mark.parametrize(
    ("function", "action", "resource", "found"),
    [
        ("GetFunction", "s3:PutObject", "bucket/*", "may s3:PutObject, which it never does"),
        ("ListFunction", "s3:ListBucket", "bucket", "may s3:ListBucket, which it never does"),
        ("JanitorFunction", "s3:GetObject", "b/*", "may s3:GetObject, which it never does"),
        ("LoginFunction", "rds-db:connect", "*", "may rds-db:connect, which it never does"),
        ("UploadFunction", "s3:*", "bucket/*", "s3:* is not one action"),
        ("UploadFunction", "s3:PutObject", "*", "s3:PutObject on *"),
        ("HealthFunction", "s3:ListBucket", "arn:aws:s3:::*", "s3:ListBucket on arn:aws:s3:::*"),
        (
            "LoginFunction",
            "secretsmanager:GetSecretValue",
            "BrokerSecret",
            "may read BrokerSecret, which no variable names",
        ),
    ],
)
def test_a_right_too_many_is_found(
    changed: Document, function: str, action: str, resource: str, found: str
) -> None:
    statements(changed, function).append(
        {"Effect": "Allow", "Action": action, "Resource": resource}
    )

    assert f"{function}: {found}" in faults("rights", changed)


def test_a_right_to_another_secret_is_found(changed: Document) -> None:
    variables = properties(changed, "GetFunction")["Environment"]["Variables"]
    variables["JWT_SECRET_ARN"] = "another"

    assert "GetFunction: may not read the secret that JWT_SECRET_ARN names" in faults(
        "rights", changed
    )


def test_a_policy_written_elsewhere_is_found(changed: Document) -> None:
    properties(changed, "DocsFunction")["Policies"] = "AmazonS3FullAccess"

    assert faults("rights", changed) == {
        'DocsFunction: "AmazonS3FullAccess" allows more than this template says'
    }


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


def test_what_is_declared_and_not_used_is_found(changed: Document) -> None:
    changed["Parameters"]["Unused"] = {"Type": "String"}
    changed["Conditions"]["Unused"] = {"Fn::Equals": ["a", "b"]}
    changed.setdefault("Mappings", {})["Unused"] = {"a": {"b": "c"}}

    assert set(checks.declarations(changed)) == {
        "Parameters.Unused: no description",
        "Parameters.Unused: never used",
        "Conditions.Unused: never used",
        "Mappings.Unused: never used",
    }


def test_what_is_used_and_not_declared_is_found(changed: Document) -> None:
    variables = properties(changed, "DocsFunction")["Environment"]["Variables"]
    variables["A"] = {"Ref": "NoParameter"}
    variables["B"] = {"Fn::Sub": "https://${NoResource.Arn}/${AWS::Region}/${!Literal}"}
    variables["C"] = {"Fn::GetAtt": ["NoStack", "Outputs.Name"]}
    variables["D"] = {"Fn::If": ["NoCondition", "a", "b"]}
    changed["Resources"]["DocsFunction"]["DependsOn"] = "NoDependency"

    assert set(checks.declarations(changed)) == {
        "NoParameter: referred to, not declared",
        "NoResource: referred to, not declared",
        "NoStack: referred to, not declared",
        "Conditions.NoCondition: used, not declared",
        "NoDependency: referred to, not declared",
    }


def test_a_nested_stack_that_does_not_fit_is_found() -> None:
    child = {
        "Parameters": {"Needed": {"Type": "String"}, "Free": {"Type": "String", "Default": ""}},
        "Outputs": {"Known": {"Value": "a"}},
    }
    parent = {
        "Resources": {
            "Child": {
                "Type": "AWS::CloudFormation::Stack",
                "Properties": {"TemplateURL": "child.yaml", "Parameters": {"Other": "a"}},
            },
            "Lost": {
                "Type": "AWS::CloudFormation::Stack",
                "Properties": {"TemplateURL": "lost.yaml"},
            },
        },
        "Outputs": {
            "Good": {"Value": {"Fn::GetAtt": ["Child", "Outputs.Known"]}},
            "Bad": {"Value": {"Fn::GetAtt": ["Child", "Outputs.Unknown"]}},
            "Worse": {"Value": {"Fn::Sub": "x${Child.Outputs.Nothing}"}},
        },
    }

    assert set(checks.nested_stacks(parent, {"child.yaml": child})) == {
        "Child: child.yaml has no parameter Other",
        "Child: child.yaml needs the parameter Needed",
        "Child: no output Unknown",
        "Child: no output Nothing",
        "Lost: there is no lost.yaml",
    }


def test_a_secret_in_a_template_is_found(changed: Document) -> None:
    changed["Parameters"]["BrokerPassword"] = {"Type": "String", "Default": "guest"}
    variables = properties(changed, "LoginFunction")["Environment"]["Variables"]
    variables["JWT_SECRET"] = "correct horse battery staple"
    variables["DATABASE_URL"] = "{{resolve:secretsmanager:images:SecretString:url}}"
    changed["Resources"]["Secret"] = {
        "Type": "AWS::SecretsManager::Secret",
        "Properties": {
            "GenerateSecretString": {"SecretStringTemplate": '{"username": "a", "password": "b"}'}
        },
    }

    in_environment = "Resources.LoginFunction.Properties.Environment.Variables"
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


# --- the analysis of the code -------------------------------------------------------------------


def test_code_is_followed_through_functions_methods_and_factories() -> None:
    found = code_paths.of_source(
        "from image_api import wiring\n"
        "records = wiring.user_records()\n"
        "def lambda_handler(event, context):\n"
        "    records.forget_old_failures()\n"
    )
    assert "DATABASE_SECRET_ARN" in found.variables
    assert "LOGIN_FAILURES_PER_NAME" not in found.variables
    assert found.secrets == {"DATABASE_SECRET_ARN"}
    assert found.calls == {"secretsmanager:GetSecretValue"}
    assert found.signed == set()


def test_what_is_only_imported_is_not_reached() -> None:
    found = code_paths.of_source("from image_api import images, storage, wiring\n")

    assert (found.calls, found.variables) == (set(), set())


def test_a_method_of_a_builtins_name_is_told_apart_from_it() -> None:
    source = (
        "from image_api import wiring\n"
        "from image_api.aws.s3 import S3Storage\n"
        "storage = wiring.storage()\n"
        "def lambda_handler(event, context):\n"
        "    {}.get(event)\n"
    )
    assert code_paths.of_source(source).calls == set()
    source += "def fetch(storage: S3Storage):\n    return storage.get('key')\n"
    assert code_paths.of_source(source).calls == {"s3:GetObject"}


@pytest.mark.parametrize(
    "source",
    [
        "import os\ndef f():\n    return [os.environ[n] for n in names()]\n",
        "import os\nvalue = os.environ.get('A' + 'B')\n",
        "import boto3\ndef f(what):\n    boto3.client('s3').get_paginator(what)\n",
    ],
)
def test_code_that_cannot_be_followed_is_refused(source: str) -> None:
    with pytest.raises(code_paths.CannotTell):
        code_paths.of_source(source)
