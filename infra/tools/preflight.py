"""Before a first deployment: what would fail, and the parameters that fit this account and region.

Only asks, and changes nothing: `make aws-preflight`, ARGS="--size medium" for another size. The
account and the region are those of the AWS CLI (AWS_PROFILE, AWS_DEFAULT_REGION).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from infra import entry_point
from infra.entry_point import Explained

ROOT = Path(__file__).parents[2]

# What "New AWS accounts have reduced concurrency" may mean.
_FEW_EXECUTIONS = 100
# Those of template.yaml, and of infra/platform.yaml.
_NETWORKS_MADE = 2
_ENDPOINTS = ("lambda", "secretsmanager", "sts")
_VPC_QUOTA = "L-F678F1CE"
# AWS has no question for it: every other region of its own has SnapStart for Python.
_WITHOUT_SNAPSTART = ("ap-east-2", "ap-southeast-6")
# As samconfig.toml has it.
_STACK_NAME = "image-api"
# A stack in one of these is neither updated nor created anew. What gets it going again, by where it
# is stuck; one that has served keeps what it holds.
_STUCK = {
    **dict.fromkeys(("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"), "sam delete"),
    "UPDATE_ROLLBACK_FAILED": "aws cloudformation continue-update-rollback",
}

Level = Literal["ok", "note", "stop"]
Client = Callable[[str], Any]


class NoAccount(Explained):
    """There is nobody to ask; the text says why."""


@dataclass(frozen=True)
class Finding:
    """`parameters`: what the deployment is to be told because of it."""

    level: Level
    text: str
    parameters: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """What a size asks of AWS."""

    database_class: str
    broker_class: str
    broker_version: str
    backup_days: int
    zones: int


def wanted(size: str) -> Wanted:
    """As infra/platform.yaml has it."""
    text = (ROOT / "infra" / "platform.yaml").read_text(encoding="utf-8")
    row = yaml.load(text, _Loader)["Mappings"]["Sizes"][size]  # noqa: S506 - a SafeLoader
    return Wanted(
        database_class=row["DatabaseClass"],
        broker_class=row["BrokerClass"],
        broker_version=row["BrokerVersion"],
        backup_days=row["BackupDays"],
        zones=2 if row["BrokerMode"] == "SINGLE_INSTANCE" else 3,
    )


class _Loader(yaml.SafeLoader):
    """Reads past CloudFormation's short forms."""


_Loader.add_multi_constructor("!", lambda _loader, _suffix, _node: None)


def examine(client: Client, region: str, size: str, stack_name: str) -> list[Finding]:
    """All of it side by side; what may not be asked is a note."""
    need = wanted(size)
    questions: dict[str, Callable[[], Iterator[Finding]]] = {
        "the plan of the account": lambda: _plan(client, need),
        "how many functions may run at once": lambda: _concurrency(client),
        "zones": lambda: _zones(client, region, need),
        "API Gateway's role for logs": lambda: _gateway_role(client),
        "networks": lambda: _networks(client),
        "S3's addresses": lambda: _s3_addresses(client, region),
        "SnapStart": lambda: _snap_start(region),
        "an earlier stack": lambda: _stack(client, stack_name),
    }

    def asked(item: tuple[str, Callable[[], Iterator[Finding]]]) -> list[Finding]:
        name, ask = item
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return list(ask())
        except ClientError as error:
            reason = error.response["Error"]["Code"]
        except BotoCoreError as error:
            reason = type(error).__name__
        return [Finding("note", f"{name}: could not be asked ({reason})")]

    with ThreadPoolExecutor(len(questions)) as threads:
        return [found for part in threads.map(asked, questions.items()) for found in part]


def _plan(client: Client, need: Wanted) -> Iterator[Finding]:
    plan = client("freetier").get_account_plan_state()["accountPlanType"]
    if plan != "FREE":
        yield Finding("ok", f"the account is on the plan {plan}")
        return
    level: Level = "note" if need.backup_days <= 1 else "stop"
    yield Finding(
        level,
        "the account is on the Free Plan, which allows backups of one day and db.t4g.micro, and of "
        "which AWS does not say whether it takes Amazon MQ, RDS Proxy and interface endpoints",
        {"BackupDays": "1"} if need.backup_days > 1 else {},
    )


def _concurrency(client: Client) -> Iterator[Finding]:
    limit = client("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"]
    if limit < _FEW_EXECUTIONS:
        yield Finding(
            "note",
            f"{limit} functions may run at once, and what is more is answered 503: ask for more "
            "before others use the API (Service Quotas, L-B99A9384)",
        )
    else:
        yield Finding("ok", f"{limit} functions may run at once")


def _zones(client: Client, region: str, need: Wanted) -> Iterator[Finding]:
    ec2 = client("ec2")
    present = sorted(
        zone["ZoneName"]
        for zone in ec2.describe_availability_zones()["AvailabilityZones"]
        if zone["State"] == "available" and zone.get("ZoneType") in (None, "availability-zone")
    )
    usable = {what: set(zones) for what, zones in _zones_by_part(client, region, need)}
    for what, zones in usable.items():
        if not zones:
            yield Finding("stop", f"{what} is not offered in {region}")
            return
    good = [zone for zone in present if all(zone in zones for zones in usable.values())]
    if len(good) < 2:
        yield Finding("stop", f"only {good} of {present} have all that is needed")
        return
    chosen = dict(zip(("ZoneA", "ZoneB", "ZoneC"), good[: need.zones], strict=False))
    if need.zones == 3 and len(good) < 3:
        chosen["ZoneC"] = "none"
    if list(chosen.values()) == present[: need.zones]:
        yield Finding("ok", f"{', '.join(chosen.values())} have all that is needed")
    else:
        without = {
            zone: sorted(what for what, zones in usable.items() if zone not in zones)
            for zone in present
            if zone not in good
        }
        lacking = "; ".join(f"{zone} lacks {', '.join(parts)}" for zone, parts in without.items())
        yield Finding("note", f"zones: {lacking or 'there are two'}", chosen)


def _zones_by_part(client: Client, region: str, need: Wanted) -> Iterator[tuple[str, list[str]]]:
    services = [f"com.amazonaws.{region}.{name}" for name in _ENDPOINTS]
    answer = client("ec2").describe_vpc_endpoint_services(ServiceNames=services)
    for detail in answer["ServiceDetails"]:
        kinds = [kind["ServiceType"] for kind in detail.get("ServiceType", [])]
        if "Interface" in kinds or not kinds:
            yield f"the endpoint {detail['ServiceName']}", detail["AvailabilityZones"]
    options = client("rds").describe_orderable_db_instance_options(
        Engine="postgres", DBInstanceClass=need.database_class, Vpc=True
    )["OrderableDBInstanceOptions"]
    yield (
        need.database_class,
        [zone["Name"] for option in options for zone in option["AvailabilityZones"]],
    )
    options = client("mq").describe_broker_instance_options(
        EngineType="RABBITMQ", HostInstanceType=need.broker_class
    )["BrokerInstanceOptions"]
    yield (
        need.broker_class,
        [
            zone["Name"]
            for option in options
            if any(version.startswith(need.broker_version) for version in _versions(option))
            for zone in option["AvailabilityZones"]
        ],
    )


def _versions(option: dict[str, Any]) -> list[str]:
    return list(option.get("SupportedEngineVersions", []))


def _gateway_role(client: Client) -> Iterator[Finding]:
    if client("apigateway").get_account().get("cloudwatchRoleArn"):
        yield Finding(
            "note",
            "API Gateway has a role for its logs already, which is left as it is",
            {"GatewayLogRole": "existing"},
        )
    else:
        yield Finding("ok", "API Gateway gets a role for its logs")


def _networks(client: Client) -> Iterator[Finding]:
    present = len(client("ec2").describe_vpcs()["Vpcs"])
    quota = client("service-quotas").get_service_quota(ServiceCode="vpc", QuotaCode=_VPC_QUOTA)
    limit = int(quota["Quota"]["Value"])
    if present + _NETWORKS_MADE > limit:
        yield Finding(
            "stop",
            f"{present} of {limit} networks are there, and {_NETWORKS_MADE} are made: ask for more "
            f"(Service Quotas, {_VPC_QUOTA}), or choose another region",
        )
    else:
        yield Finding("ok", f"{present} of {limit} networks are there")


def _s3_addresses(client: Client, region: str) -> Iterator[Finding]:
    name = f"com.amazonaws.{region}.s3"
    found = client("ec2").describe_managed_prefix_lists(
        Filters=[{"Name": "prefix-list-name", "Values": [name]}]
    )["PrefixLists"]
    if found:
        yield Finding(
            "ok",
            "the functions' security groups can be limited to S3",
            {"S3PrefixListId": found[0]["PrefixListId"]},
        )
    else:
        yield Finding("note", f"there is no prefix list {name}")


def _snap_start(region: str) -> Iterator[Finding]:
    """Both architectures have it where it is; the plain template goes without."""
    if region in _WITHOUT_SNAPSTART:
        yield Finding(
            "note", f"{region} has no SnapStart: leave SnapStart=None in template.gradual.yaml"
        )


def _stack(client: Client, name: str) -> Iterator[Finding]:
    from botocore.exceptions import ClientError

    try:
        (stack,) = client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        yield Finding("ok", f"there is no stack {name} yet")
        return
    status = stack["StackStatus"]
    if status in _STUCK:
        yield Finding("stop", f"the stack {name} is {status}: {_STUCK[status]} --stack-name {name}")
    else:
        yield Finding("note", f"the stack {name} is there already: {status}")


def command(findings: list[Finding], size: str, stack_name: str = _STACK_NAME) -> str:
    """How to deploy after what was found."""
    parameters = {"Platform": "create", "PlatformSize": size}
    for found in findings:
        parameters |= found.parameters
    overrides = " ".join(f"{name}={value}" for name, value in parameters.items())
    named = "" if stack_name == _STACK_NAME else f" --stack-name {stack_name}"
    return f"sam build && sam deploy{named} --parameter-overrides {overrides}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=["small", "medium", "large"], default="small")
    parser.add_argument("--stack-name", default=_STACK_NAME)
    options = parser.parse_args()
    client, region = _account()
    findings = examine(client, region, options.size, options.stack_name)
    for found in findings:
        print(f"{found.level:5} {found.text}")
    print(f"\n{command(findings, options.size, options.stack_name)}")
    return int(any(found.level == "stop" for found in findings))


def _account() -> tuple[Client, str]:
    """Raises NoAccount."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    session = boto3.Session()
    if session.region_name is None:
        raise NoAccount("No region: set AWS_DEFAULT_REGION, or run aws configure")
    config = Config(connect_timeout=3, read_timeout=8, retries={"total_max_attempts": 2})
    try:
        identity = session.client("sts", config=config).get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        raise NoAccount(f"AWS does not know who asks: {error}") from error
    print(f"account {identity['Account']}, region {session.region_name}\n")

    def client(service: str) -> Any:
        # The free tier is asked about in one region alone.
        region = "us-east-1" if service == "freetier" else session.region_name
        return session.client(service, region_name=region, config=config)  # type: ignore[call-overload]

    return client, session.region_name


if __name__ == "__main__":
    sys.exit(entry_point.run(main))
