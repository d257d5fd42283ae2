"""A SAM template as a deployment has it: Globals merged, conditions decided, references named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from infra.local.template.intrinsics import Resolver

ROOT = Path(__file__).parents[2]


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms as the long ones."""


def _long_form(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = str(value).split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _long_form)


def read(path: Path) -> dict[str, Any]:
    """The template's text, its intrinsic functions in their long form."""
    document: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    return document


class Names(dict[tuple[str, str], Any]):
    """What only exists on AWS goes by its name: Bucket.Arn."""

    def __missing__(self, key: tuple[str, str]) -> str:
        logical_id, attribute = key
        return logical_id if attribute == "Ref" else f"{logical_id}.{attribute}"


@dataclass(frozen=True)
class Function:
    logical_id: str
    properties: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.properties["CodeUri"]).rpartition("/")[2]

    @property
    def code_folder(self) -> Path:
        return ROOT / str(self.properties["CodeUri"])

    def events(self, kind: str) -> Iterator[Mapping[str, Any]]:
        for event in self.properties.get("Events", {}).values():
            if event["Type"] == kind:
                yield event["Properties"]

    @property
    def routes(self) -> set[tuple[str, str]]:
        """(METHOD, path)"""
        return {(event["Method"].upper(), event["Path"]) for event in self.events("Api")}


class Deployment:
    """A template with the values of its parameters."""

    def __init__(self, document: Mapping[str, Any], parameters: Mapping[str, str]) -> None:
        self.document = document
        names = Names()
        for name, parameter in document.get("Parameters", {}).items():
            default = str(parameter.get("Default", ""))
            names[name, "Ref"] = parameters.get(name, default)
        self._resolver = Resolver(document, names)

    @cached_property
    def functions(self) -> list[Function]:
        common = self.document.get("Globals", {}).get("Function", {})
        return [
            Function(logical_id, self._resolver.resolve(_merged(common, resource["Properties"])))
            for logical_id, resource in self.document["Resources"].items()
            if resource["Type"] == "AWS::Serverless::Function" and self._is_made(resource)
        ]

    def properties(self, logical_id: str) -> Any:
        return self._resolver.resolve(self.document["Resources"][logical_id].get("Properties", {}))

    def _is_made(self, resource: Mapping[str, Any]) -> bool:
        return "Condition" not in resource or self._resolver.condition(resource["Condition"])


def _merged(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """As SAM merges Globals: maps key by key, lists in a row, of all else the function's own."""
    merged = dict(common)
    for key, value in own.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict) and "Fn::If" not in value:
            merged[key] = _merged(merged[key], value)
        elif isinstance(value, list) and isinstance(merged.get(key), list):
            merged[key] = [*merged[key], *value]
        else:
            merged[key] = value
    return merged


def as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def nodes(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value below this one, with the keys that lead to it."""
    yield path, value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from nodes(inner, (*path, str(key)))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from nodes(inner, (*path, str(number)))
