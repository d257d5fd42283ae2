"""Which methods a policy document lets pass."""

from typing import Any

import pytest

from infra.local.gateway.policies import MalformedPolicy, read_policy

ARN = "arn:aws:execute-api:us-east-1:012345678912:api/v1/GET/items/7"
PREFIX = ARN.partition("/")[0]


def statement(effect: str, resource: Any, action: Any = "execute-api:Invoke") -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": resource}


@pytest.mark.parametrize(
    ("resource", "decision"),
    [
        (ARN, "allow"),
        ("*", "allow"),
        (f"{PREFIX}/*", "allow"),
        (f"{PREFIX}/*/GET/*", "allow"),
        (f"{PREFIX}/v1/???/items/?", "allow"),
        (f"{PREFIX}/v1/GET/items/**7", "allow"),
        (f"{PREFIX}/*/*/*/*", "allow"),
        ("*7", "allow"),
        ("arn:*:012345678912:*/G?T/*s/7", "allow"),
        (f"{ARN}*", "allow"),
        # What stands on both sides of a star is there twice, or not at all.
        (f"{ARN}*7", "no match"),
        ("*items*items*", "no match"),
        ([f"{PREFIX}/v1/POST/*", ARN], "allow"),
        (f"{PREFIX}/v1/POST/*", "no match"),
        (f"{ARN}/8", "no match"),
        (f"{PREFIX}/v1/GET/items", "no match"),
        (f"{PREFIX}/v1/GET/items/??", "no match"),
        (f"{PREFIX}/V1/GET/items/7", "no match"),
        # What means something in a pattern of Python's means nothing here.
        (f"{PREFIX}/v1/GET/items/.", "no match"),
    ],
)
def test_a_resource_is_matched_as_a_whole_with_stars_and_question_marks(
    resource: Any, decision: str
) -> None:
    policy = read_policy({"Statement": [statement("Allow", resource)]})
    assert policy.decision(ARN) == decision


@pytest.mark.parametrize(
    ("action", "decision"),
    [
        ("execute-api:Invoke", "allow"),
        ("EXECUTE-API:invoke", "allow"),
        ("execute-api:*", "allow"),
        ("*", "allow"),
        (["s3:GetObject", "execute-api:Inv*"], "allow"),
        ("s3:*", "no match"),
        ("execute-api:ManageConnections", "no match"),
    ],
)
def test_a_statement_counts_where_its_action_is_to_invoke(action: Any, decision: str) -> None:
    policy = read_policy({"Statement": statement("Allow", ARN, action)})
    assert policy.decision(ARN) == decision


@pytest.mark.parametrize("effects", [("Allow", "Deny"), ("Deny", "Allow")])
def test_a_denial_counts_more_wherever_it_stands(effects: tuple[str, str]) -> None:
    policy = read_policy({"Statement": [statement(effect, "*") for effect in effects]})
    assert policy.decision(ARN) == "deny"


@pytest.mark.parametrize("pattern", ["*" * 5_000 + "x", "*a" * 500 + "x", "*?a?" * 500 + "x"])
def test_many_stars_take_no_time(pattern: str) -> None:
    policy = read_policy({"Statement": [statement("Allow", pattern)]})
    assert policy.decision("a" * 10_000) == "no match"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (None, "is not an object"),
        ("all", "is not an object"),
        ({}, "has no Statement"),
        ({"Statement": "all"}, "has no Statement"),
        ({"Statement": ["all"]}, "a Statement is not an object"),
        ({"Statement": [statement("allow", "*")]}, "Effect is 'allow'"),
        ({"Statement": [{"Effect": "Allow", "Resource": "*"}]}, "Action is not text"),
        ({"Statement": [statement("Allow", [1])]}, "Resource is not text"),
        (
            {"Statement": [{**statement("Allow", "*"), "Condition": {}}]},
            "does not evaluate Condition",
        ),
        (
            {"Statement": [{"Effect": "Allow", "Action": "*", "NotResource": "*"}]},
            "does not evaluate NotResource",
        ),
    ],
)
def test_what_is_no_policy_is_told(document: Any, words: str) -> None:
    with pytest.raises(MalformedPolicy, match=words):
        read_policy(document)
