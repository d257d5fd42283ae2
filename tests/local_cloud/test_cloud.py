"""The whole local cloud as a command, over the small project.

The services are said to run elsewhere: this project uses none of them.
"""

import json
import os
import platform
import resource
import socket
import stat
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from infra.local.settings import read_settings
from tests.local_cloud.small_cloud import ELSEWHERE, Cloud, refused, running
from tests.processes import is_running, is_runtime_of
from tests.waiting import eventually

RUNTIME = f"python3.{sys.version_info.minor}"
SECOND = """  SecondFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/second
      Events:
        Get:
          Type: Api
          Properties: {Path: /second, Method: get}
"""


def test_it_serves_the_template_and_stops_without_a_trace(project: Path) -> None:
    with running(Cloud(project)) as cloud:
        assert cloud.get("/hello") == (200, "hello")
        assert stat.S_IMODE(cloud.state_path.stat().st_mode) == 0o600
        state = cloud.state
        pids = cloud.pids()
        cloud.stop()
    assert state["pid"] in pids
    assert f"API ready at {state['api_url']}\n" in cloud.log()
    assert state["functions"]["hello"] == {"logical_id": "HelloFunction", "name": "HelloFunction"}
    assert state["environment"] | ELSEWHERE == state["environment"]
    assert state["environment"]["DECLARED"] == "from the template"
    assert len(state["environment"]["JWT_SECRET"]) >= 32
    assert len(pids) > 1
    eventually(lambda: not any(map(is_running, pids)), "all of it has ended")
    assert "Traceback" not in cloud.log()


def test_two_hundred_requests_at_once_are_all_answered(project: Path) -> None:
    with running(Cloud(project)) as cloud, ThreadPoolExecutor(200) as threads:
        begun = threading.Barrier(200)

        def ask(_number: int) -> tuple[int, str]:
            begun.wait()
            return cloud.get("/hello")

        answers = list(threads.map(ask, range(200)))
        assert set(answers) == {(200, "hello")}
        # The others waited for these.
        eventually(lambda: cloud.log().count(" MB") == 200, "all are logged")
        assert 1 <= cloud.log().count("  init ") <= max(4, 2 * (os.cpu_count() or 1))


def test_a_login_that_may_open_few_files_serves_more_connections_than_that(project: Path) -> None:
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, most))
        try:
            cloud = stack.enter_context(running(Cloud(project)))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))
        address = urlsplit(cloud.api_url)
        for _ in range(200):
            connection = HTTPConnection(str(address.hostname), address.port)
            stack.callback(connection.close)
            connection.request("GET", "/hello")
            assert connection.getresponse().read() == b"hello"
        # A function has as many as on Lambda.
        name = cloud.function_name("hello")
        runtimes = [pid for pid in cloud.pids() if is_runtime_of(pid, name)]
        assert {resource.prlimit(pid, resource.RLIMIT_NOFILE)[0] for pid in runtimes} == {1024}


def test_a_generated_secret_is_kept(project: Path) -> None:
    secrets = []
    for _ in range(2):
        with running(Cloud(project)) as cloud:
            secrets.append(cloud.state["environment"]["JWT_SECRET"])
    assert secrets[0] == secrets[1]


def test_ctrl_c_lets_a_request_finish(project: Path, waiting_room: Path) -> None:
    with running(Cloud(project)) as cloud, ThreadPoolExecutor(1) as threads:
        asked = threads.submit(cloud.get, f"/do/wait?folder={waiting_room}")
        eventually(lambda: list(waiting_room.iterdir()), "the function runs")
        cloud.interrupt()
        cloud.says("stopping")
        assert not asked.done()
        (waiting_room / "go").touch()
        assert asked.result()[0] == 200
        cloud.wait_for_end()
    assert "Traceback" not in cloud.log()


def test_edited_code_runs_with_the_next_request(project: Path) -> None:
    with running(Cloud(project)) as cloud:
        assert cloud.get("/hello") == (200, "hello")
        (project / "layers/greetings/greetings.py").write_text('GREETING = "howdy"\n')
        eventually(lambda: cloud.get("/hello") == (200, "howdy"), "the new code runs")
        source = project / "functions/hello/app.py"
        good = source.read_text()
        source.write_text("this is not Python\n")
        eventually(lambda: cloud.get("/hello")[0] == 502, "the broken code runs")
        source.write_text(good)
        eventually(lambda: cloud.get("/hello") == (200, "howdy"), "the new code runs")
        assert "new code: hello" in cloud.log()


def test_a_function_and_its_route_are_added_while_it_runs(project: Path) -> None:
    path = project / "template.yaml"
    original = path.read_text()
    with running(Cloud(project)) as cloud:
        assert cloud.get("/second")[0] == 403
        (project / "functions/second").mkdir()
        source = project / "functions/second/app.py"
        source.write_text(
            "def lambda_handler(event, context):\n    return {'body': event['resource']}\n"
        )
        path.write_text(original + SECOND)
        eventually(lambda: cloud.get("/second") == (200, "/second"), "the route is served")
        source.write_text("def lambda_handler(event, context):\n    return {'body': 'edited'}\n")
        eventually(lambda: cloud.get("/second") == (200, "edited"), "the new code runs")
        path.write_text(original)
        eventually(lambda: cloud.get("/second")[0] == 403, "the route is gone")


def test_code_that_is_saved_together_with_a_new_function_is_run(project: Path) -> None:
    path = project / "template.yaml"
    with running(Cloud(project)) as cloud:
        assert cloud.get("/hello") == (200, "hello")
        (project / "functions/second").mkdir()
        (project / "functions/second/app.py").write_text(
            "def lambda_handler(event, context):\n    return {'body': 'second'}\n"
        )
        path.write_text(path.read_text() + SECOND)
        (project / "layers/greetings/greetings.py").write_text('GREETING = "howdy"\n')
        eventually(lambda: cloud.get("/second") == (200, "second"), "the route is served")
        eventually(lambda: cloud.get("/hello") == (200, "howdy"), "the new code runs")


def test_a_broken_template_leaves_the_last_working_one_in_place(project: Path) -> None:
    path = project / "template.yaml"
    original = path.read_text()
    with running(Cloud(project)) as cloud:
        path.write_text(original.replace("functions/hello", "functions/missing"))
        cloud.says("keeps its last working version")
        assert cloud.get("/hello") == (200, "hello")
        path.write_text(original + "  Broken: [\n")
        cloud.says("not valid YAML")
        assert cloud.get("/hello") == (200, "hello")


def test_after_a_kill_nothing_is_left_and_it_starts_again(project: Path) -> None:
    with running(Cloud(project)) as cloud:
        cloud.get("/hello")
        pids = cloud.pids()
        cloud.kill()
        eventually(lambda: not any(map(is_running, pids)), "all of it has ended")
    with running(Cloud(project)) as cloud:
        assert cloud.get("/hello") == (200, "hello")


def test_a_second_cloud_on_the_same_data_is_refused(project: Path) -> None:
    with running(Cloud(project)) as cloud:
        words = refused(Cloud(project), "run")
        assert f"process {cloud.state['pid']}" in words
        assert "--data-folder" in words
        assert cloud.get("/hello") == (200, "hello")


def test_a_port_in_use_is_told_with_the_way_out(project: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        words = refused(Cloud(project), "run", "--port", str(port))
    assert f"Port {port} is already in use" in words
    assert "API_PORT=" in words


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("functions/hello", "functions/missing", "there is no folder"),
        (f"Runtime: {RUNTIME}", "Runtime: java21", "runs Python functions"),
        (f"Runtime: {RUNTIME}", "Runtime: python3.99", "has the runtime python3.99, and functions"),
        ("Resources:", "Resources: [", "not valid YAML"),
        (
            "Type: Api\n          Properties: {Path: /hello, Method: get}",
            "Type: Schedule\n          Properties: {Schedule: always}",
            "'always' is neither rate",
        ),
    ],
)
def test_a_template_that_cannot_run_is_refused_in_words(
    project: Path, old: str, new: str, words: str
) -> None:
    path = project / "template.yaml"
    path.write_text(path.read_text().replace(old, new))
    assert words in refused(Cloud(project), "run")


def test_the_services_alone_need_no_python_for_functions(project: Path) -> None:
    assert "There is no Python for the functions" in refused(
        Cloud(project, LAMBDA_PYTHON="/nowhere"), "run"
    )
    services = Cloud(project, command="services", LAMBDA_PYTHON="/nowhere")
    with running(services):
        services.stop()


def test_whoever_names_a_python_runs_any_template_on_it(project: Path) -> None:
    template = project / "template.yaml"
    template.write_text(template.read_text().replace(RUNTIME, "python3.99"))
    python = str(read_settings().python)
    with running(Cloud(project, LAMBDA_PYTHON=python)) as cloud:
        assert cloud.get("/hello") == (200, "hello")
        assert f"on Python {platform.python_version()} (on AWS: python3.99)" in cloud.log()


def test_a_python_that_cannot_run_functions_is_refused_in_words(project: Path) -> None:
    for python, words in (
        (sys.executable, "cannot run functions without AWS's runtime"),
        ("/bin/false", "does not run as a Python"),
    ):
        assert words in refused(Cloud(project, LAMBDA_PYTHON=python), "run")


def test_a_function_is_invoked_through_the_running_cloud(project: Path) -> None:
    event = project / "event.json"
    event.write_text('{"do": "log"}')
    with running(Cloud(project)) as cloud:
        done = cloud.run("invoke", "probe", "--event", str(event))
        words = refused(cloud, "invoke", "nothing", "--event", str(event))
    assert "nothing" in words
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["event"] == {"do": "log"}
    assert "first line" in done.stderr
    assert "REPORT" in done.stderr


def test_a_function_is_invoked_without_a_running_cloud(project: Path) -> None:
    event = project / "event.json"
    event.write_text('{"do": "raise"}')
    done = Cloud(project).run("invoke", "ProbeFunction", "--event", str(event))
    assert done.returncode == 1
    assert json.loads(done.stdout)["errorType"] == "ValueError"
    assert "ValueError: as asked" in done.stderr


@pytest.mark.parametrize(
    ("function", "event", "words"),
    [
        ("nothing", "{}", "There is no function nothing; there are: hello, probe"),
        ("probe", "{", "is not JSON"),
        ("probe", None, "There is no event at"),
    ],
)
def test_an_invocation_that_makes_no_sense_is_refused_in_words(
    project: Path, function: str, event: str | None, words: str
) -> None:
    path = project / "event.json"
    if event is not None:
        path.write_text(event)
    assert words in refused(Cloud(project), "invoke", function, "--event", str(path))


def test_the_log_can_be_read_by_a_program(project: Path) -> None:
    with running(Cloud(project, as_json=True)) as cloud:
        cloud.get("/hello")
        cloud.get("/do/log")
        eventually(lambda: cloud.log().count('"kind": "invocation"') == 2, "both are logged")
        lines = [json.loads(line) for line in cloud.log().splitlines()]
    assert {line["kind"] for line in lines} == {"event", "invocation", "application"}
    written = [line["line"] for line in lines if line["kind"] == "application"]
    assert written == ["first line", "second line"]


def test_the_log_has_all_that_an_id_went_through(project: Path) -> None:
    (project / "functions/hello/app.py").write_text(
        "def lambda_handler(event, context):\n"
        "    print('about', event['queryStringParameters']['id'], 'x' * 1000)\n"
        "    print('more')\n"
        "    return {'body': context.aws_request_id}\n"
    )
    with running(Cloud(project)) as cloud:
        request_id = cloud.get("/hello?id=correlation-1")[1]
        cloud.get("/hello?id=correlation-2")
        eventually(lambda: cloud.log().count(" MB") == 2, "both are logged")
        assert f"characters more: make logs ID={request_id}" in cloud.log()
        # What is kept is written a moment later than what is shown.
        eventually(lambda: request_id in cloud.run("logs", "--id", request_id).stdout, "it is kept")
        found = [cloud.run("logs", "--id", wanted) for wanted in ("correlation-1", request_id[:8])]
        assert "nothing on that" in refused(cloud, "logs", "--id", "correlation-3")
    for done in found:
        about, more, report = done.stdout.splitlines()
        assert about.endswith("about correlation-1 " + "x" * 1000)
        assert more.endswith("more")
        assert request_id in report


def test_an_env_file_next_to_the_template_is_read(project: Path) -> None:
    (project / ".env").write_text("DECLARED=from the file\n")
    with running(Cloud(project)) as cloud:
        answer = json.loads(cloud.get("/do/show")[1])
    assert answer["environment"]["DECLARED"] == "from the file"


def test_a_crash_and_a_time_out_are_answered_and_survived(hasty_project: Path) -> None:
    def fails_with(words: str, path: str) -> bool:
        assert cloud.get(path)[0] == 502
        return words in cloud.log()

    with running(Cloud(hasty_project)) as cloud:
        eventually(lambda: fails_with("Runtime.ExitError", "/do/exit"), "it crashes")
        eventually(
            lambda: fails_with("Task timed out after 2.00 seconds", "/do/sleep?seconds=3600"),
            "it exceeds its time",
        )
        eventually(lambda: cloud.get("/do/show")[0] == 200, "it works again")
