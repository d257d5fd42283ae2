"""A deployed stack: what it has become, and its functions."""

import json
from functools import cached_property
from typing import Any

from infra.deploy_local.target import Target
from infra.entry_point import Explained


class FunctionFailed(Explained):
    """A function ended with an error, or was never started; the text has its words."""


class Stack:
    """Reads anew with each call, but for the clients."""

    def __init__(self, target: Target, name: str) -> None:
        self._target = target
        self._name = name

    def outputs(self) -> dict[str, str]:
        (stack,) = self._formation.describe_stacks(StackName=self._name)["Stacks"]
        return {item["OutputKey"]: item["OutputValue"] for item in stack["Outputs"]}

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
