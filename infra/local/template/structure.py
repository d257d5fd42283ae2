"""Whether a document has the shape of a template at all: half of one is typed at any time."""

from collections.abc import Mapping
from typing import Any

_SECTIONS = ("Conditions", "Globals", "Mappings", "Metadata", "Outputs", "Parameters", "Rules")
_FUNCTION = "AWS::Serverless::Function"
# Refused before the translator says what is wrong with them.
_NOT_RUN = {
    "AWS::Serverless::GraphQLApi": "GraphQL APIs",
    "AWS::Serverless::MicrovmImage": "micro virtual machines",
    "AWS::Serverless::StateMachine": "state machines",
    "AWS::Serverless::WebFunction": "web functions",
    "AWS::Serverless::WebSocketApi": "WebSocket APIs",
}


class Misshapen(Exception):
    """What is not as a template has it, in words."""


def check_structure(source: Any) -> None:
    """Raises Misshapen."""
    if not isinstance(source, dict) or not isinstance(source.get("Resources"), dict):
        raise Misshapen("it has no Resources")
    for section in _SECTIONS:
        _mapping(source, section, "")
    for section in ("Globals", "Parameters"):
        for name in source.get(section) or {}:
            _mapping(source[section], name, f"{section}, ")
    _check_function("Globals", (source.get("Globals") or {}).get("Function") or {})
    for name, resource in source["Resources"].items():
        _check_resource(str(name), resource)


def _check_resource(name: str, resource: Any) -> None:
    if name.startswith("Fn::"):
        raise Misshapen(f"the local cloud does not expand {name.split(':')[2]} in Resources")
    if resource is None:
        raise Misshapen(f"{name} is empty")
    if not isinstance(resource, dict):
        raise Misshapen(f"{name} is not a mapping")
    if not isinstance(resource.get("Type"), str):
        raise Misshapen(f"{name} has no Type")
    if not isinstance(resource.get("Condition", ""), str):
        raise Misshapen(f"{name}: Condition is not the name of one")
    if (what := _NOT_RUN.get(resource["Type"])) is not None:
        raise Misshapen(f"{name} ({resource['Type']}): the local cloud does not run {what}")
    _mapping(resource, "Properties", f"{name}, ")
    if resource["Type"] == _FUNCTION:
        _check_function(name, resource.get("Properties") or {})


def _check_function(name: str, properties: Mapping[str, Any]) -> None:
    _mapping(properties, "Environment", f"{name}, ")
    _mapping(properties.get("Environment") or {}, "Variables", f"{name}, Environment, ")
    _mapping(properties, "Events", f"{name}, ")
    for event in properties.get("Events") or {}:
        _mapping(properties["Events"], event, f"{name}, Events, ")
        if not properties["Events"][event]:
            raise Misshapen(f"{name}, Events: {event} is empty")


def _mapping(owner: Mapping[str, Any], name: str, where: str) -> None:
    """One that is there and not empty has to be a mapping."""
    if not isinstance(owner.get(name) or {}, dict):
        raise Misshapen(f"{where}{name} is not a mapping")
