"""What whoever deploys has to be allowed: infra/policy/deployer/, against the templates."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from tests.template import aws_schemas
from tests.template.document import ROOT, as_list
from tests.template.stacks import Document, Stacks, parameter_sets

FOLDER = ROOT / "infra" / "policy" / "deployer"

# The service of whose actions each kind of resource is.
_SERVICES = {
    "AmazonMQ": "mq",
    "ApiGateway": "apigateway",
    "CloudWatch": "cloudwatch",
    "CodeDeploy": "codedeploy",
    "Route53Resolver": "route53resolver",
    "SecretsManager": "secretsmanager",
}
# Handlers name what somebody might use of a resource. No template uses these; what only reads
# stays, since handlers read everything.
_NOT_OURS = re.compile(
    "|".join(
        (
            r"iam:.*(User|Group|PermissionsBoundary).*",
            r"ec2:(?!Describe).*(VerifiedAccess|VpcEncryption|Cidr|VpcTenancy).*",
            r"ec2:.*VerifiedAccess.*",
            r"s3:(?!Get).*(Metadata|ObjectLock|Replication|Intelligent|Inventory|Accelerate).*",
            r"s3:(?!Get).*(Analytics|Abac|REST\.|Website|ListTagsFor|Metrics|ObjectAcl).*",
            r"lambda:(?!Get).*(CodeSigning|Recursion|Scaling|Provisioned|Capacity|RuntimeAlias).*",
            r"logs:(?!Get|Describe).*(DataProtection|IndexPolic|Kms|BearerToken|Deletion).*",
            r"sns:PutDataProtection.*",
            r"wafv2:PutPermissionPolicy",
            r"rds:(?!Describe).*(Cluster|ReadReplica|Replication|PointInTime|RoleTo|RoleFrom).*",
            r"cloudfront:.*(ConnectionGroup|VpcOrigin|Staging).*",
            r"codedeploy:RegisterOnPremisesInstance",
            r"mq:CreateReplicaBroker",
            r"secretsmanager:.*Replic.*",
            r"route53:AssociateVPC.*",
            r"cloudformation:SetStackPolicy|cloudformation:UpdateTerminationProtection",
        )
    )
)
# The kinds that template.gradual.yaml adds.
_GRADUAL = (
    *("AWS::Lambda::Alias", "AWS::Lambda::Version"),
    *("AWS::CodeDeploy::Application", "AWS::CodeDeploy::DeploymentGroup"),
)


def kinds(documents: Mapping[str, Document]) -> set[str]:
    """Those of all stacks, with each set of parameters."""
    found = set(_GRADUAL)
    for parameters in parameter_sets().values():
        stacks = Stacks(documents, parameters)
        found |= {stacks.resource(path)["Type"] for path in stacks.paths()}
    return found


def needed(kind: str) -> set[str]:
    """What CloudFormation does for a resource of this kind, as whoever deploys it."""
    if kind.startswith("Custom::"):
        return {"lambda:InvokeFunction"}
    ours = {*_services_of_all(), "iam", "kms", "ec2"}
    return {
        action
        for action in aws_schemas.actions(kind)
        if action.partition(":")[0] in ours and not _NOT_OURS.fullmatch(action)
    }


@cache
def _services_of_all() -> set[str]:
    from tests.template.stacks import documents

    names = {kind.split("::")[1] for kind in kinds(documents()) if kind.startswith("AWS::")}
    return {_SERVICES.get(name, name.lower()) for name in names}


# --- beside CloudFormation ----------------------------------------------------------------------

# SAM uploads what it has built into a bucket of its own, and lets CloudFormation work.
_BY_SAM = {
    *("cloudformation:CreateChangeSet", "cloudformation:DescribeChangeSet"),
    *("cloudformation:ExecuteChangeSet", "cloudformation:DeleteChangeSet"),
    *("cloudformation:DescribeStackEvents", "cloudformation:GetTemplateSummary"),
    *("cloudformation:ListStackResources", "cloudformation:DescribeStackResource"),
    *("cloudformation:DescribeStackResources", "cloudformation:ListChangeSets"),
    *("s3:PutObject", "s3:GetObject", "s3:ListBucket", "s3:DeleteObject", "s3:GetBucketLocation"),
}
# What docs/aws.md has operators do: ask OperateFunction, roll back, go on after a roll-back.
_BY_OPERATORS = {
    *("lambda:InvokeFunction", "cloudformation:ContinueUpdateRollback"),
    "cloudformation:RollbackStack",
}
_CALL = re.compile(r'client\("([a-z0-9-]+)"\)\s*\.(\w+)\(')


def by_preflight() -> set[str]:
    """The actions of its calls, in small letters."""
    source = (ROOT / "infra" / "tools" / "preflight.py").read_text(encoding="utf-8")
    source = source.replace("ec2 = ", "").replace("= ec2.", '= client("ec2").')
    found = set()
    for service, method in _CALL.findall(source):
        name = "get" if service == "apigateway" else method.replace("_", "")
        found.add(f"{service.replace('-', '')}:{name}")
    return found


# --- what is allowed ----------------------------------------------------------------------------


def policies() -> dict[str, dict[str, Any]]:
    return {path.name: json.loads(path.read_bytes()) for path in sorted(FOLDER.glob("*.json"))}


def allowed() -> Iterator[tuple[str, str]]:
    """(action, resource) of every statement."""
    for policy in policies().values():
        for statement in policy["Statement"]:
            assert statement["Effect"] == "Allow"
            for action in as_list(statement["Action"]):
                yield from ((action, resource) for resource in as_list(statement["Resource"]))


def missing(documents: Mapping[str, Document]) -> Iterator[str]:
    """What nobody may who deploys these templates with these policies."""
    granted = {action for action, _ in allowed()}
    small = {action.lower() for action in granted}
    for kind in sorted(kinds(documents)):
        for action in sorted(needed(kind) - granted):
            yield f"{kind}: {action}"
    yield from (f"SAM: {action}" for action in sorted((_BY_SAM | _BY_OPERATORS) - granted))
    yield from (f"preflight: {action}" for action in sorted(by_preflight() - small))


def too_many(documents: Mapping[str, Document]) -> Iterator[str]:
    used = {action for kind in kinds(documents) for action in needed(kind)}
    used |= _BY_SAM | _BY_OPERATORS
    preflight = by_preflight()
    for action in sorted({action for action, _ in allowed()}):
        if action not in used and action.lower() not in preflight:
            yield action
