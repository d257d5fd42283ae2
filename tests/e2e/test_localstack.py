"""The local cloud with LocalStack as its S3, as `AWS_ENDPOINT_URL=... make run` has it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests import samples
from tests.application import ROOT
from tests.e2e.api_client import ApiClient
from tests.e2e.running_cloud import RunningCloud
from tests.localstack.server import running_localstack


@pytest.fixture(scope="module")
def localstack_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_localstack(tmp_path_factory.mktemp("localstack") / "data") as endpoint_url:
        yield endpoint_url


@pytest.fixture(scope="module")
def cloud(localstack_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    running = RunningCloud(
        tmp_path_factory.mktemp("cloud") / "data",
        "--no-watch",
        variables={"AWS_ENDPOINT_URL": localstack_url},
    )
    running.start()
    yield running
    running.stop()


def test_the_walk_of_the_readme_passes(cloud: RunningCloud) -> None:
    walk = subprocess.run(
        [ROOT / "tests" / "walk.sh", cloud.api_url],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert walk.returncode == 0, walk.stdout + walk.stderr
    assert "the walk passed" in walk.stdout


def test_a_photo_that_is_sent_to_the_storage_becomes_an_image_there(
    ada: ApiClient, localstack_url: str
) -> None:
    data = samples.rocket()
    offer = ada.request("POST", "/image/direct_upload").json()
    assert offer["url"].startswith(localstack_url)
    with ApiClient(offer["url"]) as stranger:
        sent = stranger.request("POST", offer["url"], data=offer["fields"], files={"file": data})
    assert sent.status_code == 204, sent.text

    path = f"/image/direct_upload/{offer['upload_id']}"
    image = ada.settled(ada.request("POST", path, json={}).json()["id"])
    assert image["size"] == len(data)
    assert image["url"].startswith(localstack_url)
    assert ada.download(image["url"]).content == data
