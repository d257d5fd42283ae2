"""What functions write, as a person wants to read it while they work."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

_MAX_CHARACTERS = 400
_TRACEBACK = "Traceback (most recent call last):"
# What the runtime puts before each error of an import, on updates of AWS's runtimes.
_RUNTIME_WARNING = "LAMBDA_WARNING: Unhandled exception."
_FRAME = re.compile(r'^\s*File "([^"]+)", line \d+')
# What a log line of JSON has for machines: the line's prefix says it, or it never changes.
_FOR_MACHINES = {
    "asctime",
    "cold_start",
    "exception",
    "exception_name",
    "function_arn",
    "function_memory_size",
    "function_name",
    "function_request_id",
    "level",
    "location",
    "message",
    "requestId",
    "sampling_rate",
    "service",
    "stack_trace",
    "taskName",
    "timestamp",
    "xray_trace_id",
}


def readable(text: str, own_folders: Iterable[Path]) -> Iterator[str]:
    """The lines to show of one record, which `make logs` has whole.

    Metrics are folded, fields of JSON lines named, and of tracebacks only frames of the function's
    own folders kept.
    """
    if _RUNTIME_WARNING in text:
        return
    fields = _json_object(text)
    folders = tuple(map(str, own_folders))
    if fields is None:
        yield from own_frames(text, folders)
    elif "_aws" in fields:
        yield _metrics(fields)
    elif isinstance(fields.get("message"), str | int | float) and "level" in fields:
        yield from own_frames(_message(fields), folders)
        if isinstance(fields.get("exception"), str):
            yield from own_frames(fields["exception"], folders)
    else:
        yield text


def cut(line: str, hint: str) -> str:
    """What is too long for a terminal ends with a hint where the rest is."""
    rest = len(line) - _MAX_CHARACTERS
    return line if rest <= 0 else f"{line[:_MAX_CHARACTERS]} … {rest} characters more{hint}"


def own_frames(text: str, folders: tuple[str, ...]) -> Iterator[str]:
    """Lines, without the frames of other people's code; where all are, nothing is left out."""
    lines = text.splitlines()
    owners = [found.group(1).startswith(folders) for found in map(_FRAME.match, lines) if found]
    if _TRACEBACK not in text or not any(owners):
        yield from lines
        return
    indent, hidden, is_shown = 0, 0, True
    for line in lines:
        depth = len(line) - len(line.lstrip())
        if found := _FRAME.match(line):
            indent, is_shown = depth, found.group(1).startswith(folders)
            hidden += not is_shown
        elif depth <= indent:
            is_shown = True
        if is_shown:
            if hidden:
                yield f"  … {hidden} of other code"
            hidden = 0
            yield line


def _metrics(fields: Mapping[str, Any]) -> str:
    directives = (fields.get("_aws") or {}).get("CloudWatchMetrics") or []
    names = [metric.get("Name", "") for entry in directives for metric in entry.get("Metrics", ())]
    shown = (f"{name}={_short(fields.get(name))}" for name in names)
    return f"metrics {' '.join(shown)}".rstrip()


def _message(fields: Mapping[str, Any]) -> str:
    others = (
        f"{name}={_short(value)}" for name, value in fields.items() if name not in _FOR_MACHINES
    )
    return " ".join((str(fields["level"]), str(fields["message"]), *others))


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _json_object(text: str) -> dict[str, Any] | None:
    if not (text.startswith("{") and text.endswith("}")):
        return None
    try:
        fields = json.loads(text)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None
