"""A template while it is typed: every state of it can be read, or is refused in words."""

import re
from pathlib import Path
from textwrap import dedent, indent

import pytest

from infra.local.settings import ROOT
from infra.local.template.model import TemplateError
from infra.local.template.reader import read_template


def example() -> str:
    """The function that CONTRIBUTING.md adds."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = re.search(r"```yaml\n( +HelloFunction:\n.*?)```", text, re.DOTALL)
    assert found is not None
    return indent(dedent(found.group(1)).replace("!Ref Api", "!Ref Gateway"), "  ")


def refusal(path: Path) -> str | None:
    try:
        read_template(path, {}, "us-east-1")
    except TemplateError as error:
        return str(error)
    return None


def test_a_function_can_be_added_letter_by_letter(project: Path) -> None:
    path = project / "template.yaml"
    whole = path.read_text()
    gateway = "  Gateway: {Type: AWS::Serverless::Api, Properties: {StageName: v1}}\n"
    whole = whole.replace("Resources:\n", f"Resources:\n{gateway}").replace(
        "Properties: {Path", "Properties: {RestApiId: !Ref Gateway, Path"
    )
    typed = example()
    refusals = []
    for length in range(len(typed) + 1):
        path.write_text(whole.replace("Resources:\n", f"Resources:\n{typed[:length]}\n"))
        refusals.append(refusal(path))
    assert (refusals[0], refusals[-1]) == (None, None)
    # What is wrong is named: a half is not merely survived.
    assert not [words for words in refusals if words and "--verbose" in words]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Resources",
        "Resources:",
        "Resources: []",
        "Resources: {F: }",
        "Resources: {F: {Type: [a]}}",
        "Resources: {F: {Type: AWS::Serverless::Function, Properties: {Events: {A: }}}}",
        "Resources: {F: {Type: AWS::Serverless::Function, Properties: {Environment: [a]}}}",
        "Resources: {F: {Type: AWS::Lambda::Function}}",
        "Resources: {F: {Type: AWS::Lambda::Function, Properties: {Code: ./x}}}",
        "Resources: {A: {Type: AWS::Lambda::Alias, Properties: {FunctionName: x}}}",
        "Resources: {R: {Type: AWS::S3::Bucket, Condition: [x]}}",
        "Resources: {R: {Type: AWS::S3::Bucket, Condition: Nowhere}}",
        "Conditions: {C: !Equals [a]}\nResources: {R: {Type: AWS::S3::Bucket, Condition: C}}",
        "Parameters: {P: }\nResources: {F: {Type: AWS::S3::Bucket}}",
        "Globals: {Function: [x]}\nResources: {F: {Type: AWS::Serverless::Function}}",
        "Resources: {F: &a {Type: x, Properties: *a}}",
        "\x00",
        "Resources: !Nothing",
    ],
)
def test_what_is_no_template_is_refused_in_words(tmp_path: Path, text: str) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(text)
    assert refusal(path)
