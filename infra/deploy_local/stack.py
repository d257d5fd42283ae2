"""A deployed stack: what it has become, and its functions."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from infra.deploy_local.target import Target

_NESTED = "AWS::CloudFormation::Stack"


class FunctionFailed(Exception):
    """A function ended with an error, or was never started; the text has its words."""


@dataclass(frozen=True)
class Resource:
    logical_id: str
    kind: str
    physical_id: str
    status: str


class Stack:
    """Reads anew with each call, but for the clients."""

    def __init__(self, target: Target, name: str) -> None:
        self._target = target
        self._name = name

    def status(self) -> str:
        return str(self._described()["StackStatus"])

    def outputs(self) -> dict[str, str]:
        return {item["OutputKey"]: item["OutputValue"] for item in self._described()["Outputs"]}

    def resources(self) -> dict[str, Resource]:
        """By logical id; those of a nested stack behind its own and a slash."""
        return dict(self._resources(self._name, ""))

    def failures(self) -> list[str]:
        """The reasons that CloudFormation noted."""
        events = self._formation.describe_stack_events(StackName=self._name)["StackEvents"]
        return [
            f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}"
            for event in events
            if event["ResourceStatus"].endswith("_FAILED")
        ]

    def physical_id(self, logical_id: str) -> str:
        resource = self._formation.describe_stack_resource(
            StackName=self._name, LogicalResourceId=logical_id
        )
        return str(resource["StackResourceDetail"]["PhysicalResourceId"])

    def invoke(self, logical_id: str, event: object) -> Any:
        """The function's answer. Raises FunctionFailed."""
        answer = self._target.client("lambda").invoke(
            FunctionName=self.physical_id(logical_id), Payload=json.dumps(event).encode()
        )
        payload = answer["Payload"].read()
        if "FunctionError" in answer:
            raise FunctionFailed(f"{logical_id}: {payload.decode(errors='replace')}")
        return json.loads(payload)

    @cached_property
    def _formation(self) -> Any:
        return self._target.client("cloudformation")

    def _described(self) -> dict[str, Any]:
        (stack,) = self._formation.describe_stacks(StackName=self._name)["Stacks"]
        return dict(stack)

    def _resources(self, stack: str, prefix: str) -> Iterator[tuple[str, Resource]]:
        for page in self._formation.get_paginator("list_stack_resources").paginate(StackName=stack):
            for item in page["StackResourceSummaries"]:
                name = prefix + item["LogicalResourceId"]
                physical_id = item.get("PhysicalResourceId", "")
                kind = item["ResourceType"]
                yield name, Resource(name, kind, physical_id, item["ResourceStatus"])
                if kind == _NESTED:
                    yield from self._resources(physical_id, f"{name}/")
