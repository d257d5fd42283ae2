"""Execution environments: the real emulator around the real runtime."""

import asyncio
import contextlib
import errno
import io
import json
import os
import re
import resource
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from infra.local.invocation import Result, json_event
from infra.local.lambda_.environment import emulator_failure
from infra.local.lambda_.functions import FunctionService
from infra.local.lambda_.output import EnvironmentOutput
from infra.local.lambda_.time_slices import turn_nanoseconds
from infra.local.logs.stream import LogStream
from infra.local.template.model import Template
from infra.local.template.reader import read_template
from infra.services.process_identity import ProcessIdentity
from tests.local_cloud.conftest import StartFunctions
from tests.processes import is_running, is_runtime_of
from tests.waiting import until


@pytest_asyncio.fixture
async def functions(
    template: Template, start_functions: StartFunctions
) -> AsyncIterator[FunctionService]:
    async with start_functions(template) as functions:
        yield functions


async def probe(functions: FunctionService, **event: object) -> Any:
    result = await functions.invoke("ProbeFunction", json_event(event))
    assert not result.is_error, result.payload
    return json.loads(result.payload)


async def test_a_function_runs_with_its_layer(functions: FunctionService) -> None:
    result = await functions.invoke("HelloFunction", json_event({}))
    assert json.loads(result.payload) == {"statusCode": 200, "body": "hello"}


async def test_a_function_sees_only_what_lambda_would_give_it(
    template: Template, start_functions: StartFunctions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEAKED", "no")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    overrides = {"DATABASE_URL": "postgresql://here", "RABBITMQ_URL": "amqp://undeclared"}
    async with start_functions(template, overrides=overrides) as functions:
        environment = (await probe(functions, do="show"))["environment"]
    assert environment["DECLARED"] == "from the template"
    assert environment["DATABASE_URL"] == "postgresql://here"
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == "ProbeFunction"
    assert environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert environment["_HANDLER"] == "app.lambda_handler"
    assert environment["LAMBDA_TASK_ROOT"].endswith("functions/probe")
    unwanted = {"LEAKED", "PYTHONDONTWRITEBYTECODE", "RABBITMQ_URL", "LOCAL_CLOUD_HANDLER", "HOME"}
    assert unwanted & environment.keys() == set()


async def test_what_answers_nobody_gives_way_to_what_answers_requests(
    template: Template, start_functions: StartFunctions
) -> None:
    (api,) = template.rest_apis
    routes = [each for each in api.routes if each.path == "/hello"]
    async with start_functions(
        replace(template, rest_apis=(replace(api, routes=tuple(routes)),))
    ) as functions:
        await functions.invoke("HelloFunction", json_event({}))
        await probe(functions, do="show")
        of_hello, of_probe = (
            {os.getpriority(os.PRIO_PROCESS, pid) for pid in functions.pids()[name]}
            for name in ("hello", "probe")
        )
        turns = {name: turn_nanoseconds(functions.pids()[name][1]) for name in ("hello", "probe")}
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert turns["hello"] == turn_nanoseconds(os.getpid())
    # Linux 6.12 is the first that listens.
    release = tuple(int(part) for part in os.uname().release.split(".")[:2])
    assert turns["probe"] == (100_000_000 if release >= (6, 12) else turns["hello"])
    assert of_hello == {own}
    assert of_probe == {min(own + 10, 19)}


async def test_the_handler_is_not_called_while_the_environment_warms_up(
    functions: FunctionService,
) -> None:
    functions.warm_up(["ProbeFunction"])
    await until(lambda: len(functions.pids()["probe"]) == 2)
    # As other tests find it, too.
    assert is_runtime_of(functions.pids()["probe"][1], "ProbeFunction")
    answer = await probe(functions, do="show")
    assert answer["calls"] == 1


async def test_an_environment_is_used_again(functions: FunctionService) -> None:
    first, second = await probe(functions, do="show"), await probe(functions, do="show")
    assert first["pid"] == second["pid"]
    assert second["calls"] == 2
    assert first["request_id"] != second["request_id"]


async def test_the_context_names_function_and_remaining_time(functions: FunctionService) -> None:
    answer = await probe(functions, do="show")
    assert answer["arn"] == "arn:aws:lambda:us-east-1:012345678912:function:ProbeFunction"
    assert 600_000 < answer["remaining_ms"] <= 900_000


async def test_an_exception_is_a_function_error_and_the_environment_lives_on(
    functions: FunctionService,
) -> None:
    before = await probe(functions, do="show")
    result = await functions.invoke("ProbeFunction", json_event({"do": "raise"}))
    after = await probe(functions, do="show")
    assert result.is_error
    error = json.loads(result.payload)
    assert (error["errorType"], error["errorMessage"]) == ("ValueError", "as asked")
    assert "lambda_handler" in error["stackTrace"][0]
    assert before["pid"] == after["pid"]


async def test_an_answer_that_looks_like_an_error_is_an_answer(
    template: Template, start_functions: StartFunctions, project: Path
) -> None:
    (project / "functions/probe/app.py").write_text(
        "def lambda_handler(event, context):\n"
        "    return {'errorMessage': 'mine', 'errorType': 'Mine', 'requestId': 'another'}\n"
    )
    async with start_functions(template) as functions:
        result = await functions.invoke("ProbeFunction", json_event({}))
    assert not result.is_error


async def test_a_crash_fails_its_request_and_the_next_one_gets_a_new_environment(
    functions: FunctionService,
) -> None:
    before = await probe(functions, do="show")
    result = await functions.invoke("ProbeFunction", json_event({"do": "exit"}))
    after = await probe(functions, do="show")
    assert result.is_error
    assert json.loads(result.payload)["errorType"] == "Runtime.ExitError"
    assert after["calls"] == 1
    assert before["pid"] != after["pid"]


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("is_noticed", [False, True])
async def test_what_is_killed_between_two_invocations_fails_none(
    functions: FunctionService, waiting_room: Path, count: int, is_noticed: bool
) -> None:
    killed = await used_at_once(functions, waiting_room, count)
    emulators = set(functions.pids()["probe"]) - killed
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    if is_noticed:
        await until(lambda: not functions.pids()["probe"])

    answers = [await probe(functions, do="show") for _ in range(count)]

    assert {answer["pid"] for answer in answers} & killed == set()
    assert [answer["calls"] for answer in answers] == list(range(1, count + 1))
    # The emulators do not end by themselves.
    await until(lambda: not any(map(is_running, emulators)))


async def used_at_once(functions: FunctionService, waiting_room: Path, count: int) -> set[int]:
    """The runtimes of as many environments, all of which are idle now."""
    async with asyncio.TaskGroup() as group:
        probes = [
            group.create_task(probe(functions, do="wait", folder=str(waiting_room)))
            for _ in range(count)
        ]
        await until(lambda: len(list(waiting_room.iterdir())) == count)
        (waiting_room / "go").touch()
    return {task.result()["pid"] for task in probes}


async def test_what_is_killed_before_its_first_invocation_fails_none(
    functions: FunctionService,
) -> None:
    functions.warm_up(["ProbeFunction"])
    await until(lambda: len(functions.pids()["probe"]) == 2)
    pid = functions.pids()["probe"][1]
    os.kill(pid, signal.SIGKILL)
    assert (await probe(functions, do="show"))["pid"] != pid


async def test_an_emulator_that_is_killed_between_two_invocations_fails_none(
    functions: FunctionService,
) -> None:
    before = await probe(functions, do="show")
    os.kill(functions.pids()["probe"][0], signal.SIGKILL)
    await until(lambda: not functions.pids()["probe"])
    assert (await probe(functions, do="show"))["pid"] != before["pid"]


async def test_what_is_killed_in_the_midst_of_an_invocation_fails_it(
    functions: FunctionService, waiting_room: Path
) -> None:
    pid = (await probe(functions, do="show"))["pid"]
    event = json_event({"do": "wait", "folder": str(waiting_room)})
    running = asyncio.create_task(functions.invoke("ProbeFunction", event))
    await until(lambda: list(waiting_room.iterdir()))
    os.kill(pid, signal.SIGKILL)
    result = await running
    assert result.is_error
    assert json.loads(result.payload) == {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"RequestId: {event.request_id} Error: Runtime exited with error: "
        "signal: killed",
    }


async def test_what_ends_just_behind_its_answer_has_answered(template: Template) -> None:
    shown = io.StringIO()
    output = EnvironmentOutput(template.functions["ProbeFunction"], LogStream(shown))
    for payload in (b'{"statusCode": 200}', b"[1]", b"null"):
        output.begin("request-1")
        output.end(Result(payload), 12.0, 57, is_alive=False)
    output.close(1)
    assert await output.log() == b""
    assert shown.getvalue().count("probe") == 3
    assert "error" not in shown.getvalue().lower()


@pytest.mark.parametrize(
    ("payload", "error_type", "message"),
    [
        (b'{"errorType": "Of.Its.Own", "errorMessage": "words"}', "Of.Its.Own", "words"),
        (b"not JSON", "Runtime.ExitError", "RequestId: request-1 Error: not JSON"),
        (b"[]", "Runtime.ExitError", "RequestId: request-1 Error: []"),
        (b"", "Runtime.ExitError", "RequestId: request-1 Error: Runtime exited without"),
    ],
)
def test_whatever_the_emulator_says_when_it_fails_is_said_as_lambda_would(
    payload: bytes, error_type: str, message: str
) -> None:
    failure = emulator_failure(payload, "request-1")
    error = json.loads(failure.payload)
    assert failure.is_error
    assert error["errorType"] == error_type
    assert error["errorMessage"].startswith(message)


async def answer_of_hasty_probe(functions: FunctionService) -> Any:
    while (result := await functions.invoke("ProbeFunction", json_event({"do": "show"}))).is_error:
        assert json.loads(result.payload)["errorType"] == "Sandbox.Timedout", result.payload
    return json.loads(result.payload)


async def test_a_time_out_kills_the_environment(
    hasty_project: Path, start_functions: StartFunctions
) -> None:
    template = read_template(hasty_project / "template.yaml", {}, "us-east-1")
    async with start_functions(template) as functions:
        before = await answer_of_hasty_probe(functions)
        event = json_event({"do": "sleep", "seconds": 3600})
        result = await functions.invoke("ProbeFunction", event)
        assert result.is_error
        error = json.loads(result.payload)
        assert error["errorType"] == "Sandbox.Timedout"
        assert "timed out after 2.00 seconds" in error["errorMessage"]
        await until(lambda: not is_running(before["pid"]))
        after = await answer_of_hasty_probe(functions)
    assert after["calls"] == 1


async def test_an_answer_over_six_megabytes_is_refused(functions: FunctionService) -> None:
    allowed = await functions.invoke(
        "ProbeFunction", json_event({"do": "large", "bytes": 6 * 1024 * 1024 - 2})
    )
    refused = await functions.invoke(
        "ProbeFunction", json_event({"do": "large", "bytes": 6 * 1024 * 1024 + 200})
    )
    assert not allowed.is_error
    assert len(allowed.payload) == 6 * 1024 * 1024
    assert refused.is_error
    assert json.loads(refused.payload)["errorType"] == "Function.ResponseSizeTooLarge"


async def test_a_large_event_arrives_whole(functions: FunctionService) -> None:
    text = "0123456789" * 400_000
    answer = await probe(functions, do="show", text=text)
    assert answer["event"]["text"] == text


async def test_code_that_cannot_be_imported_fails_requests_until_it_is_mended(
    template: Template, start_functions: StartFunctions, project: Path
) -> None:
    source = project / "functions/probe/app.py"
    good = source.read_text()
    source.write_text("import a_module_that_does_not_exist\n")
    async with start_functions(template) as functions:
        result = await functions.invoke("ProbeFunction", json_event({}))
        assert result.is_error
        error = json.loads(result.payload)
        assert error["errorType"] == "Runtime.ImportModuleError"
        assert "Unable to import module 'app'" in error["errorMessage"]
        source.write_text(good)
        await functions.reload([source])
        assert (await probe(functions, do="show"))["calls"] == 1


async def test_an_edit_in_the_same_second_and_of_the_same_length_is_run(
    functions: FunctionService, project: Path
) -> None:
    source = project / "layers/greetings/greetings.py"
    for greeting in ("hallo", "salut", "hello", "howdy"):
        source.write_text(f'GREETING = "{greeting}"\n')
        assert await functions.reload([source]) == ["hello"]
        result = await functions.invoke("HelloFunction", json_event({}))
        assert json.loads(result.payload)["body"] == greeting


async def test_what_a_function_logs_is_passed_on_and_its_report_folded_into_one_line(
    functions: FunctionService, log_text: io.StringIO
) -> None:
    await probe(functions, do="log")
    await probe(functions, do="show")
    await until(lambda: log_text.getvalue().count(" ms") == 3)
    lines = log_text.getvalue().splitlines()
    assert [line.split(maxsplit=2)[2] for line in lines[:2]] == ["first line", "second line"]
    first, second = lines[2:]
    assert "init" in first
    assert "init" not in second
    assert "/256 MB" in first
    used_mb = int(second.split("/256 MB")[0].split()[-1])
    assert 10 < used_mb < 100
    assert not any("REPORT" in line or "START" in line for line in lines)


async def test_a_traceback_is_logged_line_by_line(
    functions: FunctionService, log_text: io.StringIO
) -> None:
    await functions.invoke("ProbeFunction", json_event({"do": "raise"}))
    await until(lambda: log_text.getvalue().endswith("ValueError: as asked\n"))
    lines = log_text.getvalue().splitlines()
    assert any(line.endswith('raise ValueError("as asked")') for line in lines)
    assert any("Traceback" in line for line in lines)


async def test_concurrent_requests_get_environments_of_their_own(
    template: Template, start_functions: StartFunctions, waiting_room: Path
) -> None:
    async with start_functions(template, limit=2) as functions, asyncio.TaskGroup() as group:
        probes = [
            group.create_task(probe(functions, do="wait", folder=str(waiting_room)))
            for _ in range(4)
        ]
        await until(lambda: len(list(waiting_room.iterdir())) == 2)
        (waiting_room / "go").touch()
    answers = [task.result() for task in probes]
    assert len({answer["pid"] for answer in answers}) == 2


async def test_stopping_lets_a_running_invocation_finish_and_leaves_no_process(
    template: Template, start_functions: StartFunctions
) -> None:
    async with start_functions(template) as functions:
        await probe(functions, do="show")
        pids = functions.pids()["probe"]
        running = asyncio.create_task(probe(functions, do="sleep", seconds=0.5))
        await asyncio.sleep(0)
    assert (await running)["calls"] == 2
    assert len(pids) == 2
    assert not any(map(is_running, pids))


async def test_a_function_added_to_the_template_runs(
    functions: FunctionService, project: Path
) -> None:
    (project / "functions/second").mkdir()
    (project / "functions/second/app.py").write_text(
        "def lambda_handler(event, context):\n    return 'second'\n"
    )
    path = project / "template.yaml"
    path.write_text(
        path.read_text()
        + "  SecondFunction:\n"
        + "    Type: AWS::Serverless::Function\n"
        + "    Properties: {CodeUri: functions/second}\n"
    )
    kept = await probe(functions, do="show")
    await functions.apply(read_template(path, {}, "us-east-1"))
    result = await functions.invoke("SecondFunction", json_event({}))
    again = await probe(functions, do="show")
    assert json.loads(result.payload) == "second"
    assert kept["pid"] == again["pid"]


@pytest.mark.parametrize(
    ("source", "error_type", "message"),
    [
        (
            "other = 1\n",
            "Runtime.HandlerNotFound",
            "Handler 'lambda_handler' missing on module 'app'",
        ),
        (
            "import sys\nsys.exit('SETTING_X is missing')\n",
            "Runtime.ExitError",
            "Runtime exited without providing a reason",
        ),
        ("1 / 0\n", "ZeroDivisionError", "division by zero"),
        ("def lambda_handler(\n", "Runtime.UserCodeSyntaxError", "Syntax error in module 'app'"),
    ],
)
async def test_what_is_wrong_with_a_handler_is_said_as_lambda_says_it(
    template: Template,
    start_functions: StartFunctions,
    project: Path,
    source: str,
    error_type: str,
    message: str,
) -> None:
    (project / "functions/probe/app.py").write_text(source)
    async with start_functions(template) as functions:
        result = await functions.invoke("ProbeFunction", json_event({}))
    assert result.is_error
    error = json.loads(result.payload)
    assert error["errorType"] == error_type
    assert message in error["errorMessage"]
    assert "infra/local" not in result.payload.decode()


async def test_a_handler_without_a_module_is_malformed(
    project: Path, start_functions: StartFunctions
) -> None:
    path = project / "template.yaml"
    path.write_text(path.read_text().replace("app.lambda_handler", "app"))
    async with start_functions(read_template(path, {}, "us-east-1")) as functions:
        result = await functions.invoke("ProbeFunction", json_event({}))
    error = json.loads(result.payload)
    assert error["errorType"] == "Runtime.MalformedHandlerName"
    assert error["errorMessage"].startswith("Bad handler 'app'")


async def test_a_tracebacks_frames_are_the_functions(functions: FunctionService) -> None:
    result = await functions.invoke("ProbeFunction", json_event({"do": "raise"}))
    (frame,) = json.loads(result.payload)["stackTrace"]
    assert "functions/probe/app.py" in frame


async def test_an_invocation_knows_its_trace_and_where_it_logs(functions: FunctionService) -> None:
    event = replace(json_event({"do": "show"}), trace_id="Root=1-2-3;Parent=4;Sampled=0")
    result = await functions.invoke("ProbeFunction", event)
    traced = json.loads(result.payload)["environment"]
    plain = (await probe(functions, do="show"))["environment"]
    assert traced["_X_AMZN_TRACE_ID"] == "Root=1-2-3;Parent=4;Sampled=0"
    assert re.fullmatch(
        r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0",
        plain["_X_AMZN_TRACE_ID"],
    )
    assert plain["AWS_LAMBDA_LOG_GROUP_NAME"] == "/aws/lambda/ProbeFunction"
    assert re.fullmatch(
        r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", plain["AWS_LAMBDA_LOG_STREAM_NAME"]
    )


async def test_the_runtime_has_boto3(
    template: Template, start_functions: StartFunctions, project: Path
) -> None:
    (project / "functions/probe/app.py").write_text(
        "import boto3\ndef lambda_handler(event, context):\n    return boto3.__name__\n"
    )
    async with start_functions(template) as functions:
        result = await functions.invoke("ProbeFunction", json_event({}))
    assert json.loads(result.payload) == "boto3"


async def test_the_tail_of_the_log_is_true(
    template: Template, start_functions: StartFunctions, project: Path
) -> None:
    (project / "functions/probe/app.py").write_text(
        "def lambda_handler(event, context):\n    print('no line end', end='')\n"
    )
    async with start_functions(template) as functions:
        tails = []
        for _ in range(2):
            event = replace(json_event({}), wants_log=True)
            result = await functions.invoke("ProbeFunction", event)
            tails.append(result.log.decode().splitlines())
    for start, line, end, report in tails:
        assert start.startswith("START RequestId: ")
        assert line == "no line end"
        assert end.startswith("END RequestId: ")
        used = re.search(r"\tMemory Size: 256 MB\tMax Memory Used: (\d+) MB\t", report)
        assert used is not None
        assert int(used[1]) < 100
    assert ["Init Duration" in tail[3] for tail in tails] == [True, False]


FORGETFUL = """
import os, subprocess, sys
def lambda_handler(event, context):
    print("begun", end="")
    exec(event["code"])
"""
# Twice the limit, in one piece that is allocated at once, little by little, and by another process.
_FILLED = "b'x' * (512 << 20)"


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (f"held = {_FILLED}", "signal: killed", "Runtime.OutOfMemory"),
        (
            "held = []\nwhile True: held.append(b'x' * 100_000)",
            "signal: killed",
            "Runtime.OutOfMemory",
        ),
        (
            f'subprocess.run([sys.executable, "-c", "held = {_FILLED}\\nwhile True: pass"])',
            "signal: killed",
            "Runtime.OutOfMemory",
        ),
        ("os._exit(3)", "exit status 3", "Runtime.ExitError"),
    ],
)
async def test_what_ends_a_runtime_is_said_as_lambda_says_it(
    template: Template,
    start_functions: StartFunctions,
    project: Path,
    code: str,
    reason: str,
    kind: str,
) -> None:
    (project / "functions/probe/app.py").write_text(FORGETFUL)
    async with start_functions(template) as functions:
        event = replace(json_event({"code": code + "\nwhile True: pass"}), wants_log=True)
        result = await functions.invoke("ProbeFunction", event)
        after = await functions.invoke("ProbeFunction", json_event({"code": ""}))
    words = f"RequestId: {event.request_id} Error: Runtime exited with error: {reason}"
    assert result.is_error
    assert json.loads(result.payload) == {"errorType": "Runtime.ExitError", "errorMessage": words}
    start, *written, report = result.log.decode().splitlines()
    assert start == f"START RequestId: {event.request_id} Version: $LATEST"
    assert written == ["begun", words, "Runtime.ExitError", f"END RequestId: {event.request_id}"]
    used = re.search(r"\tMemory Size: 256 MB\tMax Memory Used: (\d+) MB\t", report)
    assert used is not None
    assert (used[1] == "256") == (kind == "Runtime.OutOfMemory")
    assert report.endswith(f"\tStatus: error\tError Type: {kind}")
    assert not after.is_error


async def test_a_function_that_needs_too_much_to_start_is_ended(
    template: Template, start_functions: StartFunctions, project: Path, log_text: io.StringIO
) -> None:
    (project / "functions/probe/app.py").write_text(f"held = {_FILLED}\nwhile True: pass\n")
    async with start_functions(template) as functions:
        result = await functions.invoke("ProbeFunction", json_event({}))
    assert json.loads(result.payload)["errorMessage"].endswith("signal: killed")
    assert "more than its MemorySize, 256 MB" in log_text.getvalue()


@pytest.mark.parametrize("number", [1, 2])
async def test_a_process_that_cannot_be_written_down_is_a_failed_init_and_ends(
    template: Template, start_functions: StartFunctions, number: int
) -> None:
    """As on a full disk, where the next start of the cloud would not find it."""
    noted: list[ProcessIdentity] = []

    def note(identity: ProcessIdentity) -> None:
        noted.append(identity)
        if len(noted) == number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with start_functions(template, on_process=note) as functions:
        for _ in range(2):
            noted.clear()
            result = await functions.invoke("ProbeFunction", json_event({"do": "show"}))
            assert result.is_error
            error = json.loads(result.payload)
            assert error["errorType"] == "Runtime.ExitError"
            assert "No space left on device" in error["errorMessage"]
            assert len(noted) == number
            await until(lambda: not any(identity.is_alive() for identity in noted))


async def test_memory_that_processes_share_counts_once(
    template: Template, start_functions: StartFunctions, project: Path
) -> None:
    (project / "functions/probe/app.py").write_text(
        "import os, time\n"
        "held = b'x' * (150 << 20)\n"
        "def lambda_handler(event, context):\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        time.sleep(0.5)\n"
        "        os._exit(7)\n"
        "    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])\n"
    )
    async with start_functions(template) as functions:
        result = await functions.invoke("ProbeFunction", json_event({}))
    assert result.payload == b"7"


async def test_what_the_emulator_does_not_end_in_time_is_ended(
    hasty_project: Path, start_functions: StartFunctions
) -> None:
    template = read_template(hasty_project / "template.yaml", {}, "us-east-1")
    async with start_functions(template) as functions:
        await answer_of_hasty_probe(functions)
        # There are two where the first answer took too long.
        environments = functions.pids()["probe"]
        for pid in environments:
            os.kill(pid, signal.SIGSTOP)
        try:
            result = await functions.invoke("ProbeFunction", json_event({"do": "show"}))
        finally:
            for pid in environments:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
    assert json.loads(result.payload)["errorType"] == "Sandbox.Timedout"


async def test_processor_time_is_bounded_for_each_invocation_anew(
    functions: FunctionService, waiting_room: Path
) -> None:
    pid = (await probe(functions, do="show"))["pid"]

    def bound() -> int:
        return resource.prlimit(pid, resource.RLIMIT_CPU)[0]

    running = asyncio.create_task(probe(functions, do="wait", folder=str(waiting_room)))
    await until(lambda: bound() != resource.RLIM_INFINITY)
    assert bound() <= 900 + 10
    (waiting_room / "go").touch()
    await running
    # Or the short ones that follow would use it up together.
    assert bound() == resource.RLIM_INFINITY


async def test_the_log_of_a_time_out_is_lambdas(
    hasty_project: Path, start_functions: StartFunctions
) -> None:
    template = read_template(hasty_project / "template.yaml", {}, "us-east-1")
    async with start_functions(template) as functions:
        await answer_of_hasty_probe(functions)
        event = replace(json_event({"do": "sleep", "seconds": 3600}), wants_log=True)
        result = await functions.invoke("ProbeFunction", event)
    _, timed_out, gap, end, report = result.log.decode().splitlines()
    assert re.fullmatch(
        rf"\d{{4}}-\d\d-\d\dT[\d:.]+Z {event.request_id} Task timed out after 2.00 seconds",
        timed_out,
    )
    assert (gap, end) == ("", f"END RequestId: {event.request_id}")
    assert report.startswith(f"REPORT RequestId: {event.request_id}\tDuration: 2")
    assert report.endswith("\tStatus: timeout")


async def test_a_function_is_told_that_an_asynchronous_invocation_failed(
    project: Path, start_functions: StartFunctions, waiting_room: Path
) -> None:
    path = project / "template.yaml"
    path.write_text(
        path.read_text().replace(
            "      CodeUri: functions/probe\n",
            "      CodeUri: functions/probe\n"
            "      EventInvokeConfig:\n"
            "        MaximumRetryAttempts: 0\n"
            "        DestinationConfig:\n"
            "          OnFailure: {Type: Lambda, Destination: !GetAtt HelloFunction.Arn}\n",
        )
    )
    told = waiting_room / "told"
    (project / "functions/hello/app.py").write_text(
        "import json, pathlib\n"
        "def lambda_handler(event, context):\n"
        f"    pathlib.Path({str(told)!r} + '.new').write_text(json.dumps(event))\n"
        f"    pathlib.Path({str(told)!r} + '.new').rename({str(told)!r})\n"
    )
    async with start_functions(read_template(path, {}, "us-east-1")) as functions:
        functions.invoke_later("ProbeFunction", json_event({"do": "raise"}))
        await until(told.exists)
    record = json.loads(told.read_text())
    assert record["requestPayload"] == {"do": "raise"}
    assert record["responsePayload"]["errorType"] == "ValueError"
    arn = "arn:aws:lambda:us-east-1:012345678912:function:ProbeFunction:$LATEST"
    assert record["requestContext"]["functionArn"] == arn
