"""CloudFormation's intrinsic functions."""

from typing import Any

import pytest

from infra.local.template.intrinsics import Resolver, Unresolved

DOCUMENT: dict[str, Any] = {
    "Conditions": {
        "IsProduction": {"Fn::Equals": [{"Ref": "Stage"}, "production"]},
        "IsTest": {"Fn::Not": [{"Condition": "IsProduction"}]},
        "Both": {"Fn::And": [{"Condition": "IsProduction"}, {"Condition": "IsTest"}]},
        "Either": {"Fn::Or": [{"Condition": "IsProduction"}, {"Condition": "IsTest"}]},
        "Unknown": {"Fn::Equals": [{"Ref": "Nothing"}, ""]},
    },
    "Mappings": {"Sizes": {"test": {"memory": 256}}},
}
ATTRIBUTES = {
    ("Stage", "Ref"): "test",
    ("Zones", "Ref"): ["a", "b"],
    ("AWS::Region", "Ref"): "eu-west-1",
    ("Bucket", "Ref"): "images",
    ("Bucket", "Arn"): "arn:aws:s3:::images",
}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        (3, 3),
        ({"Ref": "Stage"}, "test"),
        ({"Fn::GetAtt": ["Bucket", "Arn"]}, "arn:aws:s3:::images"),
        ({"Fn::GetAtt": "Bucket.Arn"}, "arn:aws:s3:::images"),
        ({"Fn::Sub": "${Bucket}-${Stage} ${Bucket.Arn} ${!Kept}"},
         "images-test arn:aws:s3:::images ${Kept}"),
        ({"Fn::Sub": ["${X}.${Stage}", {"X": {"Ref": "Bucket"}}]}, "images.test"),
        ({"Fn::Join": ["-", ["a", {"Ref": "Stage"}]]}, "a-test"),
        ({"Fn::Select": [1, {"Ref": "Zones"}]}, "b"),
        ({"Fn::Split": [",", "x,y"]}, ["x", "y"]),
        ({"Fn::FindInMap": ["Sizes", {"Ref": "Stage"}, "memory"]}, 256),
        ({"Fn::FindInMap": ["Sizes", "no", "memory", {"DefaultValue": 1}]}, 1),
        ({"Fn::If": ["IsProduction", 1, 2]}, 2),
        ({"Fn::If": ["IsTest", {"Ref": "Stage"}, {"Ref": "Nothing"}]}, "test"),
        ({"Fn::If": ["Both", 1, 2]}, 2),
        ({"Fn::If": ["Either", 1, 2]}, 1),
        ({"Fn::Base64": "hi"}, "aGk="),
        ({"Fn::GetAZs": ""}, ["eu-west-1a", "eu-west-1b", "eu-west-1c"]),
        ({"a": {"Ref": "AWS::NoValue"}, "b": 1}, {"b": 1}),
        ([1, {"Fn::If": ["IsTest", {"Ref": "AWS::NoValue"}, 2]}], [1]),
    ],
)  # fmt: skip
def test_a_value_is_resolved(value: Any, expected: Any) -> None:
    assert Resolver(DOCUMENT, ATTRIBUTES).resolve(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        {"Ref": "Nothing"},
        {"Fn::GetAtt": ["Bucket", "Nothing"]},
        {"Fn::Sub": "${Nothing}"},
        {"Fn::ImportValue": "other-stack"},
        {"Fn::If": ["Unknown", 1, 2]},
        {"Fn::If": ["NoSuchCondition", 1, 2]},
        {"Fn::Select": [5, ["a"]]},
        {"Fn::FindInMap": ["Sizes", "no", "memory"]},
        "{{resolve:secretsmanager:name:SecretString:password}}",
        {"Fn::Sub": "{{resolve:ssm:${Stage}}}"},
        {"deep": [{"Ref": "Nothing"}]},
    ],
)
def test_what_does_not_exist_on_this_machine_is_unresolved(value: Any) -> None:
    with pytest.raises(Unresolved):
        Resolver(DOCUMENT, ATTRIBUTES).resolve(value)
