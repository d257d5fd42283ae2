"""One stream for everything that happens: parts, invocations, and what functions log."""

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any, TextIO

from infra.local.logs.archive import LogArchive
from infra.local.logs.formatting import cut, readable

# Of the 256 that terminals have: all to be read on black and on white.
_COLOURS = (
    *(37, 136, 133, 71, 68, 167, 73, 172, 98, 107, 31, 168, 65, 131, 67, 142, 96, 30, 130, 125),
    *(29, 61, 137, 103),
)
_NAME_WIDTH = 10
_ARCHIVE_DELAY_SECONDS = 0.2


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


_INVOCATION_FIELDS = tuple(field.name for field in fields_of(InvocationRecord))


class LogStream:
    """Writes to `stream`, in colour where it is a terminal; as JSON lines where `as_json`.

    Lines are written once per turn of the event loop, so that a burst costs one system call. All of
    it goes to `archive` as JSON lines. `is_whole`: nothing is cut, folded or left out.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        as_json: bool = False,
        call_soon: Callable[[Callable[[], None]], object] | None = None,
        archive: LogArchive | None = None,
        call_later: Callable[[float, Callable[[], None]], object] | None = None,
        is_whole: bool = False,
    ) -> None:
        self._stream = stream or sys.stdout
        self._as_json = as_json
        self._call_soon = call_soon
        self._archive = archive
        self._is_whole = is_whole
        self._call_later = call_later
        self._archived: list[tuple[float, str, Mapping[str, Any]]] = []
        self._in_colour = not as_json and self._stream.isatty()
        self._lines: list[str] = []
        self._colour_of: dict[str, int] = {}
        self._second = 0
        self._clock = ""

    def invocation(self, record: InvocationRecord) -> None:
        """One line for a finished invocation."""
        fields = {name: getattr(record, name) for name in _INVOCATION_FIELDS}
        if self._is_only_json("invocation", fields):
            return
        init = f"  init {record.init_ms:.0f} ms" if record.init_ms is not None else ""
        text = (
            f"{record.request_id}  {record.duration_ms:.1f} ms{init}  "
            f"{record.memory_mb}/{record.memory_limit_mb} MB"
        )
        if record.error:
            text += f"  {self._paint(31, self._cut(record.error, record.request_id))}"
        self._write(record.function, self._paint(2, text) if not record.error else text)

    def application(
        self,
        function: str,
        request_id: str | None,
        line: str,
        own_folders: Iterable[Path] = (),
    ) -> None:
        """What a function wrote in one piece; `own_folders` hold its code."""
        fields = {"function": function, "request_id": request_id, "line": line}
        if self._is_only_json("application", fields):
            return
        shown = line.splitlines() if self._is_whole else readable(line, own_folders)
        for text in shown:
            self._write(function, self._cut(text, request_id))

    def event(self, part: str, text: str, *, is_problem: bool = False) -> None:
        """Something that a part of the cloud did, or could not do."""
        fields = {"part": part, "text": text, "is_problem": is_problem}
        if not self._is_only_json("event", fields):
            self._write(part, self._paint(31 if is_problem else 1, text))

    def at(self, seconds: float) -> None:
        """What follows happened then, and not now."""
        self._clock = time.strftime("%H:%M:%S", time.localtime(seconds))
        self._second = -1

    def flush(self) -> None:
        """Writes what has gathered."""
        if self._lines:
            text = "".join(self._lines)
            self._lines.clear()
            self._stream.write(text)
            self._stream.flush()
        if self._call_later is None:
            self.archive()

    def archive(self) -> None:
        """Writes to the archive what has gathered for it."""
        if self._archive is not None and self._archived:
            self._archive.write("".join(map(_json_line, self._archived)))
            self._archived.clear()

    def _is_only_json(self, kind: str, fields: Mapping[str, Any]) -> bool:
        record = (time.time(), kind, fields)
        if self._archive is not None:
            if not self._archived and self._call_later is not None:
                # No request waits for it.
                self._call_later(_ARCHIVE_DELAY_SECONDS, self.archive)
            self._archived.append(record)
        if self._as_json:
            self._append(_json_line(record))
        return self._as_json

    def _cut(self, text: str, request_id: str | None) -> str:
        if self._is_whole:
            return text
        hint = f": make logs ID={request_id}" if self._archive is not None and request_id else ""
        return cut(text, hint)

    def _write(self, name: str, text: str) -> None:
        if self._second >= 0 and int(time.time()) != self._second:
            self._second = int(time.time())
            self._clock = time.strftime("%H:%M:%S", time.localtime(self._second))
        prefix = f"{self._paint(2, self._clock)} {self._paint_name(name)} "
        for line in text.splitlines() or [""]:
            self._append(f"{prefix}{line}\n")

    def _paint(self, colour: int, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._in_colour else text

    def _paint_name(self, name: str) -> str:
        colour = self._colour_of.setdefault(name, _COLOURS[len(self._colour_of) % len(_COLOURS)])
        padded = name.ljust(_NAME_WIDTH)
        return f"\x1b[38;5;{colour}m{padded}\x1b[0m" if self._in_colour else padded

    def _append(self, line: str) -> None:
        if not self._lines and self._call_soon is not None:
            self._call_soon(self.flush)
        self._lines.append(line)
        if self._call_soon is None:
            self.flush()


def _json_line(record: tuple[float, str, Mapping[str, Any]]) -> str:
    seconds, kind, fields = record
    return json.dumps({"time": round(seconds, 3), "kind": kind, **fields}) + "\n"
