"""Arrows point one way, handlers stay small, and a function loads only what its path needs."""

from __future__ import annotations

import ast
import graphlib
import json
import os
import re
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.application import ENVIRONMENT, FUNCTIONS, ROOT
from tests.commands import output_of

COMMON = ROOT / "layers" / "common"
PACKAGE = COMMON / "image_api"
HANDLERS = sorted(FUNCTIONS.glob("*/app.py"))
MODULES = sorted(PACKAGE.rglob("*.py"))

# The core's own rooms, and which of them each may import. The modules beside them know none, but
# for `metrics`, which counts what is in the log.
CORE_BESIDE_THE_ROOMS = {
    f"core.{name}" for name in ("caching", "characters", "object_keys", "time_left", "tracing")
}
CORE = {
    "change_log": set(),
    "renditions": {"change_log"},
    "library": {"change_log", "renditions", "metrics"},
    "accounts": {"change_log", "metrics"},
    "consumer": {"change_log", "library", "renditions", "metrics"},
    "upkeep": {"change_log", "accounts", "renditions", "metrics"},
}

# What the modules of each room may import of image_api. A module beside the rooms is one itself.
ALLOWED = {
    "functions": {"web", "core", "settings", "wiring", "observability"},
    "errors": set(),
    "observability": set(),
    "imaging": {"imaging", "errors"},
    "core": {"imaging", "errors", "observability"},
    "core.metrics": {"core.change_log", "errors", "observability"},
    **{
        f"core.{room}": {
            *(f"core.{other}" for other in {room, *others}),
            *CORE_BESIDE_THE_ROOMS,
            *("imaging", "errors", "observability"),
        }
        for room, others in CORE.items()
    },
    "settings": {"core", "errors", "secrets", "aws.credentials"},
    "secrets": {"aws.credentials", "tls", "errors"},
    "tls": set(),
    "snapshots": {"settings"},
    "postgres": {"postgres", "core", "settings", "tls", "errors", "observability"},
    "rabbitmq": {"rabbitmq", "core", "settings", "errors", "observability"},
    "aws": {"aws", "core", "settings", "errors", "observability"},
    "web": {"web", "core", "settings", "errors", "observability"},
    "wiring": {
        *("postgres", "rabbitmq", "aws", "core", "settings", "snapshots", "errors"),
        "observability",
    },
}
RENDERER = "layers/common/image_api/core/renditions/renderer.py"
# What single modules may import besides. The form of its event is all that the consumer's function
# knows of the broker; the migrations are a package of their own, and two functions have pages. What
# could not be published is counted; and only the renderer decodes.
EXCEPTIONS = {
    ("layers/common/image_api/core/change_log/publishing.py", "image_api.core.metrics"),
    ("functions/consumer/app.py", "image_api.rabbitmq.lambda_event"),
    ("functions/migrate/app.py", "image_migrations"),
    (RENDERER, "image_api.imaging.pixels.rendering.one_by_one"),
    (RENDERER, "image_api.imaging.pixels.requested_renditions.render_wanted"),
    ("functions/docs/app.py", "pathlib.Path"),
    ("functions/gallery/app.py", "pathlib"),
}

# Who may import each driver.
DRIVERS = {
    "pg8000": {"postgres"},
    "pika": {"rabbitmq"},
    "boto3": {"aws"},
    "botocore": {"aws"},
    "PIL": {"imaging"},
    "pillow_heif": {"imaging"},
    "image_api.imaging.pixels": {"imaging"},
    "argon2": {"core.accounts"},
    "jwt": {"core.accounts"},
    "aws_lambda_powertools": {"functions", "web", "observability"},
    "socket": {"postgres", "rabbitmq"},
    "urllib.request": {"web"},
    "urllib3": {"aws"},
    "http.client": {"aws", "rabbitmq", "secrets"},
    "requests": set(),
    "httpx": set(),
    "subprocess": set(),
    "os": {"settings", "snapshots"},
    # Whose names no guard can read.
    "importlib": {"snapshots"},
    "functions": set(),
    "infra": set(),
    "tests": set(),
    "bench": set(),
    "image_migrations": set(),
}

# All that these rooms may import that is not ours: none of it does input or output.
CORE_MAY_IMPORT = {
    *("__future__", "base64", "binascii", "collections", "concurrent", "contextlib", "dataclasses"),
    *(
        "datetime",
        "functools",
        "hashlib",
        "hmac",
        "ipaddress",
        "itertools",
        "json",
        "math",
        "random",
    ),
    *("re", "secrets", "struct", "threading", "time", "typing", "unicodedata", "uuid"),
    *("argon2", "jwt", "pydantic"),
}
IMAGING_MAY_IMPORT = {
    *("__future__", "array", "bisect", "collections", "contextlib", "dataclasses", "datetime"),
    *("fractions", "functools", "itertools", "math", "operator", "re", "struct", "typing", "zlib"),
    *("PIL", "pillow_heif"),
    # Files in memory, and the order of the bytes.
    *("io.BytesIO", "sys.byteorder"),
}
HANDLERS_MAY_IMPORT = {
    *("__future__", "aws_lambda_powertools", "contextlib", "functools", "typing"),
}
# What needs no import.
BUILT_IN = {
    *("open", "exec", "eval", "compile", "input", "print", "breakpoint"),
    *("__builtins__", "__loader__", "__spec__"),
}


def imports_of(path: Path) -> Iterator[str]:
    """Everything a module imports, wherever in it; for `from a import b` it is a.b."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Name) and node.id == "__import__":
            yield "importlib"


def built_in_ways_out(path: Path) -> set[str]:
    """What reaches the outside, or code that no guard can read, without an import."""
    names = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {node.id for node in names if isinstance(node, ast.Name)} & BUILT_IN


def room_of(path: Path) -> str:
    if FUNCTIONS in path.parents:
        return "functions"
    room, *inner = path.relative_to(PACKAGE).parts
    inner_room = f"{room}.{inner[0].removesuffix('.py')}" if inner else room
    if room == "core" and (len(inner) > 1 or inner_room in ALLOWED):
        return inner_room
    return room.removesuffix(".py")


def is_in(module: str, names: set[str]) -> bool:
    """Whether it is one of them, or within one."""
    parts = module.split(".")
    return any(".".join(parts[:length]) in names for length in range(1, len(parts) + 1))


def allowed(room: str, module: str) -> bool:
    """Whether its room, or the room around that, is one of those that may be imported."""
    # Through the bare name every room can be reached.
    return is_in(module, ALLOWED[room])


def may_import_of_others(room: str) -> set[str] | None:
    """None where only drivers are forbidden."""
    if room.startswith("core"):
        return CORE_MAY_IMPORT
    return {"imaging": IMAGING_MAY_IMPORT, "functions": HANDLERS_MAY_IMPORT}.get(room)


def forbidden(room: str, path: Path) -> list[str]:
    """What a module of this room imports and may not."""
    found = []
    others = may_import_of_others(room)
    for module in imports_of(path):
        top, _, inner = module.partition(".")
        if (name(path), module) in EXCEPTIONS or module == "image_api.__version__":
            continue
        if module.startswith("."):
            found.append(module)
        elif top == "image_api":
            if not allowed(room, inner):
                found.append(module)
        elif others is not None and not is_in(module, others):
            found.append(module)
        found += [
            module
            for driver, rooms in DRIVERS.items()
            if room not in rooms and is_in(module, {driver})
        ]
    if others is not None:
        found += sorted(built_in_ways_out(path))
    return found


def name(path: Path) -> str:
    return str(path.relative_to(ROOT)) if ROOT in path.parents else path.name


def test_there_are_handlers_and_modules_to_look_at() -> None:
    assert len(HANDLERS) >= 12
    assert len(MODULES) >= 15
    assert {room_of(path) for path in MODULES} == {*ALLOWED, "__init__"} - {"functions"}


@pytest.mark.parametrize("path", [*HANDLERS, *MODULES], ids=name)
def test_a_module_imports_only_what_its_room_may(path: Path) -> None:
    if room_of(path) == "__init__":
        assert list(imports_of(path)) == []
    else:
        assert forbidden(room_of(path), path) == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    def named(path: Path) -> str:
        return ".".join(path.relative_to(COMMON).with_suffix("").parts).removesuffix(".__init__")

    modules = {named(path): set(imports_of(path)) for path in MODULES}
    graph = {
        module: {
            known
            for known in modules.keys() - {module}
            if any(name == known or name.rpartition(".")[0] == known for name in imported)
        }
        for module, imported in modules.items()
    }
    assert graph["image_api.secrets"] >= {"image_api.tls", "image_api.errors"}
    list(graphlib.TopologicalSorter(graph).static_order())


STYLES = [
    "import image_api.{room}.something",
    "from image_api{above} import {name}",
    "from image_api.{room} import something",
    "from image_api.{room}.something import Thing",
    "def late() -> None:\n    from image_api.{room} import something",
    "from .. import {name}",
    "from ..{room} import something",
]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("room", ALLOWED)
def test_each_way_to_import_a_forbidden_room_is_seen(room: str, style: str, tmp_path: Path) -> None:
    others = [other for other in ALLOWED.keys() - {"functions", room} if not allowed(room, other)]
    assert others
    for other in others:
        above, _, name = other.rpartition(".")
        planted = tmp_path / "planted.py"
        above = f".{above}" if above else ""
        planted.write_text(style.format(room=other, above=above, name=name), encoding="utf-8")
        assert forbidden(room, planted), other


@pytest.mark.parametrize(
    "style", ["import {driver}", "import {driver}.x", "from {driver} import x"]
)
@pytest.mark.parametrize("driver", DRIVERS)
def test_each_way_to_import_a_driver_where_it_does_not_belong_is_seen(
    driver: str, style: str, tmp_path: Path
) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text(style.format(driver=driver), encoding="utf-8")
    for room in ALLOWED.keys() - DRIVERS[driver]:
        assert forbidden(room, planted), room


@pytest.mark.parametrize(
    "statement",
    [
        *("import urllib3", "import requests", "import httpx", "import http.client"),
        *("from http import client", "import subprocess", "import asyncio", "import pathlib"),
        *("import tempfile", "import shutil", "import mmap", "import io", "from io import open"),
        *("import sqlite3", 'open("/tmp/x")', 'eval("1")', "with open(0) as source:\n    source"),
        *('__builtins__["open"]("/x")', "__loader__.get_data('/x')"),
        *("import image_api", "import image_api as ours", "from image_api import *"),
        'import importlib\nimportlib.import_module("image_api.postgres.images")',
        'from importlib import import_module\nimport_module("image_api.postgres.images")',
        '__import__("image_api.postgres.images")',
    ],
)
def test_core_imaging_and_handlers_reach_the_outside_by_no_way(
    statement: str, tmp_path: Path
) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text(statement, encoding="utf-8")
    for room in ALLOWED:
        if may_import_of_others(room) is not None:
            assert forbidden(room, planted), room


@pytest.mark.parametrize("path", HANDLERS, ids=name)
def test_a_handler_holds_no_try_and_no_sql(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Try)]
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    sql = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE\s+FROM|WITH|CALL|MERGE)\b")
    assert not [text for text in texts if sql.match(text)]


@pytest.mark.parametrize("path", HANDLERS, ids=name)
def test_whatever_escapes_a_handler_is_a_line_of_the_log(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ("\n@failures_logged\ndef lambda_handler(" in text) != (
        "\nlambda_handler = http.lambda_handler(app)" in text
    )


@pytest.mark.parametrize("path", HANDLERS, ids=name)
def test_a_handler_has_at_most_60_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 60


def test_only_pixels_loads_a_decoder() -> None:
    for path in MODULES:
        imported = set(imports_of(path))
        if PACKAGE / "imaging" / "pixels" not in path.parents:
            assert not {module.partition(".")[0] for module in imported} & {"PIL", "pillow_heif"}
        if room_of(path) == "imaging" and "pixels" not in path.parts:
            assert not [name for name in imported if name.startswith("image_api.imaging.pixels")]


def test_only_settings_read_the_environment() -> None:
    reading = {
        path.relative_to(PACKAGE).as_posix()
        for path in MODULES
        if any(
            isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        )
    }
    assert reading == {"settings.py"}


def test_there_is_no_module_for_everything_else() -> None:
    vague = {"utils", "util", "helpers", "helper", "manager", "managers", "base", "common"}
    for folder in (PACKAGE, FUNCTIONS, ROOT / "infra"):
        assert not {path.stem for path in folder.rglob("*.py")} & vague


# What a cold start of each function must not pay for (milliseconds are in the decision log).
HEADERS = "image_api.imaging.headers"
NOT_LOADED = {
    "register": {"boto3", "pika", "PIL", HEADERS},
    "login": {"boto3", "pika", "PIL", HEADERS},
    "session": {"boto3", "pika", "PIL", HEADERS, "argon2"},
    "account": {"boto3", "pika", "PIL", HEADERS},
    "list": {"boto3", "pika", "PIL", HEADERS},
    "tags": {"boto3", "pika", "PIL", HEADERS},
    "get": {"boto3", "pika", "PIL", HEADERS},
    "update": {"boto3", "PIL", HEADERS},
    "delete": {"boto3", "PIL", HEADERS},
    "batch": {"boto3", "PIL", HEADERS},
    "upload": {"PIL", "argon2"},
    "direct_upload": {"PIL", "argon2"},
    "docs": {"boto3", "pika", "PIL", "pg8000", "jwt"},
    "relay": {"boto3", "PIL"},
    "replay": {"PIL", HEADERS, "argon2", "jwt"},
    "operate": {"boto3", "PIL", HEADERS, "jwt"},
    "interfaces": {"boto3", "pika", "PIL", HEADERS, "pg8000", "jwt", "argon2"},
    "health": {"PIL", "argon2", "jwt"},
    "janitor": {"pika", "PIL", "argon2", "jwt"},
    "migrate": {"PIL", "argon2", "jwt"},
    "consumer": {"boto3", "PIL", "jwt", "argon2"},
    "renderer": {"boto3", "pika", "pg8000", "jwt", "argon2"},
    "rendition": {"pika", "PIL", "argon2"},
    "rerender": {"boto3", "pika", "PIL", "jwt", "argon2"},
}


def modules_of(function: str) -> set[str]:
    """All that it loads, in an interpreter of its own."""
    program = (
        # On AWS all of them read secrets.
        "import json, sys; import app, image_api.secrets; print(json.dumps(sorted(sys.modules)))"
    )
    environment = {**ENVIRONMENT, "PYTHONPATH": f"{COMMON}:{ROOT / 'infra' / 'migrations'}"}
    folder = FUNCTIONS / function
    return set(json.loads(output_of(sys.executable, "-c", program, cwd=folder, env=environment)))


@pytest.fixture(scope="module")
def loaded() -> Iterator[dict[str, Future[set[str]]]]:
    """On all cores: they take longer than any other test here."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        yield {function: threads.submit(modules_of, function) for function in NOT_LOADED}
        threads.shutdown(cancel_futures=True)


@pytest.mark.parametrize("function", NOT_LOADED)
def test_a_function_loads_only_what_its_path_needs(
    loaded: dict[str, Future[set[str]]], function: str
) -> None:
    assert not loaded[function].result() & NOT_LOADED[function]
