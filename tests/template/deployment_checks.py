"""What must be true of a deployment on AWS. Each check returns what is wrong, in words."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.template.document import as_list
from tests.template.stacks import Path, Stacks

# --- the order of creation ----------------------------------------------------------------------

_SCHEMA = ("DatabaseSchema",)
_WAIT = ("PollerInterfaces",)


def order(stacks: Stacks) -> Iterator[str]:
    """What CloudFormation waits for, or what fails at once, needs something to be there first."""
    for path in stacks.paths():
        if path in stacks.made_before(path):
            yield f"{_name(path)} waits for itself"
    for path, needed, why in _needed_first(stacks):
        if needed not in stacks.made_before(path):
            yield f"{_name(path)} is made before {_name(needed)}: {why}"


def _needed_first(stacks: Stacks) -> Iterator[tuple[Path, Path, str]]:
    for target in stacks.of_type("AWS::RDS::DBProxyTargetGroup"):
        # CloudFormation waits until the proxy has logged in to the database, as anybody it knows.
        proxy = stacks.named_by(target, stacks.resource(target)["Properties"]["DBProxyName"])
        assert proxy is not None
        for entry in stacks.resource(proxy)["Properties"]["Auth"]:
            maker = _maker_of_role(stacks, proxy, entry["SecretArn"])
            yield target, maker, "its role is not in the database"
    for mapping in stacks.of_type("AWS::Lambda::EventSourceMapping"):
        yield mapping, _SCHEMA, "its queue is not declared"
    for function in stacks.of_type("AWS::Lambda::Function"):
        # All but the one that runs it: where a migration fails, no new code runs.
        if function[-1] != "MigrateFunction":
            yield function, _SCHEMA, "it would be new although the migration failed"
    for mapping in stacks.of_type("AWS::Lambda::EventSourceMapping"):
        # What is made last is deleted first.
        yield mapping, _WAIT, "nothing waits on deletion for its network interfaces"
        yield _WAIT, ("ConsumerFunctionRole",), "the role that removes the interfaces goes first"
        yield _WAIT, ("ApplicationLogs",), "what it says of a deletion that stopped goes first"
    if "CdnStack" in {path[0] for path in stacks.paths()}:
        yield _SCHEMA, ("ImagesBucketPolicy",), "URLs would lead where CloudFront may not read"
    for attachment in stacks.of_type("AWS::SecretsManager::SecretTargetAttachment"):
        yield _SCHEMA, attachment, "the secret does not say where the database is"
    for account in stacks.of_type("AWS::ApiGateway::Account"):
        for stage in stacks.of_type("AWS::ApiGateway::Stage"):
            yield stage, account, "API Gateway may not write its log"
        for database in stacks.of_type("AWS::RDS::DBInstance"):
            yield account, database, "its role may not count yet"


def _maker_of_role(stacks: Stacks, path: Path, secret: Any) -> Path:
    """Who makes the role in the database: that itself its owner, the migration all others."""
    found = stacks.named_by(path, secret)
    assert found is not None
    if "SecretId" in stacks.resource(found)["Properties"]:
        found = stacks.named_by(found, stacks.resource(found)["Properties"]["SecretId"])
        assert found is not None
    for database in stacks.of_type("AWS::RDS::DBInstance"):
        if found[-1] in str(stacks.resource(database)["Properties"]["MasterUsername"]):
            return database
    return _SCHEMA


# --- what a fresh account allows ----------------------------------------------------------------

# "New AWS accounts have reduced concurrency and memory quotas": Lambda's guide, Quotas.
_MOST_MEMORY_MB = 3008
# AWS's Free Plan.
_MOST_BACKUP_DAYS = 1
_FREE_CLASSES = {"db.t3.micro", "db.t4g.micro"}
_FREE_GIB = 20
# Quotas of each region.
_MOST_NETWORKS = 4
_MOST_FUNCTION_TIMEOUT_SECONDS = 900


def fresh_account(stacks: Stacks) -> Iterator[str]:
    for path in stacks.of_type("AWS::Lambda::Function"):
        properties = stacks.properties(path)
        if properties["MemorySize"] > _MOST_MEMORY_MB:
            yield f"{_name(path)}: {properties['MemorySize']} MB are over a new account's limit"
        if properties["Timeout"] > _MOST_FUNCTION_TIMEOUT_SECONDS:
            yield f"{_name(path)}: {properties['Timeout']} s are over Lambda's limit"
        if properties.get("ReservedConcurrentExecutions") is not None:
            yield f"{_name(path)}: a new account has no concurrency to reserve"
    for path in stacks.of_type("AWS::RDS::DBInstance"):
        properties = stacks.properties(path)
        if properties["BackupRetentionPeriod"] > _MOST_BACKUP_DAYS:
            yield f"{_name(path)}: {properties['BackupRetentionPeriod']} days of backups"
        if properties["DBInstanceClass"] not in _FREE_CLASSES:
            yield f"{_name(path)}: {properties['DBInstanceClass']} is not for the Free Plan"
        if int(properties["AllocatedStorage"]) > _FREE_GIB:
            yield f"{_name(path)}: {properties['AllocatedStorage']} GiB are not for the Free Plan"
    zones = {stacks.properties(path)["AvailabilityZone"] for path in stacks.of_type(_SUBNET)}
    if len(zones) > 2:
        yield f"{len(zones)} zones, and some regions have two"
    if len(list(stacks.of_type("AWS::EC2::VPC"))) > _MOST_NETWORKS:
        yield "more networks than a region may have beside its default"


_SUBNET = "AWS::EC2::Subnet"


def can_be_undone(stacks: Stacks) -> Iterator[str]:
    """A first deployment that failed is rolled back, and nothing of it stays in the way."""
    for path in stacks.paths():
        if stacks.resource(path).get("DeletionPolicy") == "Retain":
            yield f"{_name(path)} would stay of a deployment that never was"
        protected = stacks.properties(path).get("DeletionProtection")
        if str(protected).lower() == "true":
            yield f"{_name(path)} refuses to be deleted"


# What EC2 takes in the description of a group or a rule; an apostrophe is not among it.
_DESCRIPTION = re.compile(r"[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{0,255}")


def group_descriptions(stacks: Stacks) -> Iterator[str]:
    for kind in ("SecurityGroup", "SecurityGroupIngress", "SecurityGroupEgress"):
        for path in stacks.of_type(f"AWS::EC2::{kind}"):
            properties = stacks.properties(path)
            rules = [
                *properties.get("SecurityGroupIngress", ()),
                *properties.get("SecurityGroupEgress", ()),
            ]
            described = [properties.get("GroupDescription"), properties.get("Description")]
            for text in (*described, *(rule.get("Description") for rule in rules)):
                if text is not None and not _DESCRIPTION.fullmatch(text):
                    yield f"{_name(path)}: EC2 refuses the description {text!r}"


# --- who reaches whom ---------------------------------------------------------------------------

ANYWHERE = "anywhere"


@dataclass(frozen=True)
class _Rule:
    first_port: int
    last_port: int
    # A group's name, or addresses.
    peer: str

    def admits(self, port: int, peer: str, address: str | None) -> bool:
        if not self.first_port <= port <= self.last_port:
            return False
        if "/" not in self.peer:
            return self.peer in (peer, address)
        if address is None:
            return False
        return ipaddress.ip_address(address) in ipaddress.ip_network(self.peer)


class Reachability:
    """The security groups of the platform: who may open a connection to whom.

    AWS lets a connection through where the groups at both ends do; a group without rules for what
    leaves it lets everything out.
    """

    def __init__(self, stacks: Stacks, network: str = "10.20.1.1") -> None:
        self._address = network
        self._inward: dict[str, list[_Rule]] = {}
        self._outward: dict[str, list[_Rule]] = {}
        for path in stacks.of_type("AWS::EC2::SecurityGroup"):
            properties = stacks.properties(path)
            rules = properties.get("SecurityGroupIngress", [])
            self._inward[path[-1]] = [_rule(rule, "Source") for rule in rules]
            rules = properties.get("SecurityGroupEgress", [{"IpProtocol": "-1", "CidrIp": _ALL}])
            self._outward[path[-1]] = [_rule(rule, "Destination") for rule in rules]
        for kind, table, side in (
            ("AWS::EC2::SecurityGroupIngress", self._inward, "Source"),
            ("AWS::EC2::SecurityGroupEgress", self._outward, "Destination"),
        ):
            for path in stacks.of_type(kind):
                properties = stacks.properties(path)
                table[properties["GroupId"]].append(_rule(properties, side))

    def reaches(self, source: str, port: int, target: str) -> bool:
        """Each is a group, or ANYWHERE, or an address or a prefix list outside of the network."""
        lets_out = source not in self._outward or any(
            rule.admits(port, target, self._address_of(target)) for rule in self._outward[source]
        )
        lets_in = target not in self._inward or any(
            rule.admits(port, source, self._address_of(source)) for rule in self._inward[target]
        )
        return lets_out and lets_in

    def _address_of(self, name: str) -> str | None:
        if name in self._inward:
            return self._address
        return "8.8.8.8" if name == ANYWHERE else name if name[0].isdigit() else None


_ALL = "0.0.0.0/0"


def _rule(rule: Mapping[str, Any], side: str) -> _Rule:
    has_ports = rule["IpProtocol"] == "tcp"
    is_everything = str(rule["IpProtocol"]) == "-1"
    peers = [
        str(rule[key])
        for key in ("CidrIp", f"{side}SecurityGroupId", f"{side}PrefixListId")
        if key in rule
    ]
    assert len(peers) == 1, rule
    if has_ports:
        return _Rule(int(rule["FromPort"]), int(rule["ToPort"]), peers[0])
    # Of another protocol: no port is open.
    return _Rule(0, 65535, peers[0]) if is_everything else _Rule(1, 0, peers[0])


# --- what the endpoints let through -------------------------------------------------------------


def endpoints(stacks: Stacks) -> Iterator[str]:
    """Each names what it is for: with anybody's keys, nothing leaves the account."""
    for path in stacks.of_type("AWS::EC2::VPCEndpoint"):
        policy = stacks.properties(path).get("PolicyDocument")
        if policy is None:
            yield f"{_name(path)} has no policy"
            continue
        for statement in policy["Statement"]:
            for action in as_list(statement["Action"]):
                if "*" in action:
                    yield f"{_name(path)} lets through {action}"
            for resource in as_list(statement["Resource"]):
                if not _is_of_this_account(resource):
                    yield f"{_name(path)} leads to {resource}"


def _is_of_this_account(resource: str) -> bool:
    bucket = resource.partition(":::")[2].partition("/")[0]
    if bucket:
        # The images', and the one in which CloudFormation waits for answers.
        return bucket in ("ImagesBucket", "cloudformation-custom-resource-response-AWS::Region")
    return ":AWS::AccountId:" in resource


def _name(path: Path) -> str:
    return "/".join(path)
