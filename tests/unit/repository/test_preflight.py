"""What make aws-preflight asks, and what it says of the answers.

Questions and answers are checked against botocore's descriptions of AWS's services.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError
from botocore.model import ServiceModel
from botocore.session import get_session
from botocore.validate import validate_parameters

from infra.tools import preflight
from infra.tools.preflight import Finding, examine

REGION = "us-east-1"
ZONES = ["us-east-1a", "us-east-1b", "us-east-1c"]
Answers = Mapping[tuple[str, str], Any]


def endpoint(name: str, zones: list[str], kind: str = "Interface") -> dict[str, Any]:
    return {
        "ServiceName": f"com.amazonaws.{REGION}.{name}",
        "ServiceType": [{"ServiceType": kind}],
        "AvailabilityZones": zones,
    }


def answers(
    *,
    plan: str = "PAID",
    at_once: int = 1000,
    lambda_zones: list[str] = ZONES,
    broker_zones: list[str] = ZONES,
    database_zones: list[str] = ZONES,
    versions: tuple[str, ...] = ("3.13", "4.2"),
    networks: int = 1,
) -> dict[tuple[str, str], Any]:
    return {
        ("freetier", "get_account_plan_state"): {
            "accountId": "000000000000",
            "accountPlanType": plan,
            "accountPlanStatus": "ACTIVE",
        },
        ("lambda", "get_account_settings"): {"AccountLimit": {"ConcurrentExecutions": at_once}},
        ("ec2", "describe_availability_zones"): {
            "AvailabilityZones": [
                *({"ZoneName": zone, "State": "available"} for zone in ZONES),
                {"ZoneName": "us-east-1-chi-1a", "State": "available", "ZoneType": "local-zone"},
            ]
        },
        ("ec2", "describe_vpc_endpoint_services"): {
            "ServiceDetails": [
                endpoint("lambda", lambda_zones),
                endpoint("secretsmanager", ZONES),
                endpoint("sts", ZONES),
            ]
        },
        ("rds", "describe_orderable_db_instance_options"): {
            "OrderableDBInstanceOptions": [
                {"AvailabilityZones": [{"Name": zone} for zone in database_zones]}
            ]
        },
        ("mq", "describe_broker_instance_options"): {
            "BrokerInstanceOptions": [
                {
                    "AvailabilityZones": [{"Name": zone} for zone in broker_zones],
                    "SupportedEngineVersions": list(versions),
                }
            ]
        },
        ("ec2", "describe_vpcs"): {"Vpcs": [{"VpcId": f"vpc-{n}"} for n in range(networks)]},
        ("service-quotas", "get_service_quota"): {"Quota": {"Value": 5.0}},
        ("apigateway", "get_account"): {},
        ("cloudformation", "describe_stacks"): ClientError(
            {"Error": {"Code": "ValidationError"}}, "DescribeStacks"
        ),
        ("ec2", "describe_managed_prefix_lists"): {
            "PrefixLists": [{"PrefixListId": "pl-63a5400a"}]
        },
    }


@cache
def model(service: str) -> ServiceModel:
    return get_session().get_service_model(service)


class Client:
    """Answers what is canned, if AWS knows such a question and such an answer."""

    def __init__(self, service: str, canned: Answers, asked: list[str]) -> None:
        self._service = service
        self._canned = canned
        self._asked = asked

    def __getattr__(self, name: str) -> Any:
        service = model(self._service)
        (operation,) = (
            service.operation_model(known)
            for known in service.operation_names
            if xform_name(known) == name
        )

        def call(**parameters: Any) -> Any:
            self._asked.append(operation.name)
            if operation.input_shape is not None:
                validate_parameters(parameters, operation.input_shape)
            answer = self._canned[self._service, name]
            if isinstance(answer, Exception):
                raise answer
            assert operation.output_shape is not None
            validate_parameters(answer, operation.output_shape)
            return answer

        return call


def found(
    canned: Answers,
    size: str = "small",
    asked: list[str] | None = None,
    *,
    region: str = REGION,
) -> list[Finding]:
    told = [] if asked is None else asked
    return examine(lambda service: Client(service, canned, told), region, size, "image-api")


def texts(findings: list[Finding], level: str) -> list[str]:
    return [finding.text for finding in findings if finding.level == level]


@pytest.mark.parametrize("size", ["small", "medium", "large"])
def test_where_everything_is_well_the_command_needs_nothing_but_s3s_addresses(size: str) -> None:
    findings = found(answers(), size)
    assert texts(findings, "stop") == texts(findings, "note") == []
    command = preflight.command(findings, size)
    assert command == (
        "sam build && sam deploy --parameter-overrides "
        f"Platform=create PlatformSize={size} S3PrefixListId=pl-63a5400a"
    )
    assert preflight.command(findings, size, "photos").startswith(
        "sam build && sam deploy --stack-name photos --parameter-overrides "
    )


def test_what_a_new_account_lacks_is_said_and_stops_nothing() -> None:
    findings = found(answers(plan="FREE", at_once=10))
    assert texts(findings, "stop") == []
    free, few = texts(findings, "note")
    assert "Free Plan" in free
    assert few.startswith("10 functions may run at once")


def test_a_region_without_snapstart_is_noted() -> None:
    notes = texts(found(answers(), region="ap-east-2"), "note")
    assert any(note.startswith("ap-east-2 has no SnapStart") for note in notes)


def test_more_backups_than_the_free_plan_has_stop_it() -> None:
    findings = found(answers(plan="FREE"), "medium")
    (text,) = texts(findings, "stop")
    assert "Free Plan" in text
    assert "BackupDays=1" in preflight.command(findings, "medium")


@pytest.mark.parametrize(
    ("part", "lacks"),
    [
        ({"lambda_zones": ZONES[1:]}, "us-east-1a lacks the endpoint com.amazonaws.us-east-1.lam"),
        ({"broker_zones": ZONES[1:]}, "us-east-1a lacks mq.t3.micro"),
        ({"database_zones": ZONES[1:]}, "us-east-1a lacks db.t4g.micro"),
    ],
)
def test_a_zone_without_a_part_is_avoided(part: dict[str, list[str]], lacks: str) -> None:
    findings = found(answers(**part))  # type: ignore[arg-type]
    (text,) = texts(findings, "note")
    assert lacks in text
    assert "ZoneA=us-east-1b ZoneB=us-east-1c" in preflight.command(findings, "small")


def test_a_cluster_where_two_zones_do_has_two() -> None:
    findings = found(answers(broker_zones=ZONES[:2]), "medium")
    assert texts(findings, "stop") == []
    command = preflight.command(findings, "medium")
    assert "ZoneA=us-east-1a ZoneB=us-east-1b ZoneC=none" in command


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ({"broker_zones": []}, "mq.t3.micro is not offered in us-east-1"),
        ({"versions": ("4.2",)}, "mq.t3.micro is not offered in us-east-1"),
        ({"database_zones": ZONES[:1]}, "only ['us-east-1a'] of"),
        ({"networks": 4}, "4 of 5 networks are there, and 2 are made"),
    ],
)
def test_what_would_fail_stops_it(part: dict[str, Any], says: str) -> None:
    (text,) = texts(found(answers(**part)), "stop")
    assert text.startswith(says)


def test_a_role_of_api_gateways_that_is_there_is_left_alone() -> None:
    role = {"cloudwatchRoleArn": "arn:aws:iam::000000000000:role/logs"}
    findings = found({**answers(), ("apigateway", "get_account"): role})
    assert "GatewayLogRole=existing" in preflight.command(findings, "small")


@pytest.mark.parametrize(
    ("status", "level", "remedy"),
    [
        ("ROLLBACK_COMPLETE", "stop", "sam delete --stack-name image-api"),
        ("DELETE_FAILED", "stop", "sam delete --stack-name image-api"),
        # It has served, and holds what people have stored.
        ("UPDATE_ROLLBACK_FAILED", "stop", "continue-update-rollback --stack-name image-api"),
        ("CREATE_FAILED", "note", ""),
    ],
)
def test_an_earlier_stack_that_is_stuck_stops_it(status: str, level: str, remedy: str) -> None:
    stack = {
        "Stacks": [
            {
                "StackName": "image-api",
                "StackStatus": status,
                "CreationTime": "2026-11-26T00:00:00Z",
            }
        ]
    }
    findings = found({**answers(), ("cloudformation", "describe_stacks"): stack})
    (text,) = texts(findings, level)
    assert status in text
    assert text.endswith(remedy)


def test_what_may_not_be_asked_is_a_note_and_the_rest_is_asked() -> None:
    denied = ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetAccountPlanState")
    findings = found({**answers(), ("freetier", "get_account_plan_state"): denied})
    assert texts(findings, "note") == [
        "the plan of the account: could not be asked (AccessDeniedException)"
    ]
    assert len(texts(findings, "ok")) == 6


def test_it_only_asks() -> None:
    asked: list[str] = []
    found(answers(), asked=asked)
    assert len(asked) >= 9
    assert {name for name in asked if not name.startswith(("Describe", "Get"))} == set()
