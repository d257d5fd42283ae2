"""What a change of parameters does to stacks that are there, and what brings deleted ones back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, permutations
from typing import Any

import pytest

from tests.template import aws_schemas
from tests.template import stacks as all_stacks
from tests.template.document import ROOT, read
from tests.template.stacks import Path, Stacks, parameter_sets

DOCUMENT = ROOT / "docs" / "aws.md"
SIZES = ("small", "medium", "large")
DATABASE = ("PlatformStack", "Database")
BROKER = ("PlatformStack", "Broker")
BUCKET = ("ImagesBucket",)


def of(name: str = "default", **parameters: str) -> Stacks:
    return Stacks(all_stacks.documents(), {**parameter_sets()[name], **parameters})


def replaced(before: Stacks, after: Stacks) -> Iterator[Path]:
    """What CloudFormation makes anew, because of a property that nobody can change."""
    for path in set(before.paths()) & set(after.paths()):
        kind = after.resource(path)["Type"]
        if kind.startswith("Custom::"):
            continue
        old, new = before.properties(path), after.properties(path)
        if any(old.get(name) != new.get(name) for name in aws_schemas.replaced_by(kind)):
            yield path


# --- another size -------------------------------------------------------------------------------


@pytest.mark.parametrize(("old", "new"), [*permutations(SIZES, 2)])
def test_another_size_takes_no_storage_back_and_replaces_no_more_than_the_broker(
    old: str, new: str
) -> None:
    """RDS refuses to lower it: a deployment from medium to small failed."""
    before, after = of(PlatformSize=old), of(PlatformSize=new)

    storage = [int(each.properties(DATABASE)["AllocatedStorage"]) for each in (before, after)]
    assert storage[0] <= storage[1]
    is_another_broker = "small" in (old, new)
    assert set(replaced(before, after)) == ({BROKER} if is_another_broker else set())
    # With its dead letters, which somebody has to look at.
    assert before.resource(BROKER)["UpdateReplacePolicy"] == "Retain"


def test_storage_that_was_chosen_is_that_of_every_size() -> None:
    for size in SIZES:
        database = of(PlatformSize=size, DatabaseStorageGiB="300").properties(DATABASE)
        assert database["AllocatedStorage"] == "300"
        assert int(database["MaxAllocatedStorage"]) >= 1000


def otherwise(parameter: dict[str, Any]) -> str:
    """A value that is not the default."""
    if "AllowedValues" in parameter:
        allowed = map(str, parameter["AllowedValues"])
        return next(value for value in allowed if value != str(parameter["Default"]))
    return str(parameter["Default"] + 1) if parameter["Type"] == "Number" else "another"


# They name another database, or say where it begins; the templates say so.
OF_ANOTHER_DATABASE = {"Platform", "DatabaseSnapshotIdentifier"}


def test_no_parameter_replaces_what_holds_data() -> None:
    before = of()
    holds_data = {DATABASE, BUCKET}
    found = set()
    for name, parameter in read(ROOT / "template.yaml")["Parameters"].items():
        after = of(**{name: otherwise(parameter)})
        if not holds_data <= set(after.paths()) or holds_data & set(replaced(before, after)):
            found.add(name)
    assert found == OF_ANOTHER_DATABASE


# They are chosen before the first deployment and never again; the templates say so.
OF_ANOTHER_PLACE = {"ZoneA", "ZoneB"}
# SAM names a layer by what is in it: with other contents it is another one.
LAYER = "AWS::Lambda::LayerVersion"
THERE_BEFORE = {
    "DomainName": "example.com",
    "CertificateArn": "arn:aws:acm:::certificate/1",
    "HostedZoneId": "Z1",
    "AlarmEmail": "one@example.com",
    "MonthlyBudget": "5",
}


def test_each_parameter_that_makes_a_part_anew_is_named_with_the_option_that_it_needs() -> None:
    """CloudFormation refuses to, where a failed deployment is not rolled back, as by default."""
    assert all_stacks.deploy_settings("default")["disable_rollback"] is True
    before = of(**THERE_BEFORE)
    needing = set()
    for name, parameter in read(ROOT / "template.yaml")["Parameters"].items():
        after = of(**{**THERE_BEFORE, name: otherwise(parameter)})
        anew = [before.resource(path)["Type"] for path in replaced(before, after)]
        if any(kind != LAYER for kind in anew):
            needing.add(name)
    (said,) = re.findall(
        r"deployed with\n`--no-disable-rollback`:\n(.*?)\n\n(?!- )",
        DOCUMENT.read_text(encoding="utf-8"),
        re.DOTALL,
    )
    named = set(re.findall(r"`([A-Z]\w+)`", said))
    assert named == needing - OF_ANOTHER_DATABASE - OF_ANOTHER_PLACE


# --- coming back from what a deletion keeps -----------------------------------------------------


def test_a_database_begins_from_a_snapshot_with_what_rds_takes_for_one() -> None:
    plain = of().properties(DATABASE)
    restored = of(DatabaseSnapshotIdentifier="the-last-one").properties(DATABASE)

    assert restored["DBSnapshotIdentifier"] == "the-last-one"
    assert "DBSnapshotIdentifier" not in plain
    assert plain["StorageEncrypted"] is True
    # A snapshot brings them: "don't specify this property".
    assert plain.keys() - restored.keys() == {"DBName", "MasterUsername", "StorageEncrypted"}
    # The new stack's secret has another password than the old one's, for the same owner.
    owner = all_stacks.documents()["infra/platform.yaml"]["Resources"]["DatabaseAdminSecret"]
    assert '"images_admin"' in owner["Properties"]["GenerateSecretString"]["SecretStringTemplate"]
    assert "DatabaseAdminSecret" in restored["MasterUserPassword"]
    assert restored["MasterUserPassword"] == plain["MasterUserPassword"]


def test_a_deletion_keeps_what_can_come_back_and_nothing_else() -> None:
    """The emulator, into which tests deploy, deletes whatever the template says."""
    stacks = of("prod")
    kept = {
        "/".join(path): policy
        for path in stacks.paths()
        if (policy := stacks.resource(path).get("DeletionPolicy", "Delete")) != "Delete"
    }
    platform = "PlatformStack/"
    assert kept == {
        "ImagesBucket": "RetainExceptOnCreate",
        f"{platform}Database": "Snapshot",
        f"{platform}DatabaseAdminSecret": "RetainExceptOnCreate",
        f"{platform}GatewayLogsRole": "RetainExceptOnCreate",
        f"{platform}GatewayAccount": "RetainExceptOnCreate",
    }


def test_the_bucket_that_is_imported_is_the_templates_own() -> None:
    imported = read(ROOT / "infra" / "restore" / "bucket.yaml")
    ((name, resource),) = imported["Resources"].items()
    ours = all_stacks.documents()[""]["Resources"][name]

    assert (name,) == BUCKET
    assert resource["Type"] == ours["Type"] == "AWS::S3::Bucket"
    # An import takes nothing without one, and brings no output, no parameter and no macro with it.
    assert resource["DeletionPolicy"] == "Retain"
    assert imported.keys() == {"AWSTemplateFormatVersion", "Description", "Resources"}
    # The next deployment changes it, and makes no other: it is in every deployment, under no
    # name that one of the two says.
    assert "Condition" not in ours
    fixed = aws_schemas.replaced_by("AWS::S3::Bucket")
    assert not fixed & (resource.get("Properties", {}).keys() | ours["Properties"].keys())


# --- another key for CloudFront -----------------------------------------------------------------

_DEPLOYED_WITH = re.compile(r"sam deploy --parameter-overrides '?\"?((?:[^\n]*\\\n)*[^\n]*)")
_GIVEN = re.compile(r"(ImagesCdn\w+)=(\"\"|[^\s\"']+)")


def rotation() -> list[dict[str, str]]:
    """The parameters of each deployment with which docs/aws.md has the key changed."""
    text = DOCUMENT.read_text(encoding="utf-8")
    (section,) = re.findall(r"^### Another key\n(.*?)^##", text, re.MULTILINE | re.DOTALL)
    return [
        {name: "" if value == '""' else value for name, value in _GIVEN.findall(command)}
        for command in _DEPLOYED_WITH.findall(section)
    ]


@dataclass(frozen=True)
class Signing:
    """With which key a function signs, which secrets it may read, which keys CloudFront takes."""

    secret: str
    key: str
    readable: frozenset[str]
    taken: frozenset[str]


def signing(stacks: Stacks) -> dict[Path, Signing]:
    cdn = stacks.stacks[("CdnStack",)]
    # By what they are, not by their place: another key in the same place is another one.
    keys = {
        path[-1]: stacks.properties(path)["PublicKeyConfig"]["EncodedKey"]
        for path in stacks.of_type("AWS::CloudFront::PublicKey")
    }
    in_use = cdn.resolver.resolve(cdn.document["Outputs"]["KeyId"]["Value"])
    taken = stacks.properties(("CdnStack", "Keys"))["KeyGroupConfig"]["Items"]
    found = {}
    for path in stacks.of_type("AWS::Lambda::Function"):
        readable = frozenset(_cdn_secrets(stacks, (f"{path[-1]}Role",)))
        if readable:
            variables = stacks.properties(path)["Environment"]["Variables"]
            assert variables["IMAGES_CDN_KEY_ID"] == "CdnStack.Outputs.KeyId"
            secret = variables["IMAGES_CDN_SECRET_ARN"]
            found[path] = Signing(
                secret, keys[in_use], readable, frozenset(keys[name] for name in taken)
            )
    return found


def refused(parameters: dict[str, str]) -> list[str]:
    """What CloudFormation says to such parameters, by the template's rules."""

    def holds(rule: Any) -> bool:
        ((function, given),) = rule.items()
        if function == "Fn::Not":
            return not holds(given[0])
        if function in ("Fn::And", "Fn::Or"):
            return (all if function == "Fn::And" else any)(holds(each) for each in given)
        value, wanted = parameters.get(given[0]["Ref"], ""), given[1]
        assert function in ("Fn::Equals", "Fn::EachMemberEquals")
        return all(each == wanted for each in value.split(","))

    return [
        assertion["AssertDescription"]
        for rule in read(ROOT / "template.yaml")["Rules"].values()
        if "RuleCondition" not in rule or holds(rule["RuleCondition"])
        for assertion in rule["Assertions"]
        if not holds(assertion["Assert"])
    ]


def _cdn_secrets(stacks: Stacks, role: Path) -> Iterator[str]:
    for policy in stacks.properties(role).get("Policies", []):
        for statement in policy["PolicyDocument"]["Statement"]:
            # All others are outputs of the platform.
            if (
                statement["Action"] == ["secretsmanager:GetSecretValue"]
                and "Outputs" not in statement["Resource"]
            ):
                yield statement["Resource"]


def test_every_moment_of_a_change_of_cloudfronts_key_has_a_key_that_works() -> None:
    """Roles change before functions do, rights count seconds later, CloudFront hears of keys within
    minutes, and URLs are good for an hour.
    """
    given = {
        "ImagesCdnSecretArn": "given-cdn-secret",
        "ImagesCdnPublicKey": "old,key",
        "ImagesCdnKeyInUse": "first",
    }
    steps = [of("chosen", **given)]
    for step in rotation():
        given |= step
        steps.append(of("chosen", **given))
        assert not [why for why in refused(given) if "ImagesCdn" in why]
    assert len(steps) == 4

    for before, after in pairwise(steps):
        was, will_be = signing(before), signing(after)
        assert was.keys() == will_be.keys()
        assert {path[-1] for path in was} >= {"GetFunction", "ListFunction"}
        for path, now in was.items():
            then = will_be[path]
            assert {now.secret, then.secret} <= now.readable & then.readable, path
            assert {now.key, then.key} <= now.taken & then.taken, path

    first, last = (next(iter(signing(each).values())) for each in (steps[0], steps[-1]))
    assert first.secret not in last.readable
    assert first.key not in last.taken
    assert (first.secret, last.secret) == ("given-cdn-secret", given["ImagesCdnSecondSecretArn"])
    assert len(last.taken) == 1


@pytest.mark.parametrize(
    "given",
    [
        {"ImagesCdnSecretArn": "first"},
        {"ImagesCdnSecretArn": "first", "ImagesCdnSecondPublicKey": "second,key"},
        {"ImagesCdnSecretArn": "first", "ImagesCdnPublicKey": "a,b", "ImagesCdnKeyInUse": "second"},
        {"ImagesCdnSecondSecretArn": "second", "ImagesCdnSecondPublicKey": "a,b"},
    ],
)
def test_a_key_in_use_that_is_not_there_is_refused_at_once(given: dict[str, str]) -> None:
    assert [why for why in refused({"ImagesCdnKeyInUse": "first", **given}) if "ImagesCdn" in why]
