"""Which room of infra may know which: arrows point one way, and there are no circles."""

from __future__ import annotations

import ast
import graphlib
import shutil
import sys
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

OURS = {"infra", "image_api", "image_migrations", "functions", "tests", "bench"}

# For each room what it may import of ours besides itself and what is below it. A folder is a room,
# and so is a file that has a row of its own. Only tools know the application: the local cloud runs
# any template.
MAY_IMPORT: dict[str, set[str]] = {
    # How a program begins and ends, and the errors that it tells in words.
    "infra.program": set(),
    # Postgres, RabbitMQ and S3 serve the local cloud, the deployment and the tests alike.
    "infra.services": {"infra.program"},
    # What the rooms of the local cloud speak of: the template, an invocation, the log.
    "infra.local.template": {"infra.program"},
    "infra.local.invocation": set(),
    "infra.local.logs": set(),
    "infra.local.progress": {"infra.local.logs"},
    "infra.local.settings": {"infra.program", "infra.services"},
    "infra.local.visitors": set(),
    # Those rooms know one another through `cloud` alone.
    "infra.local.gateway": {
        "infra.local.template.model",
        "infra.local.invocation",
        "infra.local.logs",
        "infra.local.visitors",
    },
    # Sample events and tests build events where there is no aiohttp.
    "infra.local.gateway.event": set(),
    "infra.local.lambda_": {
        "infra.local.template.model",
        "infra.local.invocation",
        "infra.local.logs",
        "infra.local.visitors",
        "infra.program",
        "infra.services",
    },
    "infra.local.triggers.rabbitmq_event": set(),
    "infra.local.triggers.amqp_values": {"infra.local.triggers.rabbitmq_event"},
    # Runs in the functions' own interpreter.
    "infra.local.lambda_.runtime": set(),
    "infra.local.triggers": {
        "infra.local.template.model",
        "infra.local.invocation",
        "infra.local.logs",
        "infra.program",
    },
    "infra.local": {"infra.program", "infra.services"},
    "infra.deploy_local": {
        "infra.local.logs",
        "infra.local.progress",
        "infra.local.settings",
        "infra.local.template",
        "infra.local.triggers",
        "infra.program",
        "infra.services",
    },
    "infra.tools": {
        "image_api",
        "infra.local.gateway.event",
        "infra.local.settings",
        "infra.local.triggers.amqp_values",
        "infra.local.triggers.rabbitmq_event",
        "infra.program",
    },
    "infra.localstack": set(),
    "infra.migrations": set(),
}


def modules_of(root: Path) -> dict[str, Path]:
    """Every module of infra, by its name."""
    return {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted((root / "infra").rglob("*.py"))
    }


def imports_of(module: str, path: Path, modules: dict[str, Path]) -> Iterator[str]:
    """Everything a module imports, wherever in it; of `from a import b` the module of the two."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                yield inner if inner in modules else source


def is_below(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


def room_of(module: str) -> str | None:
    """The room with the longest name that the module is in."""
    return max((room for room in MAY_IMPORT if is_below(module, room)), key=len, default=None)


def violations(root: Path) -> list[str]:
    modules = modules_of(root)
    found = []
    for module, path in modules.items():
        room = room_of(module)
        for imported in set(imports_of(module, path, modules)):
            allowed = set() if room is None else {room, *MAY_IMPORT[room]}
            is_ours = imported.partition(".")[0] in OURS
            if is_ours and not any(is_below(imported, other) for other in allowed):
                found.append(f"{module} imports {imported}")
    return found


def test_no_room_imports_what_it_may_not_know() -> None:
    assert len(modules_of(ROOT)) > 50
    assert violations(ROOT) == []


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_every_rule_is_about_something_that_exists(room: str) -> None:
    assert any(is_below(module, room) for module in modules_of(ROOT))


def test_no_module_imports_itself_by_way_of_others() -> None:
    modules = modules_of(ROOT)
    graph = {
        module: {name for name in imports_of(module, path, modules) if name in modules}
        for module, path in modules.items()
    }
    list(graphlib.TopologicalSorter(graph).static_order())


@pytest.mark.parametrize(
    "module", ["infra.local.gateway.event", "infra.local.triggers.rabbitmq_event"]
)
def test_what_builds_events_needs_the_standard_library_alone(module: str) -> None:
    modules = modules_of(ROOT)
    for name in imports_of(module, modules[module], modules):
        assert name.partition(".")[0] in sys.stdlib_module_names


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "infra", root / "infra", ignore=shutil.ignore_patterns("__py*"))
    assert violations(root) == []
    return root


@pytest.mark.parametrize(
    ("path", "statement"),
    [
        ("services/ports.py", "import infra.local.cloud"),
        ("services/ports.py", "import infra.local.cloud as cloud"),
        ("services/ports.py", "from infra.local import cloud"),
        ("services/ports.py", "from infra.local.cloud import Cloud"),
        ("services/ports.py", "from ..local import cloud"),
        ("services/ports.py", "from ..local.cloud import Cloud"),
        ("services/ports.py", "from infra import local"),
        ("services/ports.py", "from infra import deploy_local"),
        ("services/ports.py", "def later() -> None:\n    import infra.tools.openapi"),
        ("services/__init__.py", "from ..local import settings"),
        ("local/template/model.py", "import infra.local.gateway.routes"),
        ("local/template/model.py", "from infra.local.gateway import routes"),
        ("local/template/model.py", "from ..lambda_ import pool"),
        ("local/template/model.py", "from .. import settings"),
        ("local/template/__init__.py", "from ..triggers.schedules import parse"),
        ("local/invocation.py", "from .template import model"),
        ("local/logs.py", "from infra.local.settings import Settings"),
        ("local/gateway/event.py", "from infra.local.template.model import Api"),
        ("local/gateway/event.py", "from . import routes"),
        ("local/gateway/server.py", "from infra.local.template.reader import read_template"),
        ("local/gateway/server.py", "from infra.local.template import reader"),
        ("local/gateway/server.py", "from infra.local.lambda_.pool import FunctionPool"),
        ("local/gateway/server.py", "from infra.services import ports"),
        ("local/lambda_/pool.py", "import infra.local.triggers.schedules"),
        ("local/lambda_/pool.py", "from ..gateway.routes import RouteTable"),
        ("local/lambda_/runtime/warm_start_handler.py", "from infra.local import invocation"),
        ("local/triggers/schedules.py", "from infra.local.lambda_ import functions"),
        ("local/triggers/schedules.py", "from ..cloud import Cloud"),
        ("local/cloud.py", "import infra.deploy_local.sam"),
        ("local/cloud.py", "from ..tools import openapi"),
        ("local/cloud.py", "from image_api import settings"),
        ("deploy_local/stack.py", "from infra.local.cloud import Cloud"),
        ("deploy_local/stack.py", "from infra.local.lambda_ import pool"),
        ("tools/openapi.py", "from infra.local.gateway import server"),
        ("tools/openapi.py", "from infra.deploy_local import sam"),
        ("tools/openapi.py", "from tests import samples"),
    ],
)
def test_a_forbidden_import_of_any_style_is_found(copy: Path, path: str, statement: str) -> None:
    planted = copy / "infra" / path
    source = planted.read_text(encoding="utf-8")
    try:
        planted.write_text(f"{source}\n{statement}\n", encoding="utf-8")
        assert len(violations(copy)) == 1
    finally:
        planted.write_text(source, encoding="utf-8")


def test_a_room_without_a_rule_is_found(copy: Path) -> None:
    planted = copy / "infra" / "new_room.py"
    try:
        planted.write_text("from infra.services import ports\n", encoding="utf-8")
        assert violations(copy) == ["infra.new_room imports infra.services.ports"]
    finally:
        planted.unlink()
