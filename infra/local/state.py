"""What a running cloud tells other programs: the file `state.json` in its data folder."""

from pathlib import Path
from typing import Any

from infra.services.processes import ProcessIdentity
from infra.services.records import read_record


def running_state(state_path: Path) -> dict[str, Any] | None:
    """What the cloud that runs on this data folder wrote; None when none runs.

    `pid`, `environment` and `services`; `invoke_url` and `functions` where it runs functions;
    `api_url` where it serves the API.
    """
    state = read_record(state_path) or {}
    return state if "pid" in state and ProcessIdentity.of(state["pid"]) is not None else None
