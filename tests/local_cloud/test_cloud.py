"""The whole local cloud as a command, over the small project.

The services are said to run elsewhere: this project uses none of them.
"""

import contextlib
import json
import os
import platform
import signal
import socket
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from infra.local.settings import ROOT, read_settings
from tests.waiting import eventually

RUNTIME = f"python3.{sys.version_info.minor}"
ELSEWHERE = {
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "RABBITMQ_URL": "amqp://guest:guest@127.0.0.1:1/%2F",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
}
SECOND = """  SecondFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/second
      Events:
        Get:
          Type: Api
          Properties: {Path: /second, Method: get}
"""


@dataclass
class RunningCloud:
    process: subprocess.Popen[str]
    data_folder: Path
    output_path: Path

    @property
    def output(self) -> str:
        return self.output_path.read_text()

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.data_folder / "state.json").read_text())
        return state

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(self.state["api_url"] + path) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait()

    def says(self, words: str) -> None:
        """Returns once it has, and fails when it ends before."""

        def is_alive() -> None:
            assert self.process.poll() is None, self.output

        eventually(lambda: words in self.output, f"it says {words!r}", watch=is_alive)

    def descendants(self) -> list[psutil.Process]:
        children: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
        return children


def any_runs(processes: list[psutil.Process]) -> bool:
    """Zombies do not count: where process 1 collects none, they stay for ever."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                return True
    return False


def command(project: Path, *arguments: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "infra.local",
        *arguments,
        "--template",
        str(project / "template.yaml"),
        "--data-folder",
        str(project / "data"),
    ]


def environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("API_")}
    return {**kept, **ELSEWHERE, **variables}


@contextlib.contextmanager
def running(
    project: Path, *arguments: str, command_name: str = "run", **variables: str
) -> Iterator[RunningCloud]:
    output_path = project / "output"
    with output_path.open("w") as output:
        process = subprocess.Popen(
            command(project, command_name, "--private", *arguments),
            cwd=ROOT,
            env=environment(**variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
    cloud = RunningCloud(process, project / "data", output_path)
    try:
        cloud.says("API ready at" if command_name == "run" else "Services ready")
        yield cloud
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def finished(project: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    return subprocess.run(
        command(project, *arguments),
        cwd=ROOT,
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
    )


def refused(project: Path, *arguments: str, **variables: str) -> str:
    """What a command says that must fail in words, without a traceback."""
    done = finished(project, *arguments, **variables)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_it_serves_the_template_and_stops_without_a_trace(project: Path) -> None:
    with running(project) as cloud:
        assert cloud.get("/hello") == (200, "hello")
        state_path = cloud.data_folder / "state.json"
        assert stat.S_IMODE(state_path.stat().st_mode) == 0o600
        state = cloud.state
        children = cloud.descendants()
        assert cloud.stop() == 0
    assert state["pid"] == cloud.process.pid
    assert f"API ready at {state['api_url']}\n" in cloud.output
    assert state["functions"]["hello"] == {"logical_id": "HelloFunction", "name": "HelloFunction"}
    assert state["environment"] | ELSEWHERE == state["environment"]
    assert state["environment"]["DECLARED"] == "from the template"
    assert len(state["environment"]["JWT_SECRET"]) >= 32
    assert not state_path.exists()
    assert children
    eventually(lambda: not any(child.is_running() for child in children), "all of it has ended")
    assert "Traceback" not in cloud.output


def test_a_generated_secret_is_kept(project: Path) -> None:
    secrets = []
    for _ in range(2):
        with running(project) as cloud:
            secrets.append(cloud.state["environment"]["JWT_SECRET"])
    assert secrets[0] == secrets[1]


def test_ctrl_c_lets_a_request_finish(project: Path, waiting_room: Path) -> None:
    with running(project) as cloud, ThreadPoolExecutor(1) as threads:
        asked = threads.submit(cloud.get, f"/do/wait?folder={waiting_room}")
        eventually(lambda: list(waiting_room.iterdir()), "the function runs")
        cloud.process.send_signal(signal.SIGINT)
        cloud.says("stopping")
        assert not asked.done()
        (waiting_room / "go").touch()
        assert asked.result()[0] == 200
        assert cloud.process.wait() == 0
    assert "Traceback" not in cloud.output


def test_edited_code_runs_with_the_next_request(project: Path) -> None:
    with running(project) as cloud:
        assert cloud.get("/hello") == (200, "hello")
        (project / "layers/greetings/greetings.py").write_text('GREETING = "howdy"\n')
        eventually(lambda: cloud.get("/hello") == (200, "howdy"), "the new code runs")
        source = project / "functions/hello/app.py"
        good = source.read_text()
        source.write_text("this is not Python\n")
        eventually(lambda: cloud.get("/hello")[0] == 502, "the broken code runs")
        source.write_text(good)
        eventually(lambda: cloud.get("/hello") == (200, "howdy"), "the new code runs")
        assert "new code: hello" in cloud.output


def test_a_function_and_its_route_are_added_while_it_runs(project: Path) -> None:
    path = project / "template.yaml"
    original = path.read_text()
    with running(project) as cloud:
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
    with running(project) as cloud:
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
    with running(project) as cloud:
        path.write_text(original.replace("functions/hello", "functions/missing"))
        cloud.says("keeps its last working version")
        assert cloud.get("/hello") == (200, "hello")
        path.write_text(original + "  Broken: [\n")
        cloud.says("not valid YAML")
        assert cloud.get("/hello") == (200, "hello")


def test_after_a_kill_nothing_is_left_and_it_starts_again(project: Path) -> None:
    with running(project) as cloud:
        cloud.get("/hello")
        children = cloud.descendants()
        cloud.process.kill()
        cloud.process.wait()
        eventually(lambda: not any_runs(children), "all of it has ended")
    with running(project) as cloud:
        assert cloud.get("/hello") == (200, "hello")


def test_a_second_cloud_on_the_same_data_is_refused(project: Path) -> None:
    with running(project) as cloud:
        words = refused(project, "run", "--private")
        assert f"process {cloud.process.pid}" in words
        assert "--data-folder" in words
        assert cloud.get("/hello") == (200, "hello")


def test_a_port_in_use_is_told_with_the_way_out(project: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        words = refused(project, "run", API_PORT=str(port))
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
    assert words in refused(project, "run", "--private")


def test_the_services_alone_need_no_python_for_functions(project: Path) -> None:
    assert "There is no Python for the functions" in refused(
        project, "run", "--private", LAMBDA_PYTHON="/nowhere"
    )
    with running(project, command_name="services", LAMBDA_PYTHON="/nowhere") as cloud:
        assert cloud.stop() == 0


def test_whoever_names_a_python_runs_any_template_on_it(project: Path) -> None:
    template = project / "template.yaml"
    template.write_text(template.read_text().replace(RUNTIME, "python3.99"))
    with running(project, LAMBDA_PYTHON=str(read_settings().python)) as cloud:
        assert cloud.get("/hello") == (200, "hello")
        assert f"on Python {platform.python_version()} (on AWS: python3.99)" in cloud.output


def test_a_python_that_cannot_run_functions_is_refused_in_words(project: Path) -> None:
    for python, words in (
        (sys.executable, "cannot run functions without AWS's runtime"),
        ("/bin/false", "does not run as a Python"),
    ):
        assert words in refused(project, "run", "--private", LAMBDA_PYTHON=python)


def test_a_function_is_invoked_through_the_running_cloud(project: Path) -> None:
    event = project / "event.json"
    event.write_text('{"do": "log"}')
    with running(project):
        done = finished(project, "invoke", "probe", "--event", str(event))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["event"] == {"do": "log"}
    assert "first line" in done.stderr
    assert "REPORT" in done.stderr


def test_a_function_is_invoked_without_a_running_cloud(project: Path) -> None:
    event = project / "event.json"
    event.write_text('{"do": "raise"}')
    done = finished(project, "invoke", "ProbeFunction", "--event", str(event), "--private")
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
    assert words in refused(project, "invoke", function, "--event", str(path), "--private")


def test_the_log_can_be_read_by_a_program(project: Path) -> None:
    with running(project, "--json") as cloud:
        cloud.get("/hello")
        cloud.get("/do/log")
        eventually(lambda: cloud.output.count('"kind": "invocation"') == 2, "both are logged")
        lines = [json.loads(line) for line in cloud.output.splitlines()]
    assert {line["kind"] for line in lines} == {"event", "invocation", "application"}
    written = [line["line"] for line in lines if line["kind"] == "application"]
    assert written == ["first line", "second line"]


def test_an_env_file_next_to_the_template_is_read(project: Path) -> None:
    (project / ".env").write_text("DECLARED=from the file\n")
    with running(project) as cloud:
        answer = json.loads(cloud.get("/do/show")[1])
    assert answer["environment"]["DECLARED"] == "from the file"


def test_a_crash_and_a_time_out_are_answered_and_survived(hasty_project: Path) -> None:
    def fails_with(words: str, path: str) -> bool:
        assert cloud.get(path)[0] == 502
        return words in cloud.output

    with running(hasty_project) as cloud:
        eventually(lambda: fails_with("Runtime.ExitError", "/do/exit"), "it crashes")
        eventually(
            lambda: fails_with("Task timed out after 2.00 seconds", "/do/sleep?seconds=3600"),
            "it exceeds its time",
        )
        eventually(lambda: cloud.get("/do/show")[0] == 200, "it works again")
