"""The first deployment on a fresh account, and what is reachable then, as far as templates say."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.template import deployment_checks as checks
from tests.template import expansion
from tests.template import stacks as all_stacks
from tests.template.deployment_checks import ANYWHERE, Reachability
from tests.template.document import ROOT, Deployment, read
from tests.template.stacks import Document, Stacks, parameter_sets

Check = Callable[[Stacks], Iterator[str]]
CREATED = [name for name in parameter_sets() if name != "existing"]


def of(name: str, **parameters: str) -> Stacks:
    return Stacks(all_stacks.documents(), {**parameter_sets()[name], **parameters})


@pytest.fixture
def changed() -> dict[str, Document]:
    """Copies of the templates, to be spoilt."""
    return copy.deepcopy(all_stacks.documents())


def faults(check: Check, documents: dict[str, Document], name: str = "default") -> list[str]:
    return list(check(Stacks(documents, parameter_sets()[name])))


def platform(documents: dict[str, Document], resource: str) -> Any:
    return documents["infra/platform.yaml"]["Resources"][resource]["Properties"]


# --- as they are --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", parameter_sets())
def test_everything_is_made_after_what_it_needs(name: str) -> None:
    assert list(checks.order(of(name))) == []


@pytest.mark.parametrize("name", parameter_sets())
def test_ec2_takes_the_words_of_every_rule(name: str) -> None:
    assert list(checks.group_descriptions(of(name))) == []


def test_an_apostrophe_in_a_rule_is_found(changed: dict[str, Document]) -> None:
    egress = platform(changed, "FunctionSecurityGroup")["SecurityGroupEgress"]
    egress[0]["Description"] = "The broker's port"
    (fault,) = faults(checks.group_descriptions, changed)
    assert "The broker's port" in fault


@pytest.mark.parametrize("name", ["default", "dev"])
@pytest.mark.parametrize("check", [checks.fresh_account, checks.can_be_undone])
def test_a_fresh_account_takes_the_first_deployment(check: Check, name: str) -> None:
    assert list(check(of(name))) == []


def test_the_quick_start_asks_nothing_and_goes_on_where_it_failed() -> None:
    settings = all_stacks.deploy_settings("default")
    assert settings["confirm_changeset"] is False
    assert settings["disable_rollback"] is True
    assert settings["resolve_s3"] is True
    # A second try that finds nothing to do is no failure.
    assert settings["fail_on_empty_changeset"] is False


def test_every_environment_names_the_capabilities_of_nested_stacks_with_roles() -> None:
    for environment in ("default", "dev", "prod"):
        capabilities = all_stacks.deploy_settings(environment)["capabilities"]
        assert capabilities.split() == ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]


def test_production_is_protected_and_rolled_back() -> None:
    database = of("prod").properties(("PlatformStack", "Database"))
    assert database["DeletionProtection"] == "true"
    assert database["BackupRetentionPeriod"] == 14
    assert "disable_rollback" not in all_stacks.deploy_settings("prod")


def test_the_proxy_knows_nobody_who_may_change_the_schema() -> None:
    stacks = of("default")
    proxy = ("ProxyStack", "Proxy")
    secrets = [
        stacks.named_by(proxy, entry["SecretArn"])
        for entry in stacks.resource(proxy)["Properties"]["Auth"]
    ]
    named = {str(secret and secret[-1]) for secret in secrets}
    assert named == {
        f"{role}DatabaseSecretAttachment"
        for role in ("Accounts", "Images", "Processing", "Operations", "Support")
    }


@pytest.mark.parametrize(
    ("given", "zones"),
    [
        ({}, {"AWS::Regiona", "AWS::Regionb", "AWS::Regionc"}),
        ({"ZoneA": "d", "ZoneB": "e", "ZoneC": "f"}, {"d", "e", "f"}),
        ({"ZoneC": "none"}, {"AWS::Regiona", "AWS::Regionb"}),
    ],
)
def test_zones_can_be_chosen(given: dict[str, str], zones: set[str]) -> None:
    stacks = of("prod", **given)
    subnets = list(stacks.of_type("AWS::EC2::Subnet"))
    assert {stacks.properties(path)["AvailabilityZone"] for path in subnets} == zones
    broker = stacks.properties(("PlatformStack", "Broker"))
    assert len(broker["SubnetIds"]) == len(zones)


def test_a_larger_cluster_is_the_same_broker() -> None:
    named = {
        name: of(name).properties(("PlatformStack", "Broker"))["BrokerName"] for name in CREATED
    }
    assert named["prod"] == named["large"] != named["default"] == named["dev"]


def test_the_processor_is_one_of_all_functions_and_their_layers() -> None:
    for name in CREATED:
        stacks = of(name)
        wanted = "arm64" if name == "chosen" else "x86_64"
        for kind, key in (
            ("AWS::Lambda::Function", "Architectures"),
            ("AWS::Lambda::LayerVersion", "CompatibleArchitectures"),
        ):
            found = {tuple(stacks.properties(path)[key]) for path in stacks.of_type(kind)}
            assert found == {(wanted,)}, (name, kind)


def test_whoever_waits_at_the_gateway_with_a_connection_to_the_broker_can_be_bounded() -> None:
    """Amazon MQ takes a fixed number of connections, and each environment holds one."""
    rights = expansion.present()["rights"]
    connecting = {
        role.removesuffix("Role")
        for right, roles in rights.items()
        if "BrokerSecretArn" in right and "GetSecret" in right
        for role in roles
    }
    behind_the_gateway = {
        function.logical_id
        for function in Deployment(read(ROOT / "template.yaml"), {}).functions
        if any(event["Type"] == "Api" for event in function.properties.get("Events", {}).values())
    }
    bounded = {
        path[-1]: of("chosen").properties(path)["ReservedConcurrentExecutions"]
        for path in of("chosen").of_type("AWS::Lambda::Function")
        if "ReservedConcurrentExecutions" in of("chosen").properties(path)
    }
    assert bounded == dict.fromkeys(connecting & behind_the_gateway, "20")


def metrics_of(stacks: Stacks) -> set[str]:
    """Those of ImageApi that an alarm or the dashboard reads."""
    alarms = {
        stacks.properties(path)["MetricName"]
        for path in stacks.of_type("AWS::CloudWatch::Alarm")
        if stacks.properties(path).get("Namespace") == "ImageApi"
    }
    (dashboard,) = stacks.of_type("AWS::CloudWatch::Dashboard")
    body = stacks.properties(dashboard)["DashboardBody"]
    shown = [
        line
        for widget in json.loads(body)["widgets"]
        for line in widget["properties"].get("metrics", [])
    ]
    is_ours = False
    for line in shown:
        is_ours = line[0] == "ImageApi" or (line[0] in (".", "...") and is_ours)
        if is_ours and line[0] != "...":
            alarms.add(line[1])
    by_dimension = {"outcome": "Outcomes", "cause": "Failures"}
    return alarms | {
        name
        for dimension, name in by_dimension.items()
        if f"{{ImageApi,{dimension},service}}" in body
    }


def test_every_metric_that_is_written_is_read() -> None:
    """Each costs 0.30 dollars a month."""
    source = (ROOT / "layers/common/image_api/core/metrics.py").read_text(encoding="utf-8")
    written = set(re.findall(r'"([A-Z][a-z]+(?:[A-Z][a-z]+)*)":', source))
    # Others write one themselves.
    for path in (ROOT / "layers/common/image_api").rglob("*.py"):
        for found in re.findall(r"write_metrics\(([^)]*)\)", path.read_text(encoding="utf-8")):
            written |= set(re.findall(r'"([A-Z]\w+)":', found))
    assert {"OldestWorkAge", "JanitorStopped"} <= written
    assert metrics_of(of("default")) == written


def test_the_dashboard_shows_every_alarm_of_every_deployment() -> None:
    stacks = of("existing")
    (dashboard,) = stacks.of_type("AWS::CloudWatch::Dashboard")
    shown = json.loads(stacks.properties(dashboard)["DashboardBody"])["widgets"][0]["properties"]
    alarms = {path[-1] for path in stacks.of_type("AWS::CloudWatch::Alarm")}
    assert {arn.removesuffix(".Arn") for arn in shown["alarms"]} == alarms


def test_cloudfront_gets_a_public_key_as_it_was() -> None:
    """Its lines with commas between them, since a parameter of `sam deploy` is one word."""
    public = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    text = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    lines = ",".join(text.splitlines()[1:-1])
    for place in ({"ImagesCdnPublicKey": lines}, {"ImagesCdnSecondPublicKey": lines}):
        stacks = of("chosen", **{"ImagesCdnPublicKey": "", **place})
        (key,) = stacks.of_type("AWS::CloudFront::PublicKey")
        assert stacks.properties(key)["PublicKeyConfig"]["EncodedKey"] == text
    both = of("chosen", ImagesCdnSecondPublicKey=lines, ImagesCdnKeyInUse="second")
    keys = both.properties(("CdnStack", "Keys"))["KeyGroupConfig"]["Items"]
    assert keys == ["FirstKey", "SecondKey"]


def test_nobody_but_cloudfront_reads_the_bucket_without_a_right_of_an_account() -> None:
    for name in parameter_sets():
        policy = of(name).properties(("ImagesBucketPolicy",))["PolicyDocument"]["Statement"]
        allowed = [statement for statement in policy if statement["Effect"] == "Allow"]
        assert len(allowed) == (name == "chosen")
        for statement in allowed:
            assert statement["Principal"] == {"Service": "cloudfront.amazonaws.com"}
            assert statement["Action"] == "s3:GetObject"
            # Not what is on its way in.
            assert statement["Resource"] == "ImagesBucket.Arn/storage/*"
            assert statement["Condition"] == {
                "StringEquals": {"AWS:SourceArn": "CdnStack.Outputs.DistributionArn"}
            }


def test_cloudfront_asks_everybody_for_a_signature_and_reads_with_its_own() -> None:
    stacks = of("chosen")
    distribution = stacks.properties(("CdnStack", "Distribution"))["DistributionConfig"]
    behaviour = distribution["DefaultCacheBehavior"]
    assert behaviour["TrustedKeyGroups"] == ["Keys"]
    assert behaviour["ViewerProtocolPolicy"] == "https-only"
    assert behaviour["AllowedMethods"] == ["GET", "HEAD"]
    # Another one would have rules of its own.
    assert "CacheBehaviors" not in distribution
    (origin,) = distribution["Origins"]
    assert origin["OriginAccessControlId"] == "Access.Id"
    access = stacks.properties(("CdnStack", "Access"))["OriginAccessControlConfig"]
    assert (access["SigningBehavior"], access["SigningProtocol"]) == ("always", "sigv4")


def test_cloudfront_forgets_within_a_quarter_of_an_hour_and_mixes_up_no_downloads() -> None:
    policy = of("chosen").properties(("CdnStack", "Caching"))["CachePolicyConfig"]
    assert policy["MaxTTL"] == policy["DefaultTTL"] == policy["MinTTL"] == 900
    key = policy["ParametersInCacheKeyAndForwardedToOrigin"]
    assert key["QueryStringsConfig"]["QueryStrings"] == ["response-content-disposition"]
    assert key["CookiesConfig"]["CookieBehavior"] == "none"
    assert key["HeadersConfig"]["HeaderBehavior"] == "none"


def test_the_firewall_stands_before_the_api_and_lets_in_whom_no_rule_refuses() -> None:
    stacks = of("chosen")
    association = stacks.properties(("EntranceStack", "FirewallOfStage"))
    assert association["WebACLArn"] == "Firewall.Arn"
    assert association["ResourceArn"].endswith("/restapis/Api/stages/Apiv1Stage")
    firewall = stacks.properties(("EntranceStack", "Firewall"))
    assert firewall["Scope"] == "REGIONAL"
    assert firewall["DefaultAction"] == {"Allow": {}}
    groups = [rule for rule in firewall["Rules"] if "OverrideAction" in rule]
    # AWS's own rules do what they say, and are not only counted.
    assert [rule["OverrideAction"] for rule in groups] == [{"None": {}}] * 2


def test_the_firewall_lets_pictures_through_and_bounds_each_address() -> None:
    rules = of("chosen").properties(("EntranceStack", "Firewall"))["Rules"]
    by_name = {rule["Name"]: rule for rule in rules}
    rate = by_name["one-address-does-not-starve-all"]
    assert int(rate["Statement"]["RateBasedStatement"]["Limit"]) > 0
    assert rate["Statement"]["RateBasedStatement"]["AggregateKeyType"] == "IP"
    answer = rate["Action"]["Block"]["CustomResponse"]
    assert answer["ResponseCode"] == 429
    group = by_name["common"]["Statement"]["ManagedRuleGroupStatement"]
    counted = {
        override["Name"]
        for override in group["RuleActionOverrides"]
        if override["ActionToUse"] == {"Count": {}}
    }
    # AWS's own list of those of this group that look at bodies.
    assert counted >= {
        *("SizeRestrictions_BODY", "CrossSiteScripting_BODY", "GenericLFI_BODY"),
        *("GenericRFI_BODY", "EC2MetaDataSSRF_BODY"),
    }


GROUPS = {
    "functions": "FunctionSecurityGroup",
    "proxy": "ProxySecurityGroup",
    "database": "DatabaseSecurityGroup",
    "broker": "BrokerSecurityGroup",
    # It is given the broker's group.
    "poller": "BrokerSecurityGroup",
    "endpoints": "EndpointSecurityGroup",
    "renderer": "RendererSecurityGroup",
    "anywhere": ANYWHERE,
    "S3": "pl-s3",
}
PORTS = (22, 80, 443, 5432, 5671, 15671)
WANTED = {
    ("functions", 5432, "proxy"),
    ("functions", 5432, "database"),
    ("functions", 5671, "broker"),
    ("functions", 5671, "poller"),
    # Where the migration makes the broker's users.
    ("functions", 443, "broker"),
    ("functions", 443, "poller"),
    ("functions", 443, "endpoints"),
    ("functions", 443, "S3"),
    ("proxy", 5432, "database"),
    ("proxy", 443, "endpoints"),
    ("poller", 5671, "broker"),
    ("poller", 443, "endpoints"),
    ("renderer", 443, "S3"),
}
# The same group, seen from its other side.
SAME = {("broker", 5671, "broker"), ("broker", 5671, "poller"), ("poller", 5671, "poller")} | {
    ("broker", 443, "endpoints")
}


def reached(stacks: Stacks) -> set[tuple[str, int, str]]:
    model = Reachability(stacks)
    return {
        (source, port, target)
        for source in GROUPS
        for port in PORTS
        for target in GROUPS
        if {source, target} - {"anywhere", "S3"}
        and model.reaches(GROUPS[source], port, GROUPS[target])
    }


@pytest.mark.parametrize("name", CREATED)
def test_the_groups_let_through_what_is_needed_and_nothing_else(name: str) -> None:
    assert reached(of(name, S3PrefixListId="pl-s3")) == WANTED | SAME


def test_without_the_list_of_s3s_addresses_the_routes_are_what_limits_port_443() -> None:
    stacks = of("default")
    assert reached(stacks) - WANTED - SAME == {
        ("functions", 443, "anywhere"),
        ("renderer", 443, "anywhere"),
    }
    # No gateway, no peering: a network without a way out.
    kinds = {stacks.resource(path)["Type"] for path in stacks.paths()}
    ways_out = ("InternetGateway", "NatGateway", "Peering", "TransitGateway", "EIP", "Route")
    assert not {kind for kind in kinds for way in ways_out if kind == f"AWS::EC2::{way}"}


@pytest.mark.parametrize("name", CREATED)
def test_the_endpoints_lead_to_this_account_alone(name: str) -> None:
    assert list(checks.endpoints(of(name))) == []


def test_the_stacks_are_what_was_agreed_for_each_set_of_parameters() -> None:
    assert all_stacks.facts() == all_stacks.golden(), "if that is meant, take it: make expansion"


# --- the checks find what is wrong --------------------------------------------------------------


def test_a_proxy_that_waits_for_a_role_of_the_migration_that_waits_for_it_is_found(
    changed: dict[str, Document],
) -> None:
    """CloudFormation gave up after 20 minutes of waiting for the proxy to log in."""
    proxy = changed["infra/proxy.yaml"]["Resources"]
    changed["infra/platform.yaml"]["Resources"] |= {
        name: {**copy.deepcopy(resource), "Condition": "Creates"}
        for name, resource in proxy.items()
    }
    platform(changed, "ProxyTarget")["DBInstanceIdentifiers"] = [{"Ref": "Database"}]
    proxy_itself = platform(changed, "Proxy")
    proxy_itself["Auth"] = [{"SecretArn": {"Ref": "ImagesDatabaseSecretAttachment"}}]

    why = "its role is not in the database"
    assert faults(checks.order, changed) == [
        f"PlatformStack/ProxyTarget is made before DatabaseSchema: {why}"
    ]

    # The owner is there with the database, and then the proxy works at once.
    proxy_itself["Auth"] = [{"SecretArn": {"Ref": "DatabaseAdminSecret"}}]
    assert faults(checks.order, changed) == []


def test_a_proxy_that_does_not_wait_for_the_migration_is_found(
    changed: dict[str, Document],
) -> None:
    del changed[""]["Resources"]["ProxyStack"]["DependsOn"]

    assert set(faults(checks.order, changed)) == {
        "ProxyStack/ProxyTarget is made before DatabaseSchema: its role is not in the database"
    }


def test_a_migration_that_goes_by_way_of_the_proxy_is_found(changed: dict[str, Document]) -> None:
    function = changed[""]["Resources"]["MigrateFunction"]["Properties"]
    variables = function["Environment"]["Variables"]
    variables["DATABASE_HOST"] = {"Fn::GetAtt": ["ProxyStack", "Outputs.DatabaseHost"]}

    assert "ProxyStack waits for itself" in faults(checks.order, changed)


def test_functions_and_a_trigger_that_do_not_wait_for_the_schema_are_found(
    changed: dict[str, Document],
) -> None:
    resources = changed[""]["Resources"]
    functions = {
        name for name, made in resources.items() if made["Type"] == "AWS::Lambda::Function"
    } - {"MigrateFunction"}
    assert len(functions) > 20
    # One waits for others, by what it is told of them: so all at once.
    for name in (*functions, "ConsumerFunctionQueue"):
        resources[name].pop("DependsOn", None)

    why = "it would be new although the migration failed", "its queue is not declared"
    # Where there is a proxy, whoever uses it waits for the migration anyway.
    found = [fault for fault in faults(checks.order, changed, "existing") if fault.endswith(why)]
    assert {fault.partition(" ")[0] for fault in found} == functions | {"ConsumerFunctionQueue"}


def test_a_trigger_that_is_deleted_after_the_role_that_cleans_up_behind_it_is_found(
    changed: dict[str, Document],
) -> None:
    del changed[""]["Resources"]["PollerInterfaces"]["DependsOn"]
    changed[""]["Resources"]["ConsumerFunction"]["DependsOn"] = "DatabaseSchema"

    assert faults(checks.order, changed) == [
        "ConsumerFunctionQueue is made before PollerInterfaces: "
        "nothing waits on deletion for its network interfaces",
        "PollerInterfaces is made before ConsumerFunctionRole: "
        "the role that removes the interfaces goes first",
    ]


@pytest.mark.parametrize(
    ("resource", "name", "value", "found"),
    [
        ("RendererFunction", "MemorySize", 3538, "3538 MB are over a new account's limit"),
        ("GetFunction", "ReservedConcurrentExecutions", 1, "no concurrency to reserve"),
        ("Database", "BackupRetentionPeriod", 7, "7 days of backups"),
        ("Database", "DBInstanceClass", "db.t4g.medium", "is not for the Free Plan"),
    ],
)
def test_what_a_fresh_account_does_not_allow_is_found(
    changed: dict[str, Document], resource: str, name: str, value: object, found: str
) -> None:
    owner = changed[""] if resource.endswith("Function") else changed["infra/platform.yaml"]
    owner["Resources"][resource]["Properties"][name] = value

    (fault,) = faults(checks.fresh_account, changed)
    assert found in fault


def test_what_jams_a_roll_back_is_found(changed: dict[str, Document]) -> None:
    changed[""]["Resources"]["ImagesBucket"]["DeletionPolicy"] = "Retain"
    platform(changed, "Database")["DeletionProtection"] = True

    assert faults(checks.can_be_undone, changed) == [
        "ImagesBucket would stay of a deployment that never was",
        "PlatformStack/Database refuses to be deleted",
    ]


@pytest.mark.parametrize(
    ("group", "side", "rule", "found"),
    [
        (
            "BrokerSecurityGroup",
            "SecurityGroupEgress",
            {"IpProtocol": "-1", "CidrIp": "0.0.0.0/0"},
            ("broker", 443, "anywhere"),
        ),
        (
            "DatabaseSecurityGroup",
            "SecurityGroupIngress",
            {"IpProtocol": "tcp", "FromPort": 0, "ToPort": 65535, "CidrIp": "0.0.0.0/0"},
            ("anywhere", 5432, "database"),
        ),
    ],
)
def test_an_open_group_is_found(
    changed: dict[str, Document],
    group: str,
    side: str,
    rule: dict[str, object],
    found: tuple[str, int, str],
) -> None:
    platform(changed, group)[side].append(rule)

    parameters = {**parameter_sets()["default"], "S3PrefixListId": "pl-s3"}
    assert found in reached(Stacks(changed, parameters)) - WANTED - SAME


def test_a_rule_that_is_missing_is_found(changed: dict[str, Document]) -> None:
    del changed["infra/platform.yaml"]["Resources"]["PollerToBroker"]

    parameters = {**parameter_sets()["default"], "S3PrefixListId": "pl-s3"}
    missing = WANTED - reached(Stacks(changed, parameters))
    assert missing == {("poller", 5671, "broker")}


def test_an_endpoint_that_leads_to_others_is_found(changed: dict[str, Document]) -> None:
    del platform(changed, "LambdaEndpoint")["PolicyDocument"]
    statement = platform(changed, "S3Endpoint")["PolicyDocument"]["Statement"][0]
    statement |= {"Action": "s3:*", "Resource": "arn:aws:s3:::*"}

    assert faults(checks.endpoints, changed) == [
        "PlatformStack/S3Endpoint lets through s3:*",
        "PlatformStack/S3Endpoint leads to arn:aws:s3:::*",
        "PlatformStack/LambdaEndpoint has no policy",
    ]
