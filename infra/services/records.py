"""Small private JSON files in a service's folder: credentials, ports, the running process."""

import json
import os
import secrets
from pathlib import Path
from typing import Any


def read_record(path: Path) -> dict[str, Any] | None:
    """The record, or None when it was never written."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    record: dict[str, Any] = json.loads(text)
    return record


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Replace the record in one step; only its owner may read it."""
    write_private(path, json.dumps(record))


def write_private(path: Path, text: str) -> None:
    """Replace the file in one step; only its owner may read it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        # A record that is empty after a power cut would lock its owner out of the data beside it.
        os.fsync(file.fileno())
    draft.replace(path)


def credentials(path: Path, user: str) -> tuple[str, str]:
    """User and password of a service: random at first use, the same ever after."""
    record = read_record(path)
    if record is None:
        # URL-safe, because both end up in a connection URL.
        record = {"user": user, "password": secrets.token_urlsafe(24)}
        write_record(path, record)
    return str(record["user"]), str(record["password"])
