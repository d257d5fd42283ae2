"""template.yaml as CloudFormation gets it: what there is, who may do what, who sees which variable.

SAM's translator says so, which is installed beside the local cloud alone: that environment's Python
runs this module. `make expansion` writes expansion.json anew, which no role may exceed.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from infra.local.template.intrinsics import Resolver
from infra.local.template.translation import translate
from tests.commands import output_of
from tests.template.document import ROOT, Names, as_list

# Section, fact, and whose it is: {"rights": {"Allow s3:GetObject on ...": ["GetFunctionRole"]}}.
Expansion = dict[str, dict[str, list[str]]]

GOLDEN = Path(__file__).with_name("expansion.json")
_LOCAL_PYTHON = ROOT / ".venvs" / "local" / "bin" / "python"
_REGION = "us-east-1"
# What SAM appends to the name of a resource that it replaces with each change.
_HASH = re.compile(r"(?<=Layer|yment)[0-9a-f]{10}$")


@cache
def present() -> Expansion:
    """Of the template as it is now."""
    return dict(json.loads(output_of(_LOCAL_PYTHON, "-m", __name__, "--print")))


def golden() -> Expansion:
    return dict(json.loads(GOLDEN.read_bytes()))


def rights(expansion: Expansion, function: str) -> set[tuple[str, str]]:
    """(action, resource) of all that the role's own policies allow."""
    return {
        (action, resource)
        for right, roles in expansion["rights"].items()
        if f"{function}Role" in roles and right.startswith("Allow ") and " on " in right
        for action, _, resource in [right.removeprefix("Allow ").partition(" on ")]
    }


def all_variables(expansion: Expansion) -> dict[str, str]:
    """Each variable that some function sees, with its value."""
    return dict(fact.split("=", 1) for fact in expansion["variables"])


def variables(expansion: Expansion, function: str) -> dict[str, str]:
    """Those that a function sees, by its logical id."""
    return dict(
        fact.split("=", 1) for fact, whose in expansion["variables"].items() if function in whose
    )


def faults(before: Expansion, after: Expansion) -> Iterator[str]:
    """Where `after` lacks something, or where a role of it may do more."""
    had, has = set(_facts(before)), set(_facts(after))
    for section, fact, whose in sorted(had - has):
        if section != "rights" or fact.startswith("Deny "):
            yield f"{whose}: no longer has {fact}"
    for section, fact, whose in sorted(has - had):
        if section == "rights" and not fact.startswith("Deny "):
            yield f"{whose}: now has {fact}"


def _facts(expansion: Expansion) -> Iterator[tuple[str, str, str]]:
    for section, facts in expansion.items():
        for fact, owners in facts.items():
            yield from ((section, fact, owner) for owner in owners)


# --- in the local cloud's environment -----------------------------------------------------------


def expand(template: Path) -> Expansion:
    document = translate(template, {}, _REGION).document
    names = Names()
    for name, parameter in document.get("Parameters", {}).items():
        names[name, "Ref"] = parameter.get("Default", "")
    resolver = Resolver(document, names)
    found: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for logical_id, resource in sorted(document["Resources"].items()):
        name, kind = _HASH.sub("", logical_id), resource["Type"]
        properties = resolver.resolve(resource.get("Properties", {}))
        found["resources"][kind].append(name)
        if kind == "AWS::IAM::Role":
            for right in sorted(set(_rights(properties))):
                found["rights"][right].append(name)
        elif kind == "AWS::IAM::Policy":
            for statement in properties["PolicyDocument"]["Statement"]:
                found["rights"][_denied(statement)].extend(properties["Roles"])
        elif kind == "AWS::Lambda::Function":
            for variable, value in properties["Environment"]["Variables"].items():
                found["variables"][f"{variable}={value}"].append(name)
    return {section: dict(facts) for section, facts in found.items()}


def _denied(statement: Mapping[str, Any]) -> str:
    """A policy beside a role only takes away, and may do so for all but a few."""
    assert statement["Effect"] == "Deny"
    (actions,) = (
        words + ", ".join(as_list(statement[key]))
        for key, words in (("Action", ""), ("NotAction", "all but "))
        if key in statement
    )
    (resources,) = (
        words + ", ".join(as_list(statement[key]))
        for key, words in (("Resource", ""), ("NotResource", "all but "))
        if key in statement
    )
    condition = statement.get("Condition")
    return f"Deny {actions} on {resources}" + (f" if {json.dumps(condition)}" if condition else "")


def _rights(role: Mapping[str, Any]) -> Iterator[str]:
    for statement in role["AssumeRolePolicyDocument"]["Statement"]:
        for who in as_list(statement["Principal"]["Service"]):
            yield f"{statement['Effect']} {'/'.join(as_list(statement['Action']))} by {who}"
    for policy in role.get("ManagedPolicyArns", []):
        yield f"Managed {policy}"
    for policy in role.get("Policies", []):
        for statement in as_list(policy["PolicyDocument"]["Statement"]):
            condition = statement.get("Condition")
            limit = f" if {json.dumps(condition)}" if condition else ""
            # By name: a statement with NotAction or NotResource is refused instead of overlooked.
            for action in as_list(statement["Action"]):
                for resource in as_list(statement["Resource"]):
                    yield f"{statement['Effect']} {action} on {resource}{limit}"


def _dumped(expansion: Expansion) -> str:
    """JSON with one fact a line."""
    sections = [
        f"{json.dumps(section)}: {{\n"
        + ",\n".join(
            f"  {json.dumps(fact)}: {json.dumps(expansion[section][fact])}"
            for fact in sorted(expansion[section])
        )
        + "\n}"
        for section in sorted(expansion)
    ]
    return "{" + ",\n".join(sections) + "}\n"


if __name__ == "__main__":
    text = _dumped(expand(ROOT / "template.yaml"))
    if "--print" in sys.argv:
        sys.stdout.write(text)
    else:
        GOLDEN.write_text(text, encoding="utf-8")
