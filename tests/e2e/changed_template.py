"""The product's template, changed here and there, and a local cloud that runs it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from tests.e2e.running_cloud import RunningCloud
from tests.variables import ROOT

HERE = Path(__file__).parent


def code_of(function: str) -> str:
    """How a changed template names a function's code."""
    return f"{ROOT}/functions/{function}"


def changed_cloud(
    folder: Path,
    changes: Mapping[str, str],
    variables: Mapping[str, str] = MappingProxyType({}),
) -> RunningCloud:
    """Not started yet. Each text of the template in `changes` becomes another."""
    text = (ROOT / "template.yaml").read_text(encoding="utf-8")
    text = re.sub(r"(CodeUri|ContentUri|TemplateURL): (\S+)", rf"\1: {ROOT}/\2", text)
    for before, after in changes.items():
        assert before in text
        text = text.replace(before, after)
    template = folder / "template.yaml"
    template.write_text(text, encoding="utf-8")
    # A template of somebody else's runs on another Python than it names only if somebody says so.
    python = ROOT / ".venvs" / "lambda" / "bin" / "python"
    return RunningCloud(
        folder / "data",
        "--no-watch",
        template=template,
        variables={
            "LAMBDA_PYTHON": os.environ.get("LAMBDA_PYTHON", str(python)),
            **variables,
        },
    )
