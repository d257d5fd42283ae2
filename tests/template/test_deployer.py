"""infra/policy/deployer/ allows what a deployment of these templates does, and no more."""

from __future__ import annotations

import copy
import json
import re

import pytest

from tests.template import deployer
from tests.template.stacks import documents

# IAM's limit for a managed policy, blanks not counted.
_MOST_CHARACTERS = 6144
# What every name begins with that CloudFormation makes of the stack's.
_STACK = "image-api"


def test_whoever_has_these_policies_may_deploy() -> None:
    assert list(deployer.missing(documents())) == []


def test_nothing_is_allowed_that_no_deployment_does() -> None:
    assert list(deployer.too_many(documents())) == []


def test_a_new_kind_of_resource_needs_its_actions() -> None:
    changed = copy.deepcopy(documents())
    changed["infra/monitoring.yaml"]["Resources"]["Queue"] = {"Type": "AWS::KMS::Alias"}
    assert "AWS::KMS::Alias: kms:CreateAlias" in list(deployer.missing(changed))


@pytest.mark.parametrize("name", deployer.policies())
def test_iam_takes_the_policy(name: str) -> None:
    policy = deployer.policies()[name]
    assert policy["Version"] == "2012-10-17"
    assert len(re.sub(r"\s", "", json.dumps(policy))) <= _MOST_CHARACTERS
    sids = [statement["Sid"] for statement in policy["Statement"]]
    assert len(set(sids)) == len(sids)
    assert all(re.fullmatch("[A-Za-z0-9]+", sid) for sid in sids)


def test_rights_to_roles_and_objects_end_where_the_stack_does() -> None:
    """With a role of any name a deployer could do whatever the account can."""
    for action, resource in deployer.allowed():
        assert "*" not in action
        if action.startswith("iam:") and action != "iam:ListRoles":
            assert f":role/{_STACK}" in resource or ":role/aws-service-role/" in resource, action
        if action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject"):
            assert resource == "arn:aws:s3:::aws-sam-cli-managed-default*/*"
        if action.startswith("lambda:") and "Function" in action and resource != "*":
            assert f":function:{_STACK}" in resource or ":layer:" in resource
