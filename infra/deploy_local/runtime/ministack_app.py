"""MiniStack, unpacking each layer once instead of once for every function.

Fourteen copies of the same layers are 75,000 files and 2 GB, which take minutes to write and to
delete. MiniStack unpacks with what it knows as `zipfile`; here that is a class which keeps what it
has unpacked, by the content of the archive, and links to it.
"""

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from types import SimpleNamespace

from ministack.app import app
from ministack.core import lambda_runtime

__all__ = ["app"]

_unpacked = Path(tempfile.gettempdir()) / "unpacked"
_unpacking = Lock()


class _SharedArchive(zipfile.ZipFile):
    def extractall(
        self,
        path: str | os.PathLike[str] | None = None,
        members: Iterable[str | zipfile.ZipInfo] | None = None,
        pwd: bytes | None = None,
    ) -> None:
        assert self.filename is not None and path is not None
        with Path(self.filename).open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        shared = _unpacked / content
        with _unpacking:
            if not shared.exists():
                draft = shared.with_suffix(".draft")
                super().extractall(draft, members, pwd)
                draft.rename(shared)
        for entry in shared.iterdir():
            Path(path, entry.name).symlink_to(entry)


lambda_runtime.zipfile = SimpleNamespace(
    ZipFile=_SharedArchive,
    BadZipFile=zipfile.BadZipFile,
    LargeFileError=zipfile.LargeZipFile,
)
