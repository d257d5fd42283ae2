"""One stream for everything that happens: parts, invocations, and what functions log."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TextIO

_COLOURS = (36, 33, 35, 32, 34, 96, 93, 95, 92, 94)
_NAME_WIDTH = 10


@dataclass(frozen=True, slots=True)
class InvocationRecord:
    """What Lambda spreads over START, END and REPORT.

    `error` is None, or the error's type and message; `init_ms` is given for the first invocation
    of an environment alone.
    """

    function: str
    request_id: str
    duration_ms: float
    init_ms: float | None
    memory_mb: int
    memory_limit_mb: int
    error: str | None


class LogStream:
    """Writes to `stream`, in colour where it is a terminal; as JSON lines where `as_json`.

    Lines are written once per turn of the event loop, so that a burst costs one system call.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        as_json: bool = False,
        call_soon: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self._stream = stream or sys.stdout
        self._as_json = as_json
        self._call_soon = call_soon
        self._in_colour = not as_json and self._stream.isatty()
        self._lines: list[str] = []
        self._colour_of: dict[str, int] = {}
        self._second = 0
        self._clock = ""

    def invocation(self, record: InvocationRecord) -> None:
        """One line for a finished invocation."""
        if self._as_json:
            self._json("invocation", asdict(record))
            return
        init = f"  init {record.init_ms:.0f} ms" if record.init_ms is not None else ""
        text = (
            f"{record.request_id}  {record.duration_ms:.1f} ms{init}  "
            f"{record.memory_mb}/{record.memory_limit_mb} MB"
        )
        if record.error:
            text += f"  {self._paint(31, record.error)}"
        self._write(record.function, self._paint(2, text) if not record.error else text)

    def application(self, function: str, request_id: str | None, line: str) -> None:
        """A line that a function wrote."""
        if self._as_json:
            self._json(
                "application", {"function": function, "request_id": request_id, "line": line}
            )
        else:
            self._write(function, line)

    def event(self, part: str, text: str, *, is_problem: bool = False) -> None:
        """Something that a part of the cloud did, or could not do."""
        if self._as_json:
            self._json("event", {"part": part, "text": text, "is_problem": is_problem})
        else:
            self._write(part, self._paint(31 if is_problem else 1, text))

    def flush(self) -> None:
        """Writes what has gathered."""
        if self._lines:
            text = "".join(self._lines)
            self._lines.clear()
            self._stream.write(text)
            self._stream.flush()

    def _json(self, kind: str, fields: Mapping[str, Any]) -> None:
        self._append(json.dumps({"time": round(time.time(), 3), "kind": kind, **fields}) + "\n")

    def _write(self, name: str, text: str) -> None:
        if int(time.time()) != self._second:
            self._second = int(time.time())
            self._clock = time.strftime("%H:%M:%S", time.localtime(self._second))
        colour = self._colour_of.setdefault(name, _COLOURS[len(self._colour_of) % len(_COLOURS)])
        prefix = f"{self._paint(2, self._clock)} {self._paint(colour, name.ljust(_NAME_WIDTH))} "
        for line in text.splitlines() or [""]:
            self._append(f"{prefix}{line}\n")

    def _paint(self, colour: int, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._in_colour else text

    def _append(self, line: str) -> None:
        if not self._lines and self._call_soon is not None:
            self._call_soon(self.flush)
        self._lines.append(line)
        if self._call_soon is None:
            self.flush()
