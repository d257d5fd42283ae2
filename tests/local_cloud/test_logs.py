"""The one log stream."""

import io
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from infra.local.logs.archive import LogArchive
from infra.local.logs.stream import InvocationRecord, LogStream

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


def shown(text: str, *, own: str = "/project", archive: LogArchive | None = None) -> list[str]:
    """What of a record is shown, without time and name."""
    stream = io.StringIO()
    LogStream(stream, archive=archive).application("relay", "1", text, [Path(own)])
    return [line[len("00:00:00 relay      ") :] for line in stream.getvalue().splitlines()]


def test_metrics_are_one_short_line() -> None:
    directive = {"Namespace": "Images", "Dimensions": [["service"]], "Metrics": [{"Name": "Age"}]}
    metrics = {"_aws": {"Timestamp": 1, "CloudWatchMetrics": [directive]}, "service": "x", "Age": 3}
    assert shown(json.dumps(metrics)) == ["metrics Age=3"]


def test_a_line_of_json_is_its_message_and_what_it_says_of_it() -> None:
    fields = {
        "level": "INFO",
        "location": "relay:12",
        "message": "published",
        "timestamp": "2026-11-26",
        "service": "image-api",
        "changes": 3,
        "correlation_id": "c-1",
    }
    assert shown(json.dumps(fields)) == ["INFO published changes=3 correlation_id=c-1"]
    assert shown('{"no": "message"}') == ['{"no": "message"}']
    assert shown("{broken}") == ["{broken}"]


TRACEBACK = """\
[ERROR] ValueError: as asked
Traceback (most recent call last):
  File "/elsewhere/framework.py", line 30, in call
    return handler(event)
           ^^^^^^^^^^^^^^
  File "/elsewhere/other.py", line 31, in call
    return handler(event)
  File "/project/app.py", line 2, in lambda_handler
    raise ValueError("as asked")
ValueError: as asked"""


def test_of_a_traceback_the_frames_of_the_functions_own_code_are_shown() -> None:
    own = [
        "[ERROR] ValueError: as asked",
        "Traceback (most recent call last):",
        "  … 2 of other code",
        '  File "/project/app.py", line 2, in lambda_handler',
        '    raise ValueError("as asked")',
        "ValueError: as asked",
    ]
    assert shown(TRACEBACK) == own
    assert shown(TRACEBACK, own="/nowhere") == TRACEBACK.splitlines()
    fields = {"level": "ERROR", "message": "failed", "exception": TRACEBACK}
    assert shown(json.dumps(fields)) == ["ERROR failed", *own]


def test_what_is_too_long_says_where_the_rest_is(tmp_path: Path) -> None:
    with closing(LogArchive(tmp_path)) as archive:
        (line,) = shown("x" * 1000, archive=archive)
    assert line == "x" * 400 + " … 600 characters more: make logs ID=1"
    assert shown("x" * 1000) == ["x" * 400 + " … 600 characters more"]


def test_a_full_disk_costs_the_archive_and_not_the_log() -> None:
    stream = io.StringIO()
    logs = LogStream(stream, archive=LogArchive(Path("/dev/null/nowhere")))
    logs.application("get", "1", "text")
    assert stream.getvalue().endswith("get        text\n")
