"""Functions under a debugger: an editor's, and pdb in the terminal of `make invoke`."""

import json
import os
import pty
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from infra.local.settings import ROOT
from infra.services.ports import hold_free_port, port_of
from tests.local_cloud.debug_client import DebugClient
from tests.local_cloud.small_cloud import Cloud, refused, replace, running
from tests.processes import ended_with_the_test
from tests.waiting import eventually

HANDLER = """\
LOADED = "a breakpoint holds here too"


def lambda_handler(event, context):
    path = event["path"]
    left = context.get_remaining_time_in_millis()
    return {"body": path}
"""


def hasty(project: Path) -> None:
    """One second for each function: a debugger needs longer. A busy machine needs more even to
    start one: who wants an answer has to ask until there is one.
    """
    template = project / "template.yaml"
    template.write_text(template.read_text().replace("Timeout: 900", "Timeout: 1"))


def test_an_editor_attaches_and_stops_a_request(project: Path) -> None:
    hasty(project)
    source = project / "functions/hello/app.py"
    source.write_text(HANDLER)
    with (
        hold_free_port() as held,
        running(Cloud(project, "--debug", "hello", DEBUG_PORT=str(port_of(held)))) as cloud,
        ThreadPoolExecutor(1) as threads,
    ):
        port = port_of(held)
        cloud.says(f"a debugger is waited for at 127.0.0.1:{port}")
        asked = threads.submit(cloud.get, "/hello")
        with DebugClient(port) as editor:
            editor.attach(source, 1)
            thread, _ = editor.variables_where_it_stops()
            editor.ask("setBreakpoints", breakpoint_at(source, 7))
            editor.go_on(thread)
            thread, variables = editor.variables_where_it_stops()
            assert variables["path"] == "'/hello'"
            assert int(variables["left"]) > 1_000_000
            assert not asked.done()
            editor.ask("evaluate", {"expression": "1 + 1", "context": "repl"})
            editor.go_on(thread)
            assert asked.result() == (200, "/hello")
            # An edit is served by an environment that waits for the editor again.
            replace(source, HANDLER.replace('"body": path', '"body": "edited"'), project)
            editor.wait_for_end()
        asked = threads.submit(cloud.get, "/hello")
        with DebugClient(port) as editor:
            editor.attach(source, 7)
            thread, _ = editor.variables_where_it_stops()
            editor.go_on(thread)
            assert asked.result() == (200, "edited")
        # All others have what the template gives them.
        eventually(
            lambda: '"AWS_LAMBDA_FUNCTION_TIMEOUT": "1"' in cloud.get("/do/show")[1],
            "a function with one second answers",
            watch=cloud.assert_alive,
        )


def breakpoint_at(source: Path, line: int) -> dict[str, object]:
    return {"source": {"path": str(source)}, "breakpoints": [{"line": line}]}


def test_a_cloud_whose_debugger_never_came_stops(project: Path) -> None:
    with (
        hold_neighbours() as (port, following),
        running(Cloud(project, "--debug", "hello,probe", DEBUG_PORT=str(port))) as cloud,
    ):
        cloud.says(f"at 127.0.0.1:{port}")
        cloud.says(f"at 127.0.0.1:{following}")
        cloud.stop()


@contextmanager
def hold_neighbours() -> Iterator[tuple[int, int]]:
    """A free port and the one that follows it, neither of which anybody else is given."""
    while True:
        with hold_free_port() as first, socket.socket() as second:
            port = port_of(first)
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            # As whoever is to listen there sets it.
            second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            yield port, port + 1
            return


def test_a_function_to_debug_that_is_none_is_named(project: Path) -> None:
    words = refused(Cloud(project), "run", "--debug", "nothing")
    assert words == "DEBUG: There is no function nothing; there are: hello, probe\n"


def test_a_breakpoint_stops_in_the_terminal_of_whoever_invokes(project: Path) -> None:
    hasty(project)
    (project / "functions/hello/app.py").write_text(
        "def lambda_handler(event, context):\n"
        "    answer = event['number'] * 2\n"
        "    breakpoint()\n"
        "    return {'answer': answer}\n"
    )
    event = project / "event.json"
    event.write_text('{"number": 21}')
    for is_running in (True, False):
        cloud = Cloud(project)
        if is_running:
            with running(cloud):
                assert typed_into_pdb(cloud, event) == 43
                # Everybody else's are as on AWS, where nobody sits before it.
                assert cloud.get("/hello")[0] == 502
        else:
            assert typed_into_pdb(cloud, event) == 43


def typed_into_pdb(cloud: Cloud, event: Path) -> object:
    """What the function answers after somebody has looked at it, and changed it."""
    ours, theirs = pty.openpty()
    shown = b""
    command = (*cloud.command("invoke"), "hello", "--event", str(event))
    process = subprocess.Popen(
        command, cwd=ROOT, env=cloud.variables, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs
    )
    os.close(theirs)
    with ended_with_the_test(process):

        def prompts(times: int) -> bool:
            nonlocal shown
            shown += os.read(ours, 4096)
            return shown.count(b"(Pdb)") == times

        eventually(lambda: prompts(1), "pdb asks")
        assert b"hello/app.py(" in shown
        os.write(ours, b"answer += 1\n")
        eventually(lambda: prompts(2), "pdb asks again")
        os.write(ours, b"continue\n")
        assert process.stdout is not None
        answer = process.stdout.read()
    os.close(ours)
    assert process.returncode == 0, shown
    return json.loads(answer)["answer"]
