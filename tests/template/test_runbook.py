"""What docs/aws.md tells operators to type is there: commands, options, parameters, targets."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.session
import jmespath  # type: ignore[import-untyped]
import pytest
from botocore import xform_name

from infra.tools import gradual
from tests.commands import output_of
from tests.template.document import ROOT, read

_LOCAL_PYTHON = ROOT / ".venvs" / "local" / "bin" / "python"
DOCUMENT = (ROOT / "docs" / "aws.md").read_text(encoding="utf-8")
# Of every command of the AWS CLI.
_GLOBAL = {"--query", "--output", "--region", "--profile"}
# How the AWS CLI calls two services.
_SERVICES = {"s3api": "s3", "deploy": "codedeploy"}
_COMMAND = re.compile(r"\b(aws|sam) (?=[a-z])")
_OPTION = re.compile(r"(?<!\S)(--[a-z][a-z0-9-]*)")
_SAM_OPTIONS = """
import importlib, json, sys
found = {}
for name in json.loads(sys.argv[1]):
    where = "remote.invoke.cli" if name == "remote invoke" else name.replace(" ", ".") + ".command"
    command = importlib.import_module("samcli.commands." + where).cli
    found[name] = [word for each in command.params for word in (*each.opts, *each.secondary_opts)]
print(json.dumps(found))
"""


def commands(tool: str) -> list[list[str]]:
    """The words of each, without what is quoted and what follows it in a pipe or a list."""
    text = DOCUMENT.replace("\\\n", " ")
    # In a table a backtick ends a command, and the end of its line everywhere.
    text = re.sub(r"'[^'\n]*'", "'quoted'", text)
    found = []
    for match in _COMMAND.finditer(text):
        if match[1] == tool:
            rest = re.split(r"[`\n|;#]|&&", text[match.end() :])[0]
            found.append(rest.split())
    return found


@cache
def service(name: str) -> Any:
    return botocore.session.get_session().get_service_model(_SERVICES.get(name, name))


def options_of(name: str, operation: str) -> set[str]:
    model = service(name)
    (found,) = [
        each for each in model.operation_names if xform_name(each, "-") == operation
    ] or pytest.fail(f"aws {name} {operation}: there is no such command")
    shape = model.operation_model(found).input_shape
    members = shape.members if shape else {}
    options = {f"--{xform_name(member, '-')}" for member in members}
    return options | {f"--no-{option[2:]}" for option in options}


def awss_faults(words: list[str]) -> Iterator[str]:
    name, operation, *rest = words
    if operation == "wait":
        waiter, rest = rest[0], rest[1:]
        model = botocore.session.get_session().get_waiter_model(_SERVICES.get(name, name))
        names = {xform_name(each, "-"): each for each in model.waiter_names}
        if waiter not in names:
            yield f"aws {name} wait {waiter}: there is none"
            return
        operation = xform_name(model.get_waiter(names[waiter]).operation, "-")
    given = set(_OPTION.findall(" ".join(rest)))
    for option in sorted(given - options_of(name, operation) - _GLOBAL):
        yield f"aws {name} {operation} has no {option}"


def test_the_aws_cli_has_every_command_and_option() -> None:
    # Words between two commands, such as "the AWS CLI", are in capitals.
    found = [words for words in commands("aws") if len(words) > 1]
    assert len(found) > 20
    assert [fault for words in found for fault in awss_faults(words)] == []


def test_every_query_is_one() -> None:
    """A literal that is no JSON is taken by some versions of the AWS CLI, with a warning."""
    queries = re.findall(r"--query\s+('[^']*'|\"[^\"]*\"|[\w.\[\]]+)", DOCUMENT)
    assert len(queries) > 8
    for query in queries:
        jmespath.compile(query.strip("'\"").replace("$2", "name"))


def test_sam_has_every_command_and_option() -> None:
    used: dict[str, set[str]] = {}
    for words in commands("sam"):
        name = " ".join(words[:2]) if words[0] in ("remote", "list", "local") else words[0]
        used.setdefault(name, set()).update(_OPTION.findall(" ".join(words)))
    assert {"build", "deploy", "delete", "remote invoke"} <= used.keys()
    said = output_of(_LOCAL_PYTHON, "-c", _SAM_OPTIONS, json.dumps(sorted(used)))
    known = json.loads(said)
    unknown = {name: given - set(known[name]) for name, given in used.items()}
    assert {name: options for name, options in unknown.items() if options} == {}


_GIVEN = re.compile(r"(?<![\w.-])([A-Z][a-z]+(?:[A-Z0-9][A-Za-z0-9]*)*)=(?!=)(\"\"|[\w.-]*)")


def test_the_template_has_every_parameter_and_value() -> None:
    gradual.PATH.write_text(gradual.gradual((ROOT / "template.yaml").read_text(encoding="utf-8")))
    parameters = read(ROOT / "template.yaml")["Parameters"] | read(gradual.PATH)["Parameters"]
    given = _GIVEN.findall(DOCUMENT)
    assert len({name for name, _ in given}) > 20
    for name, value in given:
        assert name in parameters, name
        allowed = parameters[name].get("AllowedValues")
        if allowed is not None and value.strip("."):
            assert value in [str(each) for each in allowed], f"{name}={value}"


def test_make_has_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))
    code = " ".join(re.findall(r"```sh\n.*?```|`[^`\n]*`", DOCUMENT, re.DOTALL))
    named = set(re.findall(r"\bmake ([a-z][a-z0-9-]+)\b", code))
    assert {"aws-preflight", "admin", "gradual"} <= named
    assert named <= targets


def test_every_resource_that_an_operator_names_is_there() -> None:
    """In commands that ask CloudFormation or SAM for one by its logical id."""
    resources = set(read(ROOT / "template.yaml")["Resources"])
    named = {
        *re.findall(r"sam remote invoke (\w+)", DOCUMENT),
        *re.findall(r"LogicalResourceId=='(\w+)'", DOCUMENT),
        *re.findall(r"--logical-resource-id (\w+)", DOCUMENT),
        *re.findall(r"--resources-to-skip (\w+)", DOCUMENT),
    }
    assert len(named) >= 4
    assert named <= resources


def test_what_reads_a_pipe_says_so_to_macos_too() -> None:
    """Its paste reads no pipe unasked."""
    found = re.findall(r"\bpaste\b[^|)\n]*", DOCUMENT)
    assert found
    assert [command for command in found if not command.endswith(" -")] == []


# RDS as the commands of a restore use it: names go from one database to another, and are checked.
_RDS = r"""
output() { [ "$2" = ProxyName ] && echo proxy || echo "$DATABASE"; }
aws() {
    before=
    for word in "$@"; do
        case $before in
            --*db-instance-identifier*) echo "$2 $before $word" ;;
        esac
        before=$word
    done
}
"""


@pytest.mark.parametrize("stack", ["image-api", "image-api-dev", "image-api-prod"])
def test_a_restored_database_takes_the_name_of_the_one_before_it(stack: str) -> None:
    """Under names that RDS takes, whatever CloudFormation, which fills 63 characters, made."""
    (block,) = (
        each
        for each in re.findall(r"^ +```sh\n(.*?)^ +```", DOCUMENT, re.DOTALL | re.MULTILINE)
        if "restore-db-instance-to-point-in-time" in each
    )
    name = f"{stack}-platformstack-1a2b3c4d5e6f-database-a1b2c3d4e5f6"
    said = output_of("sh", "-euc", _RDS + block, env=os.environ | {"DATABASE": name})
    done = [line.split() for line in said.splitlines() if not line.startswith("wait ")]
    for _, _, named in done:
        assert re.fullmatch(r"(?=.{1,63}$)[a-z](-?[a-z0-9])*", named), named
    databases = {name: "old"}
    for index, (operation, option, named) in enumerate(done):
        if option == "--target-db-instance-identifier":
            databases[named] = "restored"
        elif option == "--new-db-instance-identifier":
            assert named not in databases
            databases[named] = databases.pop(done[index - 1][2])
        else:
            assert named in databases, (operation, option)
    assert databases.pop(name) == "restored"
    assert list(databases.values()) == ["old"]
