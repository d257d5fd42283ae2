"""Arrows point one way, handlers stay small, and a function loads only what its path needs."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.application import ENVIRONMENT, FUNCTIONS, ROOT

COMMON = ROOT / "layers" / "common"
HANDLERS = sorted(FUNCTIONS.glob("*/app.py"))
MODULES = sorted((COMMON / "image_api").rglob("*.py"))

ADAPTERS = {
    "image_api.rabbitmq.broker",
    "image_api.postgres.database",
    "image_api.postgres.images",
    "image_api.postgres.outbox",
    "image_api.postgres.processing",
    "image_api.aws.signing",
    "image_api.aws.s3",
    "image_api.postgres.users",
}
DRIVERS = {"boto3", "botocore", "pika", "pg8000", "PIL", "pillow_heif", "argon2", "jwt", "os"}


def imports_of(path: Path) -> Iterator[str]:
    """Everything a module imports, wherever in it; for `from a import b` both a and a.b."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_are_handlers_and_modules_to_look_at() -> None:
    assert len(HANDLERS) >= 12
    assert len(MODULES) >= 15


@pytest.mark.parametrize("path", HANDLERS, ids=name)
def test_a_handler_speaks_to_no_service_itself(path: Path) -> None:
    roots = {module.partition(".")[0] for module in imports_of(path)}
    assert not roots & DRIVERS
    assert not set(imports_of(path)) & ADAPTERS


@pytest.mark.parametrize("path", HANDLERS, ids=name)
def test_a_handler_holds_no_try_and_no_sql(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Try)]
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert not [text for text in texts if text.lstrip().startswith(("SELECT", "INSERT", "UPDATE "))]


@pytest.mark.parametrize("path", HANDLERS, ids=name)
def test_a_handler_has_at_most_60_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 60


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_nothing_in_the_layer_imports_functions_or_infrastructure(path: Path) -> None:
    roots = {module.partition(".")[0] for module in imports_of(path)}
    assert not roots & {"functions", "infra", "tests", "bench", "image_migrations"}


@pytest.mark.parametrize("use_case", ["accounts", "images", "processing", "health", "relay"])
def test_a_use_case_knows_no_adapter_but_the_shapes_it_shares_with_it(use_case: str) -> None:
    # Names that are values or errors; what connects to a service is handed in.
    shared = {
        "image_api.rabbitmq.broker.Message",
        "image_api.rabbitmq.broker.RETRY_DELAYS_SECONDS",
        "image_api.rabbitmq.broker.dead_queue",
        "image_api.rabbitmq.broker.retry_queue",
        "image_api.aws.s3.ObjectMissing",
    }
    imported = {
        module
        for module in imports_of(COMMON / "image_api" / "core" / f"{use_case}.py")
        if any(module.startswith(f"{adapter}.") for adapter in ADAPTERS)
    }
    assert imported <= shared


def test_imaging_does_no_input_or_output() -> None:
    for path in (COMMON / "image_api" / "imaging").glob("*.py"):
        imported = set(imports_of(path))
        assert not {module.partition(".")[0] for module in imported} & {
            "boto3",
            "os",
            "pathlib",
            "pika",
            "pg8000",
            "requests",
            "socket",
            "urllib",
        }
        ours = {module for module in imported if module.startswith("image_api.")}
        allowed = ("image_api.errors", "image_api.imaging")
        assert all(module.startswith(allowed) for module in ours), path


def test_only_settings_and_wiring_read_the_environment() -> None:
    reading = {
        path.relative_to(COMMON / "image_api").as_posix()
        for path in MODULES
        if any(
            isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        )
    }
    assert reading == {"settings.py", "wiring.py"}


def test_there_is_no_module_for_everything_else() -> None:
    forbidden = {"utils", "util", "helpers", "helper", "manager", "managers", "base", "common"}
    for folder in (COMMON / "image_api", FUNCTIONS, ROOT / "infra"):
        assert not {path.stem for path in folder.rglob("*.py")} & forbidden


# What a cold start of each function must not pay for (milliseconds are in the decision log).
NOT_LOADED = {
    "register": {"boto3", "pika", "PIL"},
    "login": {"boto3", "pika", "PIL"},
    "list": {"boto3", "pika", "PIL"},
    "get": {"boto3", "pika", "PIL"},
    "update": {"boto3", "PIL"},
    "delete": {"boto3", "PIL"},
    "upload": {"PIL", "argon2"},
    "direct_upload": {"PIL", "argon2"},
    "docs": {"boto3", "pika", "PIL", "pg8000", "jwt"},
    "relay": {"boto3", "PIL"},
    "consumer": {"jwt", "argon2"},
}


@pytest.mark.parametrize("function", NOT_LOADED)
def test_a_function_loads_only_what_its_path_needs(function: str) -> None:
    program = (
        "import json, sys; import app; "
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program],
        cwd=FUNCTIONS / function,
        env={**ENVIRONMENT, "PYTHONPATH": str(COMMON)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert loaded.returncode == 0, loaded.stderr
    assert not set(json.loads(loaded.stdout)) & NOT_LOADED[function]
