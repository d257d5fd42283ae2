"""What was uploaded already, by what its bytes are; what an interruption left is picked up here."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path
from threading import Lock
from typing import NamedTuple
from uuid import uuid4

from image_api_client.forms import Source

_CHUNK_BYTES = 1024 * 1024
_SCHEMA = """
CREATE TABLE IF NOT EXISTS uploads (
    profile TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    key TEXT NOT NULL,
    image_id INTEGER,
    PRIMARY KEY (profile, sha256)
)
"""
# Whoever is first decides: a later one, and one after an interruption, gets the same key.
_BEGIN = """
INSERT INTO uploads (profile, sha256, key) VALUES (:profile, :sha256, :key)
ON CONFLICT (profile, sha256) DO NOTHING
"""
_FIND = """
SELECT key, image_id FROM uploads WHERE profile = :profile AND sha256 = :sha256
"""
_FINISH = """
UPDATE uploads SET image_id = :image_id WHERE profile = :profile AND sha256 = :sha256
"""
_FORGET = "DELETE FROM uploads WHERE profile = :profile AND sha256 = :sha256"


class Entry(NamedTuple):
    """`key`: the Idempotency-Key of this upload; `image_id`: None until it was answered."""

    key: str
    image_id: int | None


class Journal:
    """Of one profile. Safe for threads, and for several processes at a time."""

    def __init__(self, path: Path, profile_id: str) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, timeout=60, check_same_thread=False)
        self._lock = Lock()
        self._profile_id = profile_id
        self._run(_SCHEMA)

    def close(self) -> None:
        self._database.close()

    def begin(self, digest: str) -> Entry:
        self._run(_BEGIN, sha256=digest, key=uuid4().hex)
        ((key, image_id),) = self._run(_FIND, sha256=digest)
        return Entry(key, image_id)

    def finish(self, digest: str, image_id: int) -> None:
        self._run(_FINISH, sha256=digest, image_id=image_id)

    def begin_anew(self, digest: str) -> Entry:
        """As another upload of the same bytes."""
        self._run(_FORGET, sha256=digest)
        return self.begin(digest)

    def _run(self, statement: str, **parameters: object) -> list[tuple[str, int | None]]:
        with self._lock, self._database:
            given = {"profile": self._profile_id, **parameters}
            return self._database.execute(statement, given).fetchall()


def digest_of(source: Source) -> str:
    digest = hashlib.sha256()
    with source.open() as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
