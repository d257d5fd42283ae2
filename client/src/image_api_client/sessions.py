"""Who is signed in, and where that is kept between runs."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

# An access token is renewed before it ends, so that it does not end on the way.
_RENEWED_BEFORE_SECONDS = 30.0


class Tokens(BaseModel):
    """`expires_at`: seconds since the epoch, by this machine's clock; None where nobody said."""

    model_config = ConfigDict(frozen=True)

    access_token: str
    refresh_token: str | None = None
    expires_at: float | None = None

    @classmethod
    def of_answer(cls, answer: dict[str, Any], now: float) -> Tokens:
        lifetime = answer.get("expires_in")
        return cls(
            access_token=answer["access_token"],
            refresh_token=answer.get("refresh_token"),
            expires_at=now + lifetime if lifetime is not None else None,
        )

    def ends_soon(self, now: float) -> bool:
        return self.expires_at is not None and now >= self.expires_at - _RENEWED_BEFORE_SECONDS


class TokenStore(Protocol):
    """Several processes may share one: what `load` gives may have been saved by another."""

    def load(self) -> Tokens | None: ...

    def save(self, tokens: Tokens | None) -> None:
        """None: signed out, nothing is kept."""


class MemoryTokenStore:
    def __init__(self, tokens: Tokens | None = None) -> None:
        self._tokens = tokens

    def load(self) -> Tokens | None:
        return self._tokens

    def save(self, tokens: Tokens | None) -> None:
        self._tokens = tokens


class FileTokenStore:
    """A file that its owner alone can read; it is replaced whole, never written in place."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Tokens | None:
        try:
            return Tokens.model_validate_json(self._path.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def save(self, tokens: Tokens | None) -> None:
        if tokens is None:
            self._path.unlink(missing_ok=True)
            return
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # mkstemp makes it with mode 600.
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(tokens.model_dump(), file)
            Path(name).replace(self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


class Session:
    """The tokens in use; a store that is shared may know newer ones."""

    def __init__(self, store: TokenStore, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now
        self._tokens = store.load()

    @property
    def tokens(self) -> Tokens | None:
        return self._tokens

    def reload(self) -> Tokens | None:
        """What the store has now. A store that was emptied means: signed out elsewhere."""
        self._tokens = self._store.load()
        return self._tokens

    def ends_soon(self, tokens: Tokens) -> bool:
        return tokens.ends_soon(self._now())

    def begin(self, answer: dict[str, Any]) -> Tokens:
        """Signed in, with what a sign-in or a refresh has answered."""
        tokens = Tokens.of_answer(answer, self._now())
        self._tokens = tokens
        self._store.save(tokens)
        return tokens

    def end(self) -> None:
        self._tokens = None
        self._store.save(None)
