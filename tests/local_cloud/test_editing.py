"""Nothing that is typed, moved or checked out ends a running cloud, or leaves it behind.

All tests share one cloud, whose project is put back after each.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from infra.local.lambda_.interpreter import Interpreter
from tests.commands import output_of
from tests.local_cloud.conftest import copy_of_project
from tests.local_cloud.small_cloud import Cloud, replace, running
from tests.waiting import eventually

ROOT_FUNCTION = """
  # Its folder holds all other code, and what the cloud itself writes.
  RootFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: .
      Handler: root.lambda_handler
      Events:
        Get:
          Type: Api
          Properties: {Path: /root, Method: get}
"""
SAYS = "def lambda_handler(event, context):\n    return {{'body': {0!r}}}\n"
GIT = ("git", "-c", "user.name=n", "-c", "user.email=e@example.com", "-c", "commit.gpgsign=false")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, interpreter: Interpreter) -> Iterator[Cloud]:
    project = copy_of_project(tmp_path_factory.mktemp("editing") / "project", interpreter)
    with (project / "template.yaml").open("a") as template:
        template.write(ROOT_FUNCTION)
    (project / "root.py").write_text(SAYS.format("root"))
    (project / ".gitignore").write_text("/data*\n__pycache__\n")
    git(project, "init", "-q", "-b", "main")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "all")
    with running(Cloud(project)) as cloud:
        yield cloud
        cloud.stop()
        # One of the cloud's own: a function's has its name before it.
        assert not re.search("^Traceback", cloud.log(), re.MULTILINE)
        assert "never retrieved" not in cloud.log()


@pytest.fixture
def project(cloud: Cloud) -> Iterator[Path]:
    folder = cloud.data_folder.parent
    yield folder
    git(folder, "checkout", "-q", "-f", "main")
    git(folder, "clean", "-q", "-f", "-d")
    serves(cloud, "/hello", "hello")
    serves(cloud, "/root", "root")
    eventually(lambda: cloud.get("/second")[0] == 403, "the route is gone")


def git(folder: Path, *arguments: str) -> None:
    output_of(*GIT, *arguments, cwd=folder)


def serves(cloud: Cloud, path: str, text: str) -> None:
    eventually(
        lambda: cloud.get(path) == (200, text),
        f"{path} answers {text!r}",
        watch=cloud.assert_alive,
    )


def add_second(project: Path) -> None:
    """A function, as README says."""
    (project / "functions/second").mkdir()
    (project / "functions/second/app.py").write_text(SAYS.format("second"))
    template = project / "template.yaml"
    template.write_text(
        template.read_text()
        + "  SecondFunction:\n"
        + "    Type: AWS::Serverless::Function\n"
        + "    Properties:\n"
        + "      CodeUri: functions/second\n"
        + "      Events: {Get: {Type: Api, Properties: {Path: /second, Method: get}}}\n"
    )


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("  NewFunction:\n", "NewFunction is empty"),
        ("  NewFunction:\n    Type:\n", "NewFunction has no Type"),
        (
            "  New: {Type: AWS::Serverless::Function, Properties: {CodeUri: ./x}}\n",
            "New: there is no folder",
        ),
        ("  New: {Type: AWS::Lambda::Function, Properties: {Code: ./x}}\n", "New has no Runtime"),
        ("  New: {Type: AWS::Serverless::Function, Properties: [x]}\n", "is not a mapping"),
        ("  Fn::ForEach::All: [x, [a, b], {}]\n", "does not expand ForEach"),
        ("Parameters:\n  P:\n  Q: R\n", "Parameters, Q is not a mapping"),
    ],
)
def test_half_a_template_is_named_and_the_last_whole_one_is_kept(
    cloud: Cloud, project: Path, typed: str, words: str
) -> None:
    path = project / "template.yaml"
    told = len(cloud.log())
    whole = path.read_text()
    is_resource = typed.startswith(" ")
    path.write_text(
        whole.replace("Resources:\n", f"Resources:\n{typed}") if is_resource else typed + whole
    )
    # Whoever looks between the emptying of the file and the writing is told of the empty one first.
    eventually(lambda: words in cloud.log()[told:], "it is told", watch=cloud.assert_alive)
    assert "keeps its last working version" in cloud.log()[told:]
    assert cloud.get("/hello") == (200, "hello")


def test_an_http_api_that_is_added_is_said_served_and_gone_with_it(
    cloud: Cloud, project: Path
) -> None:
    def url() -> str | None:
        urls: dict[str, str] = json.loads(cloud.state_path.read_bytes())["api_urls"]
        return urls.get("ServerlessHttpApi")

    told = len(cloud.log())
    path = project / "template.yaml"
    both = "        Http: {Type: HttpApi}\n        Get:\n          Type: Api\n"
    text = path.read_text().replace("        Get:\n          Type: Api\n", both, 1)
    path.write_text(text)
    eventually(lambda: url() is not None, "it has an address", watch=cloud.assert_alive)
    address = url()
    assert address is not None
    # What is said is written at the end of the turn in which the address was.
    said = f"ServerlessHttpApi is at {address}"
    eventually(lambda: said in cloud.log()[told:], "it is said", watch=cloud.assert_alive)
    answer = requests.get(f"{address}/any/path")
    assert (answer.status_code, answer.text) == (200, "hello")
    assert cloud.get("/hello") == (200, "hello")
    path.write_text(text.replace(both, "        Get:\n          Type: Api\n"))
    eventually(lambda: url() is None, "it has none any more", watch=cloud.assert_alive)
    with pytest.raises(requests.ConnectionError):
        requests.get(address)


def test_a_handler_that_is_typed_is_served_when_it_is_whole(cloud: Cloud, project: Path) -> None:
    path = project / "functions/hello/app.py"
    whole = SAYS.format("typed")
    for length in range(len(whole)):
        path.write_text(whole[:length])
        cloud.assert_alive()
    path.write_text(whole)
    serves(cloud, "/hello", "typed")


def test_a_branch_with_another_function_comes_goes_and_comes(cloud: Cloud, project: Path) -> None:
    git(project, "checkout", "-q", "-b", "other")
    add_second(project)
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "second")
    try:
        for _ in range(2):
            serves(cloud, "/second", "second")
            git(project, "checkout", "-q", "main")
            eventually(lambda: cloud.get("/second")[0] == 403, "the route is gone")
            git(project, "checkout", "-q", "other")
        (project / "functions/second/app.py").write_text(SAYS.format("edited"))
        serves(cloud, "/second", "edited")
    finally:
        git(project, "checkout", "-q", "-f", "main")
        git(project, "branch", "-q", "-D", "other")


def test_what_is_stashed_and_taken_back_is_served(cloud: Cloud, project: Path) -> None:
    add_second(project)
    (project / "functions/hello/app.py").write_text(SAYS.format("stashed"))
    serves(cloud, "/hello", "stashed")
    serves(cloud, "/second", "second")
    git(project, "stash", "-q", "-u")
    serves(cloud, "/hello", "hello")
    eventually(lambda: cloud.get("/second")[0] == 403, "the route is gone")
    git(project, "stash", "pop", "-q")
    serves(cloud, "/hello", "stashed")
    serves(cloud, "/second", "second")


def test_a_formatter_may_rewrite_all_files(cloud: Cloud, project: Path) -> None:
    for path in project.rglob("*.py"):
        text = path.read_text()
        # In place and by another file, as tools do either.
        path.write_text(text + "\n")
        draft = path.with_suffix(".tmp")
        draft.write_text(text + "\n# formatted\n")
        draft.replace(path)
    serves(cloud, "/hello", "hello")
    (project / "functions/hello/app.py").write_text(SAYS.format("after"))
    serves(cloud, "/hello", "after")


def test_a_folder_that_is_away_is_told_at_once_and_served_when_it_is_back(
    cloud: Cloud, project: Path
) -> None:
    folder, away = project / "functions/hello", project / "away"
    serves(cloud, "/hello", "hello")
    folder.rename(away)
    eventually(lambda: cloud.get("/hello")[0] == 502, "it is noticed", watch=cloud.assert_alive)
    away.rename(folder)
    serves(cloud, "/hello", "hello")
    (folder / "app.py").write_text(SAYS.format("edited"))
    serves(cloud, "/hello", "edited")
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "app.py").write_text(SAYS.format("made anew"))
    serves(cloud, "/hello", "made anew")
    (folder / "app.py").write_text(SAYS.format("and edited"))
    serves(cloud, "/hello", "and edited")


def test_what_the_cloud_and_git_write_into_a_folder_of_code_is_not_code(
    cloud: Cloud, project: Path
) -> None:
    serves(cloud, "/root", "root")
    told = len(cloud.log())
    (cloud.data_folder / "written.py").write_text("")
    (project / ".git/written.py").write_text("")
    replace(project / "root.py", SAYS.format("edited"), project)
    serves(cloud, "/root", "edited")
    # The edit alone: what came before it would have been told before it.
    eventually(lambda: "new code: project" in cloud.log()[told:], "it is told")
    assert cloud.log()[told:].count("new code") == 1


def test_a_function_that_writes_into_its_own_folder_is_not_loaded_for_ever(
    cloud: Cloud, project: Path
) -> None:
    source = project / "functions/hello/app.py"
    # While it is loaded, which would never end.
    source.write_text(
        "import pathlib, time\n"
        "pathlib.Path(__file__).with_name('out.json').write_text(str(time.time()))\n"
        + SAYS.format("written")
    )
    serves(cloud, "/hello", "written")
    cloud.says("which is read-only on AWS")
    source.write_text(SAYS.format("edited"))
    serves(cloud, "/hello", "edited")
