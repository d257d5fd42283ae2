"""Loads the application's functions as Lambda does: a fresh environment, then one module."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import _lru_cache_wrapper
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from image_api import settings, wiring

ROOT = Path(__file__).parents[1]
FUNCTIONS = ROOT / "functions"

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]

# Every variable that the application's code reads, and Lambda's own for its role.
SETTINGS = frozenset(
    re.findall(r'"([A-Z]+_[A-Z_]+)"', Path(settings.__file__).read_text(encoding="utf-8"))
) | {"AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
# What the AWS SDK finds on a developer's machine.
_AWS_FILES = {"AWS_CONFIG_FILE", "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE"}

# One that no service answers at: loading a function connects to nothing.
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_REGION": "us-east-1",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "DATABASE_URL": "postgresql://nobody@localhost:1/none",
    "IMAGES_BUCKET": "images",
    "JWT_SECRET": "a secret of more than thirty-two bytes",
    "RABBITMQ_URL": "amqp://nobody:nothing@localhost:1/%2F",
}

_numbers = count(1)


@dataclass(frozen=True)
class LambdaContext:
    """What awslambdaric hands to a handler."""

    function_name: str = "function"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:000000000000:function:function"
    aws_request_id: str = "3e1afeb0-0000-4000-8000-000000000000"
    remaining_milliseconds: int = 20_000

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_milliseconds


def variables_without_settings() -> dict[str, str]:
    """This process's environment for a program that is to have no settings but the defaults.

    An empty variable counts as unset, also where a developer's .env sets it.
    """
    kept = {name: value for name, value in os.environ.items() if name not in _AWS_FILES}
    return {**kept, **dict.fromkeys(SETTINGS, "")}


def use_environment(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> None:
    """Sets exactly these settings and forgets what was read or made with others."""
    for name in SETTINGS | _AWS_FILES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    forget()


def forget() -> None:
    """Empties the caches of an execution environment: settings and adapters."""
    for module in (settings, wiring):
        for member in vars(module).values():
            if isinstance(member, _lru_cache_wrapper):
                member.cache_clear()


def load_function(name: str) -> ModuleType:
    """The module of a function, executed anew."""
    module_name = f"function_{name}_{next(_numbers)}"
    spec = importlib.util.spec_from_file_location(module_name, FUNCTIONS / name / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Pydantic looks annotations up in the module by its name.
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    return module
