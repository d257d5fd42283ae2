"""A local cloud for clients to walk through, and a folder in which Node finds its packages."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e.conftest import cloud
from tests.node import Node
from tests.variables import ROOT

__all__ = ["cloud"]

HERE = Path(__file__).parent
NODE = Node("clients")
OPENAPI = ROOT / "functions" / "docs" / "openapi.json"


@pytest.fixture
def workshop(tmp_path: Path) -> Path:
    """With our own programs, and the types that openapi-typescript makes of the document."""
    for path in HERE.iterdir():
        if path.suffix in {".json", ".mjs", ".ts"}:
            shutil.copy(path, tmp_path)
    (tmp_path / "node_modules").symlink_to(NODE.packages)
    NODE.make_types(OPENAPI, "api.d.ts", cwd=tmp_path)
    return tmp_path
