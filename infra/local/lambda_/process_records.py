"""The processes of execution environments, for whoever cleans up after a killed cloud."""

import signal
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from infra.services.process_identity import ProcessIdentity, end_process
from infra.services.records import read_record, write_record

_PATIENCE_SECONDS = 5.0


class ProcessRecords:
    """Keeps them in the file at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._processes: list[ProcessIdentity] = []

    def add(self, process: ProcessIdentity) -> None:
        self._processes = [known for known in self._processes if known.is_alive()]
        self._processes.append(process)
        write_record(self._path, {"processes": [asdict(item) for item in self._processes]})

    async def end_leftovers(self) -> None:
        """Ends those recorded that still run, and no other process."""
        record: Mapping[str, Any] = read_record(self._path) or {}
        for fields in record.get("processes", ()):
            process = ProcessIdentity(**fields)
            if process.is_alive():
                await end_process(process, signal.SIGKILL, _PATIENCE_SECONDS)
        self.clear()

    def clear(self) -> None:
        """After a stop in order there is nothing to clean up."""
        self._path.unlink(missing_ok=True)
