"""Writes template.gradual.yaml: template.yaml, with new code that gets requests little by little,
and goes when they fail. `make gradual`; docs/aws.md has the rest.

A file of its own, since SAM takes no parameter for whether a function has versions: with them, a
change of a parameter or a layer alone reaches nobody until a version is published, which plain
`sam deploy` should not ask anybody to know.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATH = ROOT / "template.gradual.yaml"

_RESOURCE = re.compile(r"^  (\w+):\n(?:(?:    .*|  +#.*|)\n)+", re.MULTILINE)
_REVISION = re.compile(r"^  SchemaRevision:\n(?:    .*\n)+", re.MULTILINE)

_PARAMETERS = """  SchemaRevision:
    Type: String
    AllowedPattern: '^[0-9a-f]{10,}$'
    Description: >-
      Another one each time, such as the commit: migrations run, and a version of each function is
      published, whatever has changed, with the secrets as they are then
  Traffic:
    Type: String
    Default: Canary10Percent10Minutes
    AllowedValues:
      - Canary10Percent5Minutes
      - Canary10Percent10Minutes
      - Canary10Percent30Minutes
      - Linear10PercentEvery1Minute
      - Linear10PercentEvery10Minutes
      - AllAtOnce
    Description: How requests go over from the old versions to the new
  SnapStart:
    Type: String
    Default: None
    AllowedValues: [None, PublishedVersions]
    Description: >-
      PublishedVersions: an instance of a function behind the gateway begins as a copy of a snapshot
      that Lambda took when its version was published; snapshots and copies are charged for
"""
# The role, too: a version that stays keeps its snapshot and its code, for nobody.
_POLICY = """    DeletionPolicy: Delete
    UpdateReplacePolicy: Delete
"""
_VERSION = """      AutoPublishAlias: live
      AutoPublishCodeSha256: !Ref SchemaRevision
      SnapStart: {ApplyOn: !Ref SnapStart}
      DeploymentPreference:
        Type: !Ref Traffic
        Alarms: [!Ref NewCodeFails]
"""
_ALARM = """
  # More than four, and one in 500: what a tenth of the requests meets shows among all.
  NewCodeFails:
    Type: AWS::CloudWatch::Alarm
    Properties:
      AlarmDescription: While new code gets its first requests, requests fail; it is taken back
      Metrics:
        - Id: share
          Expression: IF(errors > 4, errors / requests, 0)
          Label: Share of requests that end in a 5xx
        - Id: errors
          ReturnData: false
          MetricStat:
            Metric:
              Namespace: AWS/ApiGateway
              MetricName: 5XXError
              Dimensions: [{Name: ApiName, Value: !Ref AWS::StackName}, {Name: Stage, Value: v1}]
            Period: 60
            Stat: Sum
        - Id: requests
          ReturnData: false
          MetricStat:
            Metric:
              Namespace: AWS/ApiGateway
              MetricName: Count
              Dimensions: [{Name: ApiName, Value: !Ref AWS::StackName}, {Name: Stage, Value: v1}]
            Period: 60
            Stat: Sum
      EvaluationPeriods: 1
      Threshold: 0.002
      ComparisonOperator: GreaterThanThreshold
      TreatMissingData: notBreaching
"""


def gradual(template: str) -> str:
    parameters, changes = _REVISION.subn(_PARAMETERS, template, count=1)
    assert changes == 1
    before, resources = parameters.split("\nResources:\n")
    made = _RESOURCE.sub(lambda found: _with_versions(found[0]), resources)
    made = made.replace("\nOutputs:\n", f"{_ALARM}\nOutputs:\n", 1)
    return f"{before}\nResources:\n{made}"


def _with_versions(resource: str) -> str:
    head = "    Type: AWS::Serverless::Function\n"
    if head not in resource or "          Type: Api\n" not in resource:
        return resource
    resource = resource.replace(head, head + _POLICY, 1)
    return resource.replace("    Properties:\n", "    Properties:\n" + _VERSION, 1)


if __name__ == "__main__":
    text = (ROOT / "template.yaml").read_text(encoding="utf-8")
    PATH.write_text(f"# Made of template.yaml by infra/tools/gradual.py.\n{gradual(text)}", "utf-8")
