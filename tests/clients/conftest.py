"""A local cloud for clients to walk through, and a folder in which Node finds its packages."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.clients.node import HERE, PACKAGES, node
from tests.e2e.conftest import cloud

__all__ = ["cloud"]

OPENAPI = HERE.parents[1] / "functions" / "docs" / "openapi.json"


@pytest.fixture
def workshop(tmp_path: Path) -> Path:
    """With our own programs, and the types that openapi-typescript makes of the document."""
    for path in HERE.iterdir():
        if path.suffix in {".json", ".mjs", ".ts"}:
            shutil.copy(path, tmp_path)
    (tmp_path / "node_modules").symlink_to(PACKAGES)
    made = node(
        "node_modules/openapi-typescript/bin/cli.js", OPENAPI, "-o", "api.d.ts", cwd=tmp_path
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return tmp_path
