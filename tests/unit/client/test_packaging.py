"""The wheel that `make client` builds."""

from __future__ import annotations

import re
import shutil
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

import image_api
import image_api_client
from tests.commands import output_of
from tests.variables import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    # A build leaves files beside what it is made of.
    shutil.copytree(
        ROOT / "client", folder / "client", ignore=shutil.ignore_patterns("__pycache__")
    )
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder))
    output_of(sys.executable, "-m", "pip", "wheel", *options, str(folder / "client"))
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def metadata(wheel: zipfile.ZipFile, name: str) -> str:
    (path,) = [each for each in wheel.namelist() if each.endswith(f".dist-info/{name}")]
    return wheel.read(path).decode()


def test_it_holds_the_whole_package_and_says_that_it_is_typed(wheel: zipfile.ZipFile) -> None:
    source = ROOT / "client" / "src"
    files = {str(path.relative_to(source)) for path in source.rglob("*.py")}
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == files | {"image_api_client/py.typed"}


def test_it_brings_the_command_and_the_projects_version(wheel: zipfile.ZipFile) -> None:
    assert "images = image_api_client.cli:main" in metadata(wheel, "entry_points.txt")
    assert f"Version: {image_api.__version__}\n" in metadata(wheel, "METADATA")
    assert image_api_client.__version__ == image_api.__version__


def test_it_names_all_that_it_imports(wheel: zipfile.ZipFile) -> None:
    """And the tests run with versions that it allows: pip check has looked at that."""
    required = set(re.findall(r"^Requires-Dist: ([a-z-]+)", metadata(wheel, "METADATA"), re.M))
    imported = {
        module
        for path in (ROOT / "client" / "src").rglob("*.py")
        for module in re.findall(r"^(?:import|from) (\w+)", path.read_text(encoding="utf-8"), re.M)
    }
    third_party = imported - set(sys.stdlib_module_names) - {"image_api_client", "__future__"}
    assert third_party == required
    for name in required:
        assert version(name)


def test_the_readme_names_every_command(wheel: zipfile.ZipFile) -> None:
    readme = Path(ROOT / "client" / "README.md").read_text(encoding="utf-8")
    for command in ("login", "register", "upload", "list", "search", "show", "download", "edit"):
        assert f"images {command}" in readme
