"""The functions that a template declares, and their layers."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from infra.local.template.model import Destinations, Function, Layer, Retries
from infra.local.template.resources import Resources


def read_functions(resources: Resources, variables: Mapping[str, str]) -> dict[str, Function]:
    """By logical id; `variables` replace the values of function variables of that name."""
    functions = {
        logical_id: _function(resources, variables, logical_id, properties)
        for logical_id, properties in resources.of_type("AWS::Lambda::Function")
    }
    folders = Counter(function.code_path.name for function in functions.values())
    return {
        logical_id: replace(
            function,
            has_own_folder=folders[function.code_path.name] == 1,
            versions=dict(_versions(resources, logical_id)),
            **_of_asynchronous(resources, logical_id),
        )
        for logical_id, function in functions.items()
    }


def _versions(resources: Resources, function_id: str) -> Iterator[tuple[str, str]]:
    """A version that the template publishes is the first one here; aliases stand for it."""
    for _, properties in resources.of_type("AWS::Lambda::Version"):
        if resources.names_function(properties, function_id):
            yield "1", "1"
    for logical_id, properties in resources.of_type("AWS::Lambda::Alias"):
        if resources.names_function(properties, function_id):
            yield str(resources.required(logical_id, properties, "Name")), "1"


def _of_asynchronous(resources: Resources, function_id: str) -> dict[str, Any]:
    """What its EventInvokeConfig says. Raises TemplateError."""
    for logical_id, properties in resources.of_type("AWS::Lambda::EventInvokeConfig"):
        if not resources.names_function(properties, function_id):
            continue
        attempts = resources.number(logical_id, properties, "MaximumRetryAttempts", 2)
        age = resources.number(logical_id, properties, "MaximumEventAgeInSeconds", 21_600)
        declared = properties.get("DestinationConfig") or {}
        return {
            "retries": Retries(int(attempts), int(age)),
            "destinations": Destinations(
                _destination(resources, logical_id, declared, "OnSuccess"),
                _destination(resources, logical_id, declared, "OnFailure"),
            ),
        }
    return {}


def _destination(
    resources: Resources, where: str, declared: Mapping[str, Any], name: str
) -> str | None:
    if not declared.get(name):
        return None
    arn = str(dict(resources.known(where, declared[name])).get("Destination", ""))
    if ":function:" not in arn:
        raise resources.error(
            f"{where}, {name}: the local cloud tells functions how asynchronous invocations end, "
            "and neither queues, topics, buckets nor event buses"
        )
    return resources.function_id(arn)


def _function(
    resources: Resources,
    variables: Mapping[str, str],
    logical_id: str,
    properties: Mapping[str, Any],
) -> Function:
    if resources.optional(logical_id, properties, "PackageType", "Zip") != "Zip":
        raise resources.error(f"{logical_id} is a container; the local cloud runs Python functions")
    runtime = str(resources.required(logical_id, properties, "Runtime"))
    if not runtime.startswith("python"):
        raise resources.error(
            f"{logical_id} has the runtime {runtime}; the local cloud runs Python functions"
        )
    declared = (properties.get("Environment") or {}).get("Variables") or {}
    environment = dict(_environment(resources, variables, logical_id, declared))
    reserved = resources.number(logical_id, properties, "ReservedConcurrentExecutions", math.inf)
    return Function(
        logical_id=logical_id,
        name=resources.attribute(logical_id, "Ref"),
        runtime=runtime,
        handler=str(resources.required(logical_id, properties, "Handler")),
        code_path=resources.code_folder(logical_id, properties.get("Code") or {}),
        environment=environment,
        unset_variables=tuple(sorted(_wanted(declared).keys() - environment.keys())),
        wants_snapshots=_wants_snapshots(resources, logical_id, properties),
        timeout_seconds=int(resources.number(logical_id, properties, "Timeout", 3)),
        memory_mb=int(resources.number(logical_id, properties, "MemorySize", 128)),
        layers=tuple(
            _layer(resources, str(layer_id))
            for layer_id in resources.optional(logical_id, properties, "Layers", [])
        ),
        reserved_concurrency=None if reserved == math.inf else int(reserved),
    )


def _wants_snapshots(resources: Resources, logical_id: str, properties: Mapping[str, Any]) -> bool:
    snap_start = resources.optional(logical_id, properties, "SnapStart", {})
    if not isinstance(snap_start, Mapping):
        raise resources.error(f"{logical_id}: SnapStart is {snap_start!r}, not a mapping")
    return bool(snap_start.get("ApplyOn") == "PublishedVersions")


def _environment(
    resources: Resources,
    variables: Mapping[str, str],
    logical_id: str,
    declared: Mapping[str, Any],
) -> Iterator[tuple[str, str]]:
    wanted = _wanted(declared)
    yield from ((name, variables[name]) for name in wanted if name in variables)
    others = {name: value for name, value in wanted.items() if name not in variables}
    for name, value in resources.known(logical_id, others):
        yield name, str(value).lower() if isinstance(value, bool) else str(value)


def _wanted(declared: Mapping[str, Any]) -> dict[str, Any]:
    # What refers to NoValue is a variable of Globals that this function does without.
    return {name: value for name, value in declared.items() if value != {"Ref": "AWS::NoValue"}}


def _layer(resources: Resources, layer_id: str) -> Layer:
    content = dict(resources.of_type("AWS::Lambda::LayerVersion")).get(layer_id, {}).get("Content")
    if content is None:
        raise resources.error(
            f"the layer {layer_id} is not part of this template, so its code is not on this machine"
        )
    # The translator appends a hash of the content to the logical id.
    name = re.sub(r"[0-9a-f]{10}$", "", layer_id)
    return Layer(name, resources.code_folder(name, content))
