"""Each function may do what it does, and no more: read from the template, tried on the database."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from pg8000.exceptions import DatabaseError
from pg8000.native import Connection

from tests.e2e.running_cloud import ROOT, RunningCloud


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's own tags as plain values."""


def _plain(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return f"{suffix} {node.value}"
    if isinstance(node, yaml.SequenceNode):
        return {suffix: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {suffix: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _plain)
TEMPLATE = yaml.load((ROOT / "template.yaml").read_text(encoding="utf-8"), _Loader)
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]
FUNCTIONS: dict[str, Any] = {
    resource["Properties"]["CodeUri"].removeprefix("functions/"): resource["Properties"]
    for resource in RESOURCES.values()
    if resource["Type"] == "AWS::Serverless::Function"
}
LAYER = ROOT / "layers" / "common" / "image_api"

# The calls that each function makes of S3, and where.
S3_RIGHTS = {
    "register": set(),
    "login": set(),
    "update": set(),
    "delete": set(),
    "relay": set(),
    "docs": set(),
    "migrate": set(),
    "health": {("s3:ListBucket", "")},
    "list": {("s3:GetObject", "storage")},
    "get": {("s3:GetObject", "storage")},
    "upload": {("s3:PutObject", "storage"), ("s3:DeleteObject", "storage")},
    "direct_upload": {
        *((f"s3:{call}Object", "incoming") for call in ("Get", "Put", "Delete")),
        ("s3:PutObject", "storage"),
        ("s3:ListBucket", ""),
    },
    "consumer": {
        *((f"s3:{call}Object", "storage") for call in ("Get", "Put", "Delete")),
        ("s3:ListBucket", ""),
    },
    "janitor": {("s3:DeleteObject", "storage"), ("s3:ListBucket", "")},
}

# Lambda's poller sees with them where the broker is. IAM knows no narrower resource for them.
POLLER_RIGHTS = {"ec2:DescribeSecurityGroups", "ec2:DescribeVpcs"}

# Read where there is no template: docker-compose and a developer's own Postgres.
ONLY_WITHOUT_A_TEMPLATE = {
    *("POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_HOST", "POSTGRES_PORT", "POSTGRES_DB"),
    # Lambda sets the region; the emulator's address is the local cloud's to add.
    *("AWS_REGION", "AWS_ENDPOINT_URL"),
}


def statements(value: Any) -> Iterator[dict[str, Any]]:
    """Every statement of a policy, below conditions too."""
    if isinstance(value, dict):
        if "Effect" in value:
            yield value
        else:
            for inner in value.values():
                yield from statements(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from statements(inner)


def as_list(value: Any) -> list[str]:
    return [str(one) for one in (value if isinstance(value, list) else [value])]


def rights(function: str) -> set[tuple[str, str]]:
    """(action, resource) of all that a function may do."""
    return {
        (action, resource)
        for statement in statements(FUNCTIONS[function].get("Policies", []))
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }


def test_the_template_has_a_policy_check_for_each_function() -> None:
    assert FUNCTIONS.keys() == S3_RIGHTS.keys()


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
def test_no_function_has_a_wildcard_or_a_managed_policy(function: str) -> None:
    for policy in FUNCTIONS[function].get("Policies", []):
        assert isinstance(policy, dict) and "Statement" in policy, policy
    for action, resource in rights(function):
        assert "*" not in action and "?" not in action, action
        if action in POLLER_RIGHTS:
            continue
        assert resource not in ("*", "arn:*")
        # Objects below one folder of the one bucket cannot be named one by one.
        assert resource.removesuffix("/storage/*").removesuffix("/incoming/*").count("*") == 0


def test_the_only_other_policy_denies() -> None:
    for name, resource in RESOURCES.items():
        if resource["Type"] != "AWS::Serverless::Function":
            for statement in statements(resource.get("Properties", {})):
                assert statement["Effect"] == "Deny", name


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
def test_a_function_has_just_the_rights_in_the_storage_that_it_uses(function: str) -> None:
    def folder(resource: str) -> str:
        return resource.split("/")[-2] if resource.endswith("/*") else ""

    found = {
        (action, folder(resource))
        for action, resource in rights(function)
        if action.startswith("s3:")
    }
    assert found == S3_RIGHTS[function]
    others = {action for action, _ in rights(function) if not action.startswith("s3:")}
    poller_rights = POLLER_RIGHTS if function == "consumer" else set()
    assert others - {"secretsmanager:GetSecretValue"} == poller_rights


def test_only_migrations_may_read_the_schema_owners_secret() -> None:
    may = [name for name in FUNCTIONS if any("DatabaseAdmin" in where for _, where in rights(name))]
    assert may == ["migrate"]


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
def test_a_function_reads_only_secrets_that_its_variables_name(function: str) -> None:
    variables = FUNCTIONS[function]["Environment"]["Variables"]
    for action, resource in rights(function):
        if action == "secretsmanager:GetSecretValue":
            assert resource in variables.values(), resource


def _variables_read_by(tree: ast.AST) -> set[str]:
    """What is handed to _optional, _required, _number and _secret."""
    return {
        str(call.args[0].value)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id in ("_optional", "_required", "_number", "_secret")
        and isinstance(call.args[0], ast.Constant)
    }


SETTINGS = {
    node.name: _variables_read_by(node)
    for node in ast.parse((LAYER / "settings.py").read_text(encoding="utf-8")).body
    if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
}
# It calls all others, so that a deployment fails instead of a request.
SETTINGS["check"] = set().union(*SETTINGS.values()) - {"CORS_ALLOWED_ORIGIN"}
# What is read deeper in the layer than at the making of an adapter.
READ_WITHIN = {
    "login": {"throttle"},
    "register": {"registration_throttle"},
}


def _settings_used_by(function: str) -> set[str]:
    """The functions of `settings` that it reaches, by itself or through `wiring`."""
    used: set[str] = set()
    seen: set[str] = set()
    wiring = ast.parse((LAYER / "wiring.py").read_text(encoding="utf-8"))
    makers = {node.name: node for node in wiring.body if isinstance(node, ast.FunctionDef)}
    app = (ROOT / "functions" / function / "app.py").read_text(encoding="utf-8")
    if "http.resolver(" in app:
        used.add("allowed_origin")
    if "authenticated=True" in app:
        used.add("tokens")
    trees: list[ast.AST] = [ast.parse(app)]
    while trees:
        tree = trees.pop()
        for node in ast.walk(tree):
            match node:
                case ast.Attribute(value=ast.Name(id="settings"), attr=name):
                    used.add(name)
                case (
                    ast.Attribute(value=ast.Name(id="wiring"), attr=name)
                    | ast.Call(func=ast.Name(id=name))
                ) if name in makers.keys() - seen:
                    seen.add(name)
                    trees.append(makers[name])
    return used | READ_WITHIN.get(function, set())


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
def test_every_setting_that_a_function_needs_is_declared(function: str) -> None:
    declared = {
        *FUNCTIONS[function]["Environment"]["Variables"],
        *TEMPLATE["Globals"]["Function"]["Environment"]["Variables"],
    }
    needed = {
        variable
        for setting in _settings_used_by(function)
        for variable in SETTINGS.get(setting, set())
    }
    assert needed - ONLY_WITHOUT_A_TEMPLATE <= declared


def test_every_setting_is_declared_somewhere_and_every_declared_one_is_read() -> None:
    read = set().union(*SETTINGS.values())
    declared = {
        variable for each in FUNCTIONS.values() for variable in each["Environment"]["Variables"]
    }
    assert declared == read - ONLY_WITHOUT_A_TEMPLATE


@pytest.fixture
def api_role(cloud: RunningCloud) -> Iterator[Connection]:
    """What somebody has who took over a function."""
    url = urlsplit(cloud.environment["DATABASE_URL"])
    connection = Connection(
        unquote(url.username or ""),
        host=url.hostname,
        port=url.port or 5432,
        password=unquote(url.password or ""),
        database=url.path.removeprefix("/"),
        ssl_context=False,
    )
    with closing(connection):
        yield connection


def test_the_api_and_the_migrations_have_roles_of_their_own(cloud: RunningCloud) -> None:
    role = urlsplit(cloud.environment["DATABASE_URL"]).username
    owner = urlsplit(cloud.environment["DATABASE_ADMIN_URL"]).username
    assert role and owner and role != owner


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (id integer)",
        "CREATE SCHEMA mine",
        "CREATE FUNCTION mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE ROLE mine",
        "CREATE DATABASE mine",
        "ALTER TABLE users ADD COLUMN mine text",
        "ALTER TABLE images DISABLE TRIGGER ALL",
        "ALTER TABLE users OWNER TO CURRENT_USER",
        "ALTER ROLE CURRENT_USER SUPERUSER",
        "CREATE INDEX mine ON images (title)",
        "DROP TABLE images",
        "DROP INDEX IF EXISTS users_pkey",
        "TRUNCATE users CASCADE",
        "COPY users TO '/tmp/users'",
        "COPY users FROM PROGRAM 'id'",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT * FROM pg_authid",
        "UPDATE alembic_version SET version_num = 'mine'",
    ],
)
def test_the_apis_role_cannot_change_the_schema(api_role: Connection, statement: str) -> None:
    with pytest.raises(DatabaseError) as refused:
        api_role.run(statement)

    # insufficient_privilege: not that the statement was wrong.
    assert refused.value.args[0]["C"] == "42501", refused.value


def test_the_apis_role_cannot_hand_its_rights_on(api_role: Connection) -> None:
    api_role.run("GRANT ALL ON users TO PUBLIC")

    # Postgres only warns; nobody has got anything.
    assert api_role.run(
        "SELECT count(*) FROM pg_class, aclexplode(relacl) AS granted "
        "WHERE relnamespace = 'public'::regnamespace AND (granted.grantee = 0 "
        "OR granted.is_grantable AND granted.grantee = current_user::regrole)"
    ) == [[0]]


def test_the_apis_role_is_no_superuser_and_in_no_other(api_role: Connection) -> None:
    ((superuser, creates_roles, creates_databases, bypasses),) = api_role.run(
        "SELECT rolsuper, rolcreaterole, rolcreatedb, rolbypassrls FROM pg_roles "
        "WHERE rolname = current_user"
    )
    assert not (superuser or creates_roles or creates_databases or bypasses)
    assert api_role.run(
        "SELECT count(*) FROM pg_auth_members WHERE member = current_user::regrole"
    ) == [[0]]
