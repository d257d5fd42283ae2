"""docs/asyncapi.yaml, which says what is published."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import yaml

from tests.variables import ROOT

DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "asyncapi.yaml").read_bytes())
_COMPONENTS = "#/components/"


def payload_of(routing_key: str) -> dict[str, Any]:
    """The schema of what is published with a routing key."""
    (channel,) = (each for each in DOCUMENT["channels"].values() if each["address"] == routing_key)
    (message,) = channel["messages"].values()
    payload: dict[str, Any] = _resolved(message)["payload"]
    return payload


def faults(routing_key: str, event: dict[str, Any]) -> list[str]:
    """In what an event is not as documented; a field that is not in the document is one as well."""
    schema = payload_of(routing_key)
    whole = {**schema, "components": DOCUMENT["components"]}
    validator = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
    return [
        *(f"{error.instance_path}: {error.message}" for error in validator.iter_errors(event)),
        *(f"{name} is not documented" for name in _undocumented(event, [schema])),
    ]


def _undocumented(value: Any, schemas: list[dict[str, Any]]) -> Iterator[str]:
    parts = [part for schema in schemas for part in _parts(schema)]
    if isinstance(value, list):
        items = [part["items"] for part in parts if "items" in part]
        for item in value:
            yield from _undocumented(item, items)
    known = [part["properties"] for part in parts if "properties" in part]
    if isinstance(value, dict) and known:
        for name, inner in value.items():
            found = [properties[name] for properties in known if name in properties]
            if found:
                yield from _undocumented(inner, found)
            else:
                yield name


def _parts(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A schema, and all that it is made of."""
    schema = _resolved(schema)
    yield schema
    for part in schema.get("allOf", []):
        yield from _parts(part)


def _resolved(part: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in part:
        return part
    kind, name = part["$ref"].removeprefix(_COMPONENTS).split("/")
    found: dict[str, Any] = DOCUMENT["components"][kind][name]
    return found
