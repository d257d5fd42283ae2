"""A folder of a thousand pictures, uploaded by the command line through everything that goes wrong.

Not part of `make test`, which does the same with forty: `make trial`.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.services.ports import hold_free_port, port_of
from tests.e2e.api_client import ApiClient
from tests.e2e.images_command import ImagesCommand
from tests.e2e.running_cloud import RunningCloud
from tests.e2e.test_images_command import pictures
from tests.waiting import eventually

COUNT = 1000


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[RunningCloud]:
    """At the same port after a restart."""
    with hold_free_port() as held:
        port = port_of(held)
    running = RunningCloud(tmp_path / "data", "--no-watch", "--port", str(port))
    running.start()
    yield running
    running.stop()


@pytest.fixture
def images(cloud: RunningCloud, tmp_path: Path) -> ImagesCommand:
    home = tmp_path / "home"
    home.mkdir()
    command = ImagesCommand(home, cloud.api_url)
    command.sign_up("ada")
    return command


@pytest.fixture
def api(cloud: RunningCloud, images: ImagesCommand) -> Iterator[ApiClient]:
    """The same account, seen by another program."""
    with ApiClient(cloud.api_url) as client:
        client.token = client.sign_in("ada").json()["access_token"]
        yield client


def test_an_upload_that_is_interrupted_three_times_has_every_picture_once(
    cloud: RunningCloud, images: ImagesCommand, api: ApiClient, tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    pictures(folder, COUNT)

    def total(**query: str) -> int:
        return int(api.images(owner="me", limit=1, **query).headers["X-Total-Count"])

    def uploading(until: int) -> subprocess.Popen[str]:
        process = images.start("--json", "upload", str(folder))
        eventually(
            lambda: process.poll() is not None or total() >= until,
            f"{until} of them are sent",
            patience_seconds=600,
        )
        assert process.poll() is None, process.communicate()
        return process

    def ended(process: subprocess.Popen[str]) -> int:
        _, remarks = process.communicate()
        assert "Traceback" not in remarks, remarks
        return process.returncode

    interrupted = uploading(200)
    interrupted.send_signal(signal.SIGINT)
    assert ended(interrupted) == 130

    killed = uploading(450)
    killed.kill()
    assert ended(killed) == -signal.SIGKILL

    left_alone = uploading(700)
    cloud.kill()
    cloud.start()
    # It has waited for the server, or says what did not come through.
    assert ended(left_alone) in (0, 1, 6)

    status, output, remarks = images.run("--json", "upload", str(folder))
    last = [json.loads(line) for line in output.splitlines()]
    failed = [each for each in last if each["outcome"] == "failed"]
    assert (status, failed) == (0, []), remarks
    assert len({each["id"] for each in last}) == COUNT
    assert total() == COUNT
    eventually(lambda: total(status="ready") == COUNT, "all are ready", patience_seconds=600)
