"""Loads the application's functions as Lambda does: a fresh environment, then one module."""

from __future__ import annotations

import importlib.util
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
from tests.variables import AWS_FILES, SETTINGS

ROOT = Path(__file__).parents[1]
FUNCTIONS = ROOT / "functions"

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]

# One that no service answers at: loading a function connects to nothing.
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_REGION": "us-east-1",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "DATABASE_URL": "postgresql://nobody@localhost:1/none",
    "IMAGES_BUCKET": "images",
    "JWT_SECRET": "a secret of more than thirty-two bytes",
    "RENDERER_FUNCTION": "renderer",
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
    remaining_milliseconds: int = 300_000

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_milliseconds


def use_environment(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> None:
    """Sets exactly these settings and forgets what was read or made with others."""
    for name in SETTINGS | AWS_FILES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    forget()


def forget() -> None:
    """Empties the caches of an execution environment: settings and adapters."""
    if settings._secrets_manager.cache_info().currsize:
        settings._secrets_manager().close()
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
