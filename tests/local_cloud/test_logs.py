"""The one log stream."""

import io
import json
from collections.abc import Callable

from infra.local.logs import InvocationRecord, LogStream

RECORD = InvocationRecord(
    function="upload",
    request_id="0dade948-e2a9-48f3-b257-8b2b67d3d39c",
    duration_ms=12.34,
    init_ms=210.0,
    memory_mb=81,
    memory_limit_mb=1024,
    error=None,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_an_invocation_is_one_line_with_everything_that_lambda_reports() -> None:
    stream = io.StringIO()
    LogStream(stream).invocation(RECORD)
    (line,) = stream.getvalue().splitlines()
    assert line.split(maxsplit=1)[1] == (
        "upload     0dade948-e2a9-48f3-b257-8b2b67d3d39c  12.3 ms  init 210 ms  81/1024 MB"
    )


def test_a_failed_invocation_says_what_went_wrong() -> None:
    stream = io.StringIO()
    failed = InvocationRecord("get", "1", 1.0, None, 50, 512, "ValueError: no such thing")
    LogStream(stream).invocation(failed)
    assert stream.getvalue().endswith("50/512 MB  ValueError: no such thing\n")


def test_each_line_of_a_longer_text_has_its_prefix() -> None:
    stream = io.StringIO()
    LogStream(stream).application("consumer", "1", "first\nsecond")
    assert [line.split(maxsplit=1)[1] for line in stream.getvalue().splitlines()] == [
        "consumer   first",
        "consumer   second",
    ]


def test_only_a_terminal_gets_colour() -> None:
    plain, terminal = io.StringIO(), Terminal()
    for stream in (plain, terminal):
        LogStream(stream).application("consumer", "1", "text")
    assert "\x1b[" not in plain.getvalue()
    assert "\x1b[" in terminal.getvalue()


def test_every_function_has_its_own_colour() -> None:
    stream = Terminal()
    logs = LogStream(stream)
    for name in ("list", "get", "list"):
        logs.application(name, "1", "text")
    first, second, third = stream.getvalue().splitlines()
    assert first.split("m")[3:5] == third.split("m")[3:5] or first == third
    assert first.split("\x1b[")[3] != second.split("\x1b[")[3]


def test_json_lines_can_be_read_by_a_program() -> None:
    stream = Terminal()
    logs = LogStream(stream, as_json=True)
    logs.invocation(RECORD)
    logs.application("get", "2", "text")
    logs.event("gateway", "a problem", is_problem=True)
    kinds = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [kind["kind"] for kind in kinds] == ["invocation", "application", "event"]
    assert kinds[0]["duration_ms"] == 12.34
    assert kinds[1]["request_id"] == "2"
    assert kinds[2]["is_problem"] is True


def test_a_burst_is_written_at_once() -> None:
    stream = io.StringIO()
    later: list[Callable[[], None]] = []
    logs = LogStream(stream, call_soon=later.append)
    for number in range(3):
        logs.application("get", None, str(number))
    assert stream.getvalue() == ""
    assert len(later) == 1
    later[0]()
    assert len(stream.getvalue().splitlines()) == 3
