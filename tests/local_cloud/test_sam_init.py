"""The project that `sam init` makes for Python runs as it was made."""

import json
import sys
from pathlib import Path

import samcli.lib.init

from infra.local.lambda_.interpreter import Interpreter
from tests.commands import output_of
from tests.local_cloud.small_cloud import Cloud, running
from tests.waiting import eventually

TEMPLATES = Path(samcli.lib.init.__path__[0]) / "templates"


def test_the_project_of_sam_init_is_served_and_invoked(
    tmp_path: Path, interpreter: Interpreter
) -> None:
    # As sam init does; it would ask for the network to know of newer templates.
    output_of(
        *(sys.executable, "-m", "cookiecutter", "--no-input", "--default-config"),
        *("--output-dir", tmp_path, TEMPLATES / "cookiecutter-aws-sam-hello-python"),
        *("project_name=hello-sam", f"runtime={interpreter.runtime}"),
    )
    project = tmp_path / "hello-sam"
    requirements = project / "hello_world/requirements.txt"
    assert requirements.read_text().split() == ["requests"]
    # What pip finds on an index is pip's affair; tests of artifacts install without hashes.
    requirements.write_text("")
    with running(Cloud(project)) as cloud:
        # Its time-out of three seconds is that of its start as well.
        eventually(lambda: cloud.get("/hello")[0] == 200, "it answers", watch=cloud.assert_alive)
        assert json.loads(cloud.get("/hello")[1]) == {"message": "hello world"}
        event = project / "events/event.json"
        done = cloud.run("invoke", "HelloWorldFunction", "--event", str(event))
    assert json.loads(json.loads(done.stdout)["body"]) == {"message": "hello world"}
