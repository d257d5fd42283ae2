"""Every property of SAM, one by one: it runs, or is refused in words."""

import json
from pathlib import Path

import pytest
from samtranslator.policy_template_processor.processor import PolicyTemplatesProcessor

from infra.local.template.model import TemplateError
from infra.local.template.reader import read_template
from tests.local_cloud.template.sam_features import features

DOCUMENT = Path(__file__).parents[3] / "docs" / "local-cloud.md"


def test_every_feature_of_sam_runs_or_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What it checks is its own, and takes it longer than all the rest.
    monkeypatch.setattr(PolicyTemplatesProcessor, "_is_valid_templates_dict", lambda *_: True)
    # A property that is a path may be the text that others are.
    for folder in ("code", "text"):
        (tmp_path / folder).mkdir()
    path = tmp_path / "template.yaml"
    running, refused, unforeseen = 0, 0, []
    for name, template in features():
        path.write_text(json.dumps(template))
        try:
            read_template(path, {}, "us-east-1")
        except TemplateError as error:
            refused += 1
            if "--verbose" in str(error):
                unforeseen.append(f"{name}: {error}")
        else:
            running += 1
    assert unforeseen == []
    said = (
        f"Of {running + refused} templates {running} are read, and {refused} are refused in words"
    )
    assert said in DOCUMENT.read_text()
