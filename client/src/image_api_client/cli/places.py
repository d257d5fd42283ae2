"""Where the command line keeps what it has to remember: tokens, and what was uploaded."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import keyring
import keyring.errors
from keyring.backends import fail, null
from pydantic import ValidationError

from image_api_client.sessions import FileTokenStore, Tokens, TokenStore

_NAME = "image-api-client"


@dataclass(frozen=True, slots=True)
class Profile:
    """Whom the command line speaks for, and where."""

    server: str
    username: str

    @property
    def id(self) -> str:
        return hashlib.sha256(f"{self.server}\0{self.username}".encode()).hexdigest()[:32]


def config_folder() -> Path:
    return _folder("XDG_CONFIG_HOME", ".config")


def state_folder() -> Path:
    return _folder("XDG_STATE_HOME", ".local/state")


def current_profile() -> Profile | None:
    try:
        return Profile(**json.loads((config_folder() / "profile.json").read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def choose_profile(profile: Profile) -> None:
    folder = config_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / "profile.json").write_text(json.dumps(asdict(profile)), encoding="utf-8")


class KeyringTokenStore:
    """The system's keyring."""

    def __init__(self, profile: Profile) -> None:
        self._id = profile.id

    def load(self) -> Tokens | None:
        stored = keyring.get_password(_NAME, self._id)
        try:
            return Tokens.model_validate_json(stored) if stored else None
        except ValidationError:
            return None

    def save(self, tokens: Tokens | None) -> None:
        if tokens is not None:
            keyring.set_password(_NAME, self._id, tokens.model_dump_json())
            return
        try:
            keyring.delete_password(_NAME, self._id)
        except keyring.errors.PasswordDeleteError:
            return


def token_store(profile: Profile) -> TokenStore:
    """The system's keyring where there is one, else a file of mode 600;
    IMAGES_TOKEN_STORE=file asks for the file.
    """
    if os.environ.get("IMAGES_TOKEN_STORE") != "file" and _has_keyring():
        return KeyringTokenStore(profile)
    return FileTokenStore(config_folder() / f"tokens-{profile.id}.json")


def _has_keyring() -> bool:
    return not isinstance(keyring.get_keyring(), fail.Keyring | null.Keyring)


def _folder(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / default) / _NAME
