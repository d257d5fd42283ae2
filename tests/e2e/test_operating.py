"""Stopping, crashing and changing the local cloud, as whoever works with it does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import samples
from tests.application import ROOT
from tests.e2e.api_client import ApiClient
from tests.e2e.running_cloud import RunningCloud
from tests.links import LINKS
from tests.processes import is_running
from tests.waiting import eventually

ROCKET = samples.rocket()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of what the cloud runs, to be edited."""
    folder = tmp_path_factory.mktemp("project")
    ignore = shutil.ignore_patterns("__pycache__")
    for part in ("functions", "layers", "infra/migrations"):
        shutil.copytree(ROOT / part, folder / part, ignore=ignore)
    shutil.copy(ROOT / "template.yaml", folder)
    yield folder
    bytecode = ROOT.joinpath(".cache", "bytecode", *folder.parts[1:])
    shutil.rmtree(bytecode, ignore_errors=True)


@pytest.fixture(scope="module")
def lasting_cloud(
    tmp_path_factory: pytest.TempPathFactory, project: Path
) -> Iterator[RunningCloud]:
    data_folder = tmp_path_factory.mktemp("operated") / "data"
    cloud = RunningCloud(
        data_folder,
        template=project / "template.yaml",
        # A copy of the template may be anybody's: it says on what its functions run.
        variables={"LAMBDA_PYTHON": str(ROOT / ".venvs" / "lambda" / "bin" / "python")},
    )
    yield cloud
    if cloud.is_running:
        cloud.stop()


@pytest.fixture
def operated(lasting_cloud: RunningCloud) -> RunningCloud:
    """A cloud of these tests alone; each of them may leave it stopped."""
    if not lasting_cloud.is_running:
        lasting_cloud.start()
    return lasting_cloud


@pytest.fixture
def user(operated: RunningCloud) -> Iterator[ApiClient]:
    with ApiClient(operated.api_url) as client:
        yield client.sign_up()


def test_users_images_and_files_outlive_a_stop_and_a_start(
    operated: RunningCloud, user: ApiClient
) -> None:
    before = user.uploaded(ROCKET, visibility="private")

    operated.stop()
    operated.start()

    user.api_url = operated.api_url
    after = user.image(before["id"]).json()
    assert {k: v for k, v in after.items() if k not in LINKS} == {
        k: v for k, v in before.items() if k not in LINKS
    }
    assert user.download(after["url"]).content == ROCKET
    assert user.download(after["thumbnail_url"]).content
    assert user.sign_in().status_code == 200
    assert user.updated(before["id"], resolution="50x50")["resolution"] == "50x50"


def test_what_was_accepted_before_a_crash_is_processed_after_it(
    operated: RunningCloud, user: ApiClient
) -> None:
    image_id = user.upload(ROCKET).json()["id"]
    leftovers = operated.service_pids

    operated.kill()
    operated.start()

    user.api_url = operated.api_url
    image = user.settled(image_id)
    assert user.download(image["url"]).content == ROCKET
    assert not [pid for pid in leftovers if is_running(pid)]


def test_an_edited_layer_changes_every_function_that_uses_it(
    operated: RunningCloud, user: ApiClient, project: Path
) -> None:
    def details() -> set[str]:
        answers = (user.image(0), user.delete(0), user.update(0, title="x"))
        return {answer.json()["detail"] for answer in answers}

    assert details() == {"There is no such image"}

    with _edited(
        project / "layers" / "common" / "image_api" / "errors.py",
        "There is no such image",
        "No such image anywhere",
    ):
        eventually(lambda: details() == {"No such image anywhere"}, "the new layer is used")


def test_a_handler_with_an_error_fails_in_words_until_it_is_repaired(
    operated: RunningCloud, user: ApiClient, project: Path
) -> None:
    with _edited(project / "functions" / "get" / "app.py", "@app.get(", "this is no Python"):
        eventually(lambda: user.image(0).status_code == 503, "it fails")
        answer = user.image(0)
        assert answer.headers["Retry-After"] == "1"
        assert answer.json() == {
            "detail": "Something went wrong here; try again in a second",
            "code": "service_unavailable",
        }
        assert "SyntaxError" in operated.log()
        assert user.images().status_code == 200

    eventually(lambda: user.image(0).status_code == 404, "it works again")


def test_a_function_can_be_invoked_while_nothing_runs(
    operated: RunningCloud, user: ApiClient, tmp_path: Path
) -> None:
    image = user.uploaded(samples.gif())
    event = json.loads((ROOT / "events" / "get.json").read_bytes())
    event["headers"]["Authorization"] = f"Bearer {user.token}"
    event["pathParameters"] = {"image_id": str(image["id"])}
    event["path"] = f"/image/{image['id']}"
    (tmp_path / "event.json").write_text(json.dumps(event), encoding="utf-8")
    operated.stop()

    finished = operated.run("invoke", "get", "--event", str(tmp_path / "event.json"))

    assert finished.returncode == 0, finished.stderr
    answer = json.loads(finished.stdout)
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["title"] == image["title"]


@contextmanager
def _edited(path: Path, old: str, new: str) -> Iterator[None]:
    """The file with other contents inside, saved as editors do: replaced at once."""
    original = path.read_text(encoding="utf-8")
    assert old in original
    try:
        _save(path, original.replace(old, new))
        yield
    finally:
        _save(path, original)


def _save(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
