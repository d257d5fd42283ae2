"""All stacks of a deployment together, nested ones too, as CloudFormation has them at the start.

SAM's translator is installed beside the local cloud alone: that environment's Python runs this.
`make expansion` writes parameter_sets.json anew.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from infra.local.template.intrinsics import Resolver
from tests.commands import output_of
from tests.template.document import ROOT, Names, as_list, nodes, read

_LOCAL_PYTHON = ROOT / ".venvs" / "local" / "bin" / "python"
_REFERENCE = re.compile(r"\$\{([A-Za-z0-9]+)[.}]")

# What SAM appends to the name of a resource that it replaces with each change.
HASH = re.compile(r"(?<=Layer|yment)[0-9a-f]{10}$")

# Logical ids from the outermost stack on: ("PlatformStack", "Database").
Path = tuple[str, ...]
Document = dict[str, Any]


@dataclass(frozen=True)
class Stack:
    """One of them; what exists only on AWS goes by its name."""

    document: Document
    resolver: Resolver
    resources: Mapping[str, Document]


class Stacks:
    """`documents`: the outermost template under "", each nested one under its TemplateURL."""

    def __init__(self, documents: Mapping[str, Document], parameters: Mapping[str, str]) -> None:
        self._documents = documents
        self.stacks: dict[Path, Stack] = {}
        self._add((), documents[""], parameters)

    @cached_property
    def _needs(self) -> dict[Path, set[Path]]:
        return {path: set(self._direct_needs(path)) for path in self.paths()}

    def paths(self) -> Iterator[Path]:
        for stack_path, stack in self.stacks.items():
            yield from ((*stack_path, name) for name in stack.resources)

    def resource(self, path: Path) -> Document:
        return self.stacks[path[:-1]].resources[path[-1]]

    def properties(self, path: Path) -> Any:
        stack = self.stacks[path[:-1]]
        return stack.resolver.resolve(stack.resources[path[-1]].get("Properties", {}))

    def of_type(self, kind: str) -> Iterator[Path]:
        yield from (path for path in self.paths() if self.resource(path)["Type"] == kind)

    def made_before(self, path: Path) -> set[Path]:
        """Whatever CloudFormation completes before it begins this."""
        found: set[Path] = set()
        waiting = [path]
        while waiting:
            for needed in self._needs[waiting.pop()] - found:
                found.add(needed)
                waiting.append(needed)
        return found

    def named_by(self, path: Path, value: Any) -> Path | None:
        """The resource that a value in a resource's properties is of, across stacks."""
        stack = self.stacks[path[:-1]]
        for name, attribute in _references(value):
            if name in stack.resources:
                if not attribute.startswith("Outputs."):
                    return (*path[:-1], name)
                nested = (*path[:-1], name)
                output = self.stacks[nested].document["Outputs"][attribute.split(".")[1]]["Value"]
                return self.named_by((*nested, ""), self._chosen(nested, output))
            if path[:-1] and name in stack.document.get("Parameters", {}):
                outer = path[:-1]
                given = self.resource(outer)["Properties"]["Parameters"][name]
                return self.named_by(outer, given)
        return None

    def _chosen(self, stack_path: Path, value: Any) -> Any:
        """The branch of an `Fn::If` that holds."""
        while isinstance(value, dict) and "Fn::If" in value:
            condition, if_true, if_false = value["Fn::If"]
            holds = self.stacks[stack_path].resolver.condition(condition)
            value = if_true if holds else if_false
        return value

    def _add(self, path: Path, document: Document, parameters: Mapping[str, Any]) -> None:
        document = _readable(document)
        names = Names()
        # The last part of its last word is what names are made from.
        names["AWS::StackId", "Ref"] = f"stack/{'/'.join(path) or 'outermost'}/0-0-0-0-id"
        for name, parameter in document.get("Parameters", {}).items():
            value = parameters.get(name, parameter.get("Default", ""))
            is_list = parameter["Type"] == "CommaDelimitedList"
            names[name, "Ref"] = value.split(",") if is_list else value
        resolver = Resolver(document, names)
        resources = {
            HASH.sub("", name): resource
            for name, resource in document["Resources"].items()
            if "Condition" not in resource or resolver.condition(resource["Condition"])
        }
        self.stacks[path] = Stack(document, resolver, resources)
        for name, resource in resources.items():
            if resource["Type"] == "AWS::CloudFormation::Stack":
                properties = resource["Properties"]
                nested = self._documents[properties["TemplateURL"]]
                self._add((*path, name), nested, resolver.resolve(properties["Parameters"]))

    def _direct_needs(self, path: Path) -> Iterator[Path]:
        stack_path, name = path[:-1], path[-1]
        stack = self.stacks[stack_path]
        resource = stack.resources[name]
        wanted = {HASH.sub("", found) for found in as_list(resource.get("DependsOn"))}
        wanted |= set(self._used(stack_path, resource.get("Properties", {})))
        for other in wanted & stack.resources.keys():
            yield from self._whole((*stack_path, other))
        if stack_path:
            # A nested stack begins when what its own resource waits for is there.
            yield from self._direct_needs(stack_path)

    def _used(self, stack_path: Path, value: Any) -> Iterator[str]:
        """Without the branches that are not taken."""
        value = self._chosen(stack_path, value)
        if isinstance(value, dict):
            yield from (HASH.sub("", name) for name, _ in _references(value, deep=False))
            for inner in value.values():
                yield from self._used(stack_path, inner)
        elif isinstance(value, list):
            for inner in value:
                yield from self._used(stack_path, inner)

    def _whole(self, path: Path) -> Iterator[Path]:
        yield path
        if path in self.stacks:
            for name in self.stacks[path].resources:
                yield from self._whole((*path, name))


def _readable(value: Any) -> Any:
    """In the place of what has no counterpart here, something that shows what it was."""
    if isinstance(value, dict):
        if "Fn::Cidr" in value:
            return [f"part {number} of {value['Fn::Cidr'][0]['Ref']}" for number in range(8)]
        return {key: _readable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_readable(inner) for inner in value]
    return value.replace("{{resolve:", "{{") if isinstance(value, str) else value


def _references(value: Any, *, deep: bool = True) -> Iterator[tuple[str, str]]:
    """(logical id, attribute) of each reference."""
    found = nodes(value) if deep else [((), value)]
    for _, node in found:
        if not isinstance(node, dict):
            continue
        if "Ref" in node:
            yield str(node["Ref"]), ""
        elif "Fn::GetAtt" in node:
            target = node["Fn::GetAtt"]
            name, attribute = target.split(".", 1) if isinstance(target, str) else target
            yield str(name), str(attribute)
        elif "Fn::Sub" in node:
            text = node["Fn::Sub"] if isinstance(node["Fn::Sub"], str) else node["Fn::Sub"][0]
            yield from ((name, "") for name in _REFERENCE.findall(text))


# --- parameter sets -----------------------------------------------------------------------------


def deploy_settings(environment: str) -> dict[str, Any]:
    """What samconfig.toml tells `sam deploy`."""
    configuration = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
    return dict(configuration[environment]["deploy"]["parameters"])


def parameters_of(environment: str) -> dict[str, str]:
    words = str(deploy_settings(environment)["parameter_overrides"]).split()
    return dict(word.split("=", 1) for word in words)


@cache
def parameter_sets() -> dict[str, dict[str, str]]:
    given = {
        name: f"given-{name}"
        for name, parameter in read(ROOT / "template.yaml")["Parameters"].items()
        if "Existing" in str(parameter["Description"])
    }
    return {
        **{name: parameters_of(name) for name in ("default", "dev", "prod")},
        "large": {**parameters_of("prod"), "PlatformSize": "large"},
        "existing": {**given, "Platform": "existing"},
        # What is there only by a parameter of its own.
        "chosen": {
            **parameters_of("prod"),
            "Architecture": "arm64",
            "PublishersAtOnce": "20",
            "AlarmEmail": "operators@example.com",
            "MonthlyBudget": "500",
            "DomainName": "images.example.com",
            "CertificateArn": "given-certificate",
            "HostedZoneId": "given-zone",
            "WebAcl": "create",
            "ImagesCdnSecretArn": "given-cdn-secret",
            "ImagesCdnPublicKey": "MIIBIjANBgkq,hkiG9w0BAQEF,AAOCAQ8AMIIB",
        },
    }


@cache
def documents() -> dict[str, Document]:
    """The outermost template translated, and the nested ones."""
    translated = json.loads(output_of(_LOCAL_PYTHON, "-m", "tests.template.stacks", "--print"))
    nested = {f"infra/{path.name}": read(path) for path in sorted((ROOT / "infra").glob("*.yaml"))}
    return {"": translated, **nested}


# --- the golden file ----------------------------------------------------------------------------

GOLDEN = ROOT / "tests" / "template" / "parameter_sets.json"


def facts() -> dict[str, list[str]]:
    """Each property of each resource, with the parameter sets that it is in; [] for all."""
    sets = {name: Stacks(documents(), values) for name, values in parameter_sets().items()}
    found: dict[str, list[str]] = {}
    for name, stacks in sets.items():
        for fact in _facts_of(stacks):
            found.setdefault(fact, []).append(name)
    return {fact: [] if len(of) == len(sets) else of for fact, of in sorted(found.items())}


def _facts_of(stacks: Stacks) -> Iterator[str]:
    for path in stacks.paths():
        where, kind = "/".join(path), stacks.resource(path)["Type"]
        yield f"{where} is {kind}"
        if kind in _TOLD_ELSEWHERE:
            continue
        for key in ("DeletionPolicy", "UpdateReplacePolicy"):
            if key in stacks.resource(path):
                yield f"{where} {key}={stacks.resource(path)[key]}"
        for keys, value in nodes(stacks.properties(path)):
            if not isinstance(value, dict | list) and not _is_left_out(keys):
                yield f"{where} {'.'.join(keys)}={HASH.sub('', str(value))}"


# Of roles and variables expansion.json has more, and texts are for people.
_TOLD_ELSEWHERE = {"AWS::IAM::Role", "AWS::Lambda::Permission", "AWS::CloudWatch::Dashboard"}
_LEFT_OUT = {
    *("Tags", "Environment", "Parameters", "Layers", "Code", "Content"),
    *("Description", "AlarmDescription", "GroupDescription"),
}


def _is_left_out(keys: Path) -> bool:
    if _LEFT_OUT & set(keys):
        return True
    # Of the API's document, which function serves a path and what the gateway itself answers.
    return keys[0] == "Body" and keys[-1] not in ("uri", "statusCode")


def golden() -> dict[str, list[str]]:
    return dict(json.loads(GOLDEN.read_bytes()))


def write_golden() -> None:
    lines = [f"  {json.dumps(fact)}: {json.dumps(of)}" for fact, of in facts().items()]
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    from infra.local.template.translation import translate

    if "--print" in sys.argv:
        json.dump(translate(ROOT / "template.yaml", {}, "us-east-1").document, sys.stdout)
    else:
        write_golden()
