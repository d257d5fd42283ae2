"""Which broker a tool talks to: the one that RABBITMQ_URL names, or the running local cloud's."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def broker_in_use() -> tuple[str, str]:
    """Its URL and the name of the work queue; ends the program in words where there is none."""
    queue = os.environ.get("RABBITMQ_QUEUE", "image_events")
    if url := os.environ.get("RABBITMQ_URL"):
        return url, queue
    state_path = Path(os.environ.get("LOCAL_DATA_FOLDER", ".local")) / "state.json"
    if not state_path.exists():
        sys.exit("No local cloud is running here: start it with make run, or set RABBITMQ_URL")
    environment = json.loads(state_path.read_text())["environment"]
    return environment["RABBITMQ_URL"], environment["RABBITMQ_QUEUE"]
