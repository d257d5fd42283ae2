"""The API does what its OpenAPI document says, whatever is sent to it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tests.application import FUNCTIONS
from tests.commands import run
from tests.e2e.api_client import ApiClient
from tests.e2e.running_cloud import RunningCloud
from tests.variables import ROOT

_CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
_HOOKS = "tests.security.schemathesis_hooks"
_EXAMPLES = 20


def _explored(cloud: RunningCloud, folder: Path, *options: str) -> None:
    """Fails with schemathesis's report, which tells how to repeat each finding.

    A process of its own: its plugin warns of much that pytest here takes for an error.
    """
    finished = run(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(_CONFIGURATION)),
        *("run", f"{cloud.api_url}/openapi.json", "--url", cloud.api_url),
        *("--checks", "all"),
        *("--max-examples", str(_EXAMPLES), "--seed", "20241102"),
        *("--continue-on-failure", "--no-color", "--generation-database", "none", *options),
        cwd=folder,
        env={
            **os.environ,
            "COLUMNS": "100",
            "SCHEMATHESIS_HOOKS": _HOOKS,
            "PYTHONPATH": str(ROOT),
        },
    )
    print(finished.stdout)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    paths = json.loads((FUNCTIONS / "docs" / "openapi.json").read_bytes())["paths"]
    # All but the one that it reads the document with.
    expected = sum(map(len, paths.values())) - 1
    assert f"Tested: {expected}\n" in finished.stdout, finished.stdout


def test_every_answer_to_a_signed_in_user_is_documented(
    cloud: RunningCloud, visitor: ApiClient, tmp_path: Path
) -> None:
    # Not that of the examples, which would be changed, or delete the account.
    ada = visitor.sign_up("nobody guesses this!")
    _explored(cloud, tmp_path, "--header", f"Authorization: Bearer {ada.token}")


def test_every_answer_to_a_visitor_is_documented(cloud: RunningCloud, tmp_path: Path) -> None:
    _explored(cloud, tmp_path)
