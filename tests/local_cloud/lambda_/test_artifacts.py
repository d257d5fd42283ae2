"""Third-party code of functions and layers is installed once, with a count that moves."""

import hashlib
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.lambda_ import artifacts
from infra.local.lambda_.artifacts import Artifacts, InstallFailed
from infra.local.lambda_.interpreter import Interpreter
from infra.local.template.model import Template


def requirement(folder: Path) -> str:
    """A line of requirements.txt, which installs the module `tiny` from a wheel of its own."""
    about = "tiny-1.0.dist-info"
    files = {
        "tiny.py": "VALUE = 42\n",
        f"{about}/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/RECORD": f"tiny.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n{about}/RECORD,,\n",
    }
    wheel = folder / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return f"tiny @ {wheel.as_uri()} --hash=sha256:{digest}\n"


async def test_a_layers_packages_are_installed_once_and_counted_meanwhile(
    template: Template,
    interpreter: Interpreter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(artifacts, "_PROGRESS_SECONDS", 0.01)
    function = template.functions["HelloFunction"]
    (layer,) = function.layers
    (layer.content_path / "requirements.txt").write_text(requirement(tmp_path))
    said: list[str] = []
    for _ in range(2):
        made = Artifacts(tmp_path / "cache", interpreter, said.append)
        folders = await made.python_path(function)
    assert [folder for folder in folders if (folder / "tiny.py").exists()]
    first, *counts = said
    assert first == f"installing the third-party code of {layer.logical_id} (once)"
    assert f"{layer.logical_id}: fetched 0 of 1 packages" in counts
    assert all(re.search(r": (fetched|unpacked) [01] of 1 packages$", count) for count in counts)
    # Nothing is left beside it.
    (installed,) = (tmp_path / "cache" / "layers").iterdir()
    assert installed in folders


async def test_counting_goes_on_after_a_folder_was_moved_while_it_was_looked_at(
    template: Template,
    interpreter: Interpreter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(artifacts, "_PROGRESS_SECONDS", 0.01)
    function = template.functions["HelloFunction"]
    (function.code_path / "requirements.txt").write_text(requirement(tmp_path))
    glob, is_moved = Path.glob, True

    def moved_at_first(folder: Path, pattern: str) -> Iterator[Path]:
        nonlocal is_moved
        if is_moved:
            is_moved = False
            raise FileNotFoundError(folder)
        return glob(folder, pattern)

    monkeypatch.setattr(Path, "glob", moved_at_first)
    said: list[str] = []
    await Artifacts(tmp_path / "cache", interpreter, said.append).python_path(function)
    assert not is_moved
    assert len(said) > 1


async def test_a_package_that_cannot_be_installed_is_told_in_pips_words(
    template: Template, interpreter: Interpreter, tmp_path: Path
) -> None:
    function = template.functions["HelloFunction"]
    wrong = re.sub(r"sha256:\w+", f"sha256:{'0' * 64}", requirement(tmp_path))
    (function.code_path / "requirements.txt").write_text(wrong)
    made = Artifacts(tmp_path / "cache", interpreter, print)
    with pytest.raises(InstallFailed, match="DO NOT MATCH THE HASHES"):
        await made.python_path(function)


@pytest.mark.parametrize("has_hashes", [True, False])
async def test_requirements_may_have_hashes_or_none(
    template: Template, interpreter: Interpreter, tmp_path: Path, has_hashes: bool
) -> None:
    function = template.functions["ProbeFunction"]
    line = requirement(tmp_path)
    (function.code_path / "requirements.txt").write_text(
        line if has_hashes else line.partition(" --hash")[0] + "\n"
    )
    folders = await Artifacts(tmp_path / "cache", interpreter, print).python_path(function)
    assert [folder for folder in folders if (folder / "tiny.py").exists()]


async def test_requirements_of_nothing_are_installed(
    template: Template, interpreter: Interpreter, tmp_path: Path
) -> None:
    function = template.functions["ProbeFunction"]
    (function.code_path / "requirements.txt").write_text("# none yet\n")
    (folder,) = await Artifacts(tmp_path / "cache", interpreter, print).python_path(function)
    assert folder.is_dir()
