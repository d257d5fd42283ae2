"""Whatever a picture does to its renderer, it fails alone, and everybody else's becomes ready."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import samples
from tests.e2e.api_client import ApiClient
from tests.e2e.running_cloud import RunningCloud
from tests.processes import is_runtime_of
from tests.variables import ROOT
from tests.waiting import eventually

HERE = Path(__file__).parent
# After these the picture has failed; those that end their renderer are first.
KINDS = ("kill", "eat", "hang", "spin", "nonsense", "lie", "swap", "late_nonsense", "late_lie")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """The product's template, but for the code of two functions and the renderer's time-out."""
    folder = tmp_path_factory.mktemp("hostile")
    text = (ROOT / "template.yaml").read_text(encoding="utf-8")
    text = re.sub(r"(CodeUri|ContentUri|TemplateURL): (\S+)", rf"\1: {ROOT}/\2", text)
    for before, after in (
        (f"{ROOT}/functions/renderer", str(HERE / "hostile_renderer")),
        (f"{ROOT}/functions/consumer", str(HERE / "impatient_consumer")),
        ("Timeout: 90", "Timeout: 8"),
    ):
        assert before in text
        text = text.replace(before, after)
    template = folder / "template.yaml"
    template.write_text(text, encoding="utf-8")
    # A template of somebody else's runs on another Python than it names only if somebody says so.
    python = ROOT / ".venvs" / "lambda" / "bin" / "python"
    running = RunningCloud(
        folder / "data",
        "--no-watch",
        template=template,
        variables={"LAMBDA_PYTHON": os.environ.get("LAMBDA_PYTHON", str(python))},
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
