"""Which files below a folder of code are code."""

import os
from collections.abc import Iterator
from pathlib import Path

# What tools keep beside code, and no function imports.
NOT_CODE = frozenset(
    {
        "__pycache__",
        "node_modules",
        *(".aws-sam", ".git", ".hg", ".hypothesis", ".idea", ".local", ".mypy_cache", ".nox"),
        *(".pytest_cache", ".ruff_cache", ".svn", ".tox", ".venv", ".venvs", ".vscode"),
    }
)


def python_files(folder: Path) -> Iterator[Path]:
    """Those that a function in this folder could import."""
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in NOT_CODE]
        yield from (Path(parent, name) for name in files if name.endswith(".py"))
