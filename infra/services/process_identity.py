"""Processes that are not our children: recognised, and ended.

Needs the standard library alone, so that `make reset` runs before anything is installed.
"""

import asyncio
import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class ProcessIdentity:
    """A process that stays recognisable after its number is given to another one.

    It may be written down and read by another program: psutil's time of creation may not, which
    moves whenever the system's clock is set.
    """

    pid: int
    start_ticks: int
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> "ProcessIdentity | None":
        """The identity of a live process; None when there is none, or only its zombie."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The second field, the program's name, may itself contain spaces and brackets.
        fields = stat.rpartition(")")[2].split()
        if fields[0] in {"Z", "X"}:
            return None
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return cls(pid, int(fields[19]), boot_id)

    def is_alive(self) -> bool:
        return ProcessIdentity.of(self.pid) == self


async def end_process(
    process: ProcessIdentity, stop_signal: signal.Signals, patience_seconds: float
) -> None:
    """Stop a process that is not our child, the hard way once patience runs out."""
    for attempt, seconds in ((stop_signal, patience_seconds), (signal.SIGKILL, 10.0)):
        deadline = time.monotonic() + seconds
        while process.is_alive() and time.monotonic() < deadline:
            # Again every second: RabbitMQ loses a signal that comes while it is starting.
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, attempt)
            repeat = min(time.monotonic() + 1, deadline)
            while process.is_alive() and time.monotonic() < repeat:
                await asyncio.sleep(_POLL_SECONDS)
