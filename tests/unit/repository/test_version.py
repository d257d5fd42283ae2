"""The version stands in one place; what people and clients read agrees with it."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

from image_api import __version__

ROOT = Path(__file__).parents[3]


def test_the_newest_release_of_the_changelog_is_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    releases = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$", changelog, re.MULTILINE)

    assert releases[0] == __version__


def test_the_openapi_document_has_this_version() -> None:
    document = json.loads((ROOT / "functions" / "docs" / "openapi.json").read_bytes())

    assert document["info"]["version"] == __version__


def test_the_package_takes_its_version_from_the_code() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    assert "version" not in pyproject["project"]
    assert pyproject["tool"]["setuptools"]["dynamic"]["version"]["attr"] == "image_api.__version__"
