"""Shows the parts of the cloud coming up, each with its time."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rich.console import Console
from rich.status import Status

from infra.local.logs.stream import LogStream


class Progress:
    """One line per part once it is up; on a terminal, also what is still starting."""

    def __init__(self, console: Console, logs: LogStream, *, as_json: bool) -> None:
        self._console = console
        self._logs = logs
        self._as_json = as_json
        self._starting: list[str] = []
        self._status: Status | None = None

    @asynccontextmanager
    async def part(self, name: str) -> AsyncIterator[list[str]]:
        """Times the part; what is appended to the list is shown behind its name."""
        started_at = time.monotonic()
        details: list[str] = []
        self._starting.append(name)
        self._show()
        try:
            yield details
        finally:
            self._starting.remove(name)
            self._show()
        seconds = time.monotonic() - started_at
        if self._as_json:
            self._logs.event(name, f"up after {seconds:.1f} s {' '.join(details)}".rstrip())
        else:
            self._console.print(
                f"  [green]✓[/] {name.ljust(22)} [dim]{seconds:5.1f} s[/]  {' '.join(details)}",
                highlight=False,
                # An address stays in one piece, however narrow the terminal.
                soft_wrap=True,
            )

    def say(self, text: str) -> None:
        """A step that takes long."""
        if self._as_json:
            self._logs.event("cloud", text)
        else:
            self._console.print(f"    [dim]{text}[/]", highlight=False)

    def _show(self) -> None:
        if self._as_json or not self._console.is_terminal:
            return
        if self._status is not None:
            self._status.stop()
            self._status = None
        if self._starting:
            self._status = self._console.status(f"starting {', '.join(self._starting)}")
            self._status.start()
