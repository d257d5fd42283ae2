"""Whatever a picture does to its renderer, it fails alone, and everybody else's becomes ready."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import samples
from tests.e2e.api_client import ApiClient
from tests.e2e.changed_template import HERE, changed_cloud, code_of
from tests.e2e.running_cloud import RunningCloud
from tests.processes import is_runtime_of
from tests.waiting import eventually

# After these the picture has failed; those that end their renderer are first.
KINDS = ("kill", "eat", "hang", "spin", "nonsense", "lie", "swap", "late_nonsense", "late_lie")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """The product's template, but for the code of two functions and the renderer's time-out."""
    running = changed_cloud(
        tmp_path_factory.mktemp("hostile"),
        {
            code_of("renderer"): str(HERE / "hostile_renderer"),
            code_of("consumer"): str(HERE / "impatient_consumer"),
            "Timeout: 90": "Timeout: 20",
        },
    )
    running.start()
    yield running
    running.stop()


def signed_up(cloud: RunningCloud) -> ApiClient:
    client = ApiClient(cloud.api_url)
    client.token = client.register().json()["access_token"]
    return client


def hostile(kind: str) -> bytes:
    """An intact picture, with an order in a comment."""
    return samples.with_png_chunk(samples.png(), b"tEXt", f"Comment\0hostile {kind};".encode())


def test_a_picture_that_turns_on_its_renderer_fails_alone(cloud: RunningCloud) -> None:
    with signed_up(cloud) as attacker, signed_up(cloud) as bystander:
        attacks = {kind: attacker.upload(hostile(kind)).json()["id"] for kind in KINDS}
        # Beside each, and while all the others are in work.
        for _ in KINDS:
            bystander.uploaded(samples.png())
        for kind, image_id in attacks.items():
            error = attacker.settled(image_id, "failed")["error"]
            assert error.startswith("Rendering it failed 3 times"), kind
        # And whoever comes next finds renderers as good as new.
        attacker.uploaded(samples.png())


def test_a_renderer_that_crashed_is_replaced_before_anybody_asks(cloud: RunningCloud) -> None:
    name = cloud.function_name("hostile_renderer")

    def runtimes() -> set[int]:
        return {pid for pid in cloud.environment_pids if is_runtime_of(pid, name)}

    with signed_up(cloud) as attacker:
        attacker.settled(attacker.upload(hostile("kill")).json()["id"], "failed")
        # None of its three attempts is left, and none but those has been asked for.
        eventually(runtimes, "another renderer runs")
