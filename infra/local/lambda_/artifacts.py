"""What functions run from: their own folders, and third-party code installed once per lock file."""

import asyncio
import contextlib
import hashlib
import os
import py_compile
import re
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from infra.entry_point import Explained
from infra.local.code_files import python_files
from infra.local.lambda_.interpreter import Interpreter
from infra.local.template.model import Function

REQUIREMENTS = "requirements.txt"
# Of requirements that name everything.
_HASH = b"--hash="
_PROGRESS_SECONDS = 5.0
_LAST_LINES = 15


class InstallFailed(Explained):
    """Third-party code could not be installed; the text says what pip said."""


class Artifacts:
    """Installs into `cache_folder`, with the Python that runs the functions.

    `say` gets a line for each step that takes long.
    """

    def __init__(
        self, cache_folder: Path, interpreter: Interpreter, say: Callable[[str], None]
    ) -> None:
        self._layers = cache_folder / "layers"
        self.interpreter = interpreter
        self._say = say
        self._locks: dict[Path, asyncio.Lock] = {}
        self.bytecode_folder = cache_folder / "bytecode"

    async def install(self, functions: Iterable[Function]) -> None:
        """Installs what all of these functions need, side by side. Raises InstallFailed."""
        async with asyncio.TaskGroup() as group:
            for function in functions:
                group.create_task(self.python_path(function))

    async def python_path(self, function: Function) -> list[Path]:
        """The folders that the function imports from, besides its own. Raises InstallFailed."""
        folders = []
        if (function.code_path / REQUIREMENTS).is_file():
            folders.append(await self._install(function.logical_id, function.code_path))
        # A later layer's files cover an earlier one's.
        for layer in reversed(function.layers):
            content = layer.content_path
            folders.append(content / "python" if (content / "python").is_dir() else content)
            if (content / REQUIREMENTS).is_file():
                folders.append(await self._install(layer.logical_id, content))
        return folders

    def compile(self, folders: Iterable[Path]) -> None:
        """Compiles source files to bytecode that is checked against the source's own bytes.

        Python would compare times, in whole seconds: an edit right after another one of the same
        length would go unnoticed.
        """
        if sys.implementation.cache_tag != self.interpreter.cache_tag:
            return
        for folder in folders:
            for source in python_files(folder):
                with contextlib.suppress(py_compile.PyCompileError, OSError, ValueError):
                    py_compile.compile(
                        str(source),
                        cfile=str(self._bytecode_path(source)),
                        doraise=True,
                        quiet=1,
                        invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH,
                    )

    def _bytecode_path(self, source: Path) -> Path:
        name = f"{source.stem}.{sys.implementation.cache_tag}.pyc"
        return self.bytecode_folder.joinpath(*source.parent.parts[1:]) / name

    async def _install(self, name: str, folder: Path) -> Path:
        requirements = folder / REQUIREMENTS
        interpreter = f"{self.interpreter.path} {self.interpreter.cache_tag}"
        digest = hashlib.sha256(requirements.read_bytes() + interpreter.encode()).hexdigest()
        target = self._layers / f"{name}-{digest[:16]}"
        async with self._locks.setdefault(target, asyncio.Lock()):
            if not target.is_dir():
                await self._install_into(target, requirements, name)
        return target

    async def _install_into(self, target: Path, requirements: Path, name: str) -> None:
        self._say(f"installing the third-party code of {name} (once)")
        # Two clouds of one project may install the same thing at the same time.
        draft = target.with_name(f"{target.name}.{os.getpid()}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        temporary = draft.with_suffix(".tmp")
        temporary.mkdir(parents=True, exist_ok=True)
        output = bytearray()
        telling = asyncio.create_task(
            self._tell_progress(name, requirements, output, (temporary, draft))
        )
        try:
            draft.mkdir()
            await self._run(
                *("-m", "pip", "install", "--disable-pip-version-check", "--no-input"),
                *("--root-user-action=ignore", "--no-compile", "--progress-bar", "off"),
                *_rigour(requirements.read_bytes()),
                *("--target", str(draft), "-r", str(requirements)),
                output=output,
                TMPDIR=str(temporary),
            )
        finally:
            telling.cancel()
            shutil.rmtree(temporary)
        try:
            draft.rename(target)
        except OSError:
            if not target.is_dir():
                raise
            shutil.rmtree(draft)
        # Bytecode makes a cold start three to four times faster; what pip installed never changes.
        await self._run(
            *("-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash"),
            str(target),
        )

    async def _tell_progress(
        self, name: str, requirements: Path, output: bytearray, folders: tuple[Path, Path]
    ) -> None:
        """pip fetches all packages, unpacks each in a temporary folder, and moves all of them."""
        temporary, draft = folders
        text = requirements.read_bytes()
        # Without hashes there are more than it says.
        entries = re.findall(rb"^\w", text, re.MULTILINE)
        wanted = f" of {len(entries)}" if _HASH in text else ""
        while True:
            await asyncio.sleep(_PROGRESS_SECONDS)
            try:
                # By name, as one may be moved from the one folder to the other between two looks.
                found = (*temporary.glob("*/*/*/*.dist-info"), *draft.glob("*.dist-info"))
                unpacked = len({path.name for path in found})
            except FileNotFoundError:
                # pip moved a folder away while it was looked at.
                continue
            if unpacked:
                self._say(f"{name}: unpacked {unpacked}{wanted} packages")
            else:
                fetched = len(re.findall(rb"^(?:Collecting|Processing) ", output, re.MULTILINE))
                self._say(f"{name}: fetched {fetched}{wanted} packages")

    async def _run(
        self, *arguments: str, output: bytearray | None = None, **variables: str
    ) -> None:
        """Adds what the command says to `output`, which can be watched. Raises InstallFailed."""
        output = bytearray() if output is None else output
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH"}
        }
        environment |= {"PYTHONPYCACHEPREFIX": str(self.bytecode_folder), **variables}
        process = await asyncio.create_subprocess_exec(
            str(self.interpreter.path),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
        )
        assert process.stdout is not None
        while chunk := await process.stdout.read(65_536):
            output += chunk
        if await process.wait() != 0:
            lines = output.decode(errors="replace").strip().splitlines()
            raise InstallFailed("\n".join(lines[-_LAST_LINES:]))


def _rigour(requirements: bytes) -> tuple[str, ...]:
    """A list with hashes holds everything, and nothing else is installed. Of one without, pip finds
    what its entries depend on, as sam build has it do."""
    if _HASH in requirements:
        return ("--no-deps", "--require-hashes", "--only-binary", ":all:")
    return ("--prefer-binary",)
