"""Templates that use the features of SAM one by one, made of the translator's own schema.

Each has a function that runs, or whatever its resource needs at least, and one property more: of a
resource, of Globals, or of an event of the function; in each form that the schema allows for it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from samtranslator.internal.schema_source.schema import SamModel

Template = dict[str, Any]

_ANY = "PassThroughProp"
# What the translator asks for and the schema does not, and what makes a function run here.
_LEAST: Mapping[str, Mapping[str, Any]] = {
    "AWS::Serverless::Api": {"StageName": "v1"},
    "AWS::Serverless::Application": {"Location": {"ApplicationId": "arn", "SemanticVersion": "1"}},
    "AWS::Serverless::Function": {
        "CodeUri": "code",
        "Handler": "app.handler",
        "Runtime": "python3.13",
    },
    "AWS::Serverless::LayerVersion": {"ContentUri": "code"},
    "AWS::Serverless::StateMachine": {"Definition": {"StartAt": "End", "States": {}}},
}
_DEPTH = 4


class _Schema:
    def __init__(self) -> None:
        whole = SamModel.schema()
        self._definitions: dict[str, Any] = whole["definitions"]
        self.sections = self.followed(whole["properties"]["Globals"])["properties"]

    def resources(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Each type of SAM's, and its properties."""
        for name, definition in self._definitions.items():
            kinds = definition.get("properties", {}).get("Type", {}).get("enum", [])
            if name.endswith("Resource") and kinds:
                yield kinds[0], self.followed(definition["properties"]["Properties"])

    def events(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Each type of a function's events, and its properties."""
        properties = dict(self.resources())["AWS::Serverless::Function"]["properties"]
        for form in properties["Events"]["additionalProperties"]["anyOf"]:
            event = self.followed(form)["properties"]
            yield event["Type"]["enum"][0], self.followed(event.get("Properties", {}))

    def followed(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while len(several := schema.get("allOf", [])) == 1:
            schema = several[0]
        reference = schema.get("$ref", "").rpartition("/")[2]
        return self.followed(self._definitions[reference]) if reference else schema

    def values(self, schema: Mapping[str, Any], depth: int = 0) -> Iterator[Any]:
        """A value in each form that is allowed; of what is in it, the first form alone."""
        if schema.get("$ref", "").endswith(f"/{_ANY}"):
            yield from (
                "text",
                {"Ref": "AWS::Region"},
                ["text"],
                {"Key": {"Inner": "text"}},
                1,
                True,
            )
            return
        schema = self.followed(schema)
        if "enum" in schema:
            yield from schema["enum"]
            return
        if forms := schema.get("anyOf"):
            for form in forms:
                yield from self.values(form, depth)
            return
        match schema.get("type"):
            case "string":
                yield "text"
            case "integer" | "number":
                yield 1
            case "boolean":
                yield True
                yield False
            case "array":
                yield [self.first(schema.get("items", {}), depth + 1)]
            case "object":
                yield from self._objects(schema, depth)
            case _:
                yield {"Ref": "AWS::Region"}

    def first(self, schema: Mapping[str, Any], depth: int = 0) -> Any:
        return next(self.values(schema, depth))

    def least(self, schema: Mapping[str, Any], depth: int = 0) -> dict[str, Any]:
        """Its required properties."""
        return {
            name: self.first(schema["properties"][name], depth)
            for name in schema.get("required", ())
        }

    def _objects(self, schema: Mapping[str, Any], depth: int) -> Iterator[dict[str, Any]]:
        inner = schema.get("additionalProperties")
        if isinstance(inner, dict):
            yield {"Key": self.first(inner, depth + 1)}
            return
        least = self.least(schema, depth + 1)
        yield least
        # One more of its own, a few levels deep.
        for name, of_it in schema.get("properties", {}).items() if depth < _DEPTH else ():
            if name not in least:
                yield {**least, name: self.first(of_it, depth + 1)}


def features() -> Iterator[tuple[str, Template]]:
    """What each template is about, and the template."""
    schema = _Schema()
    least = {
        kind: {**schema.least(properties), **_LEAST.get(kind, {})}
        for kind, properties in schema.resources()
    }
    for kind, properties in schema.resources():
        yield kind, _template(kind, least[kind])
        for name, value in _each(schema, properties):
            yield f"{kind} {name}", _template(kind, {**least[kind], name: value})
    function = "AWS::Serverless::Function"
    for kind, properties in schema.events():
        needed = schema.least(properties) if properties else {}
        yield f"event {kind}", _template(function, _with_event(least[function], kind, needed))
        for name, value in _each(schema, properties):
            event = _with_event(least[function], kind, {**needed, name: value})
            yield f"event {kind} {name}", _template(function, event)
    for section, section_schema in schema.sections.items():
        kind = f"AWS::Serverless::{section}"
        for name, value in _each(schema, schema.followed(section_schema)):
            template = _template(kind, least[kind])
            yield f"Globals {section} {name}", {**template, "Globals": {section: {name: value}}}


def _each(schema: _Schema, properties: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, of_it in properties.get("properties", {}).items():
        for value in schema.values(of_it):
            yield name, value


def _with_event(function: Mapping[str, Any], kind: str, event: Mapping[str, Any]) -> dict[str, Any]:
    return {**function, "Events": {"Happens": {"Type": kind, "Properties": dict(event)}}}


def _template(kind: str, properties: Mapping[str, Any]) -> Template:
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Transform": "AWS::Serverless-2016-10-31",
        "Resources": {"Thing": {"Type": kind, "Properties": dict(properties)}},
    }
