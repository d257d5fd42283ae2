"""What the log says, whole and for later: JSON lines in two files, of which the older one goes."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

_MAX_BYTES = 32 * 1024 * 1024
_NAME = "functions.log"


class LogArchive:
    """Written by one cloud, and read by `make logs` at any time."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _NAME
        self._file: TextIO | None = None

    def write(self, lines: str) -> None:
        """Whole lines. A disk that is full costs the archive and nothing else."""
        with contextlib.suppress(OSError):
            if self._file is None:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._file = self._path.open("a", encoding="utf-8", errors="replace")
                self._path.chmod(0o600)
            self._file.write(lines)
            self._file.flush()
            if self._file.tell() > _MAX_BYTES:
                self.close()
                self._path.replace(_older(self._path))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def records(folder: Path) -> Iterator[Mapping[str, Any]]:
    """Oldest first; a line that was not written to its end is left out."""
    path = folder / _NAME
    for part in (_older(path), path):
        with contextlib.suppress(FileNotFoundError), part.open(encoding="utf-8") as file:
            for line in file:
                with contextlib.suppress(ValueError):
                    yield json.loads(line)


def _older(path: Path) -> Path:
    return path.with_name(f"{path.name}.1")
