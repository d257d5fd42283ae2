"""Which room of infra may know which: arrows point one way, and there are no circles."""

from __future__ import annotations

import ast
import graphlib
import sys
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

OURS = {"infra", "image_api", "image_migrations", "functions", "tests", "bench"}

# For each room what it may import of ours besides itself and what is below it. A folder is a room,
# and so is a file that has a row of its own. Only tools know the application: the local cloud runs
# any template.
MAY_IMPORT: dict[str, set[str]] = {
    # How a program begins and ends, and the errors that it tells in words.
    "infra.entry_point": set(),
    # Postgres, RabbitMQ and S3 serve the local cloud, the deployment and the tests alike.
    "infra.services": {"infra.entry_point"},
    # What the rooms of the local cloud speak of: the template, an invocation, the log.
    "infra.local.template": {"infra.entry_point"},
    "infra.local.invocation": set(),
    "infra.local.logs.formatting": set(),
    "infra.local.logs.archive": set(),
    "infra.local.logs.stream": {"infra.local.logs.formatting", "infra.local.logs.archive"},
    "infra.local.progress": {"infra.local.logs.stream"},
    "infra.local.parameters": {"infra.entry_point"},
    "infra.local.settings": {"infra.local.parameters", "infra.entry_point", "infra.services"},
    "infra.local.network.access": set(),
    "infra.local.network.connection": set(),
    "infra.local.code_files": set(),
    # Those rooms know one another through `cloud` alone.
    "infra.local.gateway": {
        "infra.local.template.model",
        "infra.local.network.connection",
        "infra.local.invocation",
        "infra.local.logs.stream",
        "infra.local.network.access",
    },
    # Sample events and tests build events where there is no aiohttp.
    "infra.local.gateway.event": set(),
    "infra.local.lambda_": {
        "infra.local.template.model",
        "infra.local.network.connection",
        "infra.local.code_files",
        "infra.local.invocation",
        "infra.local.logs.stream",
        "infra.local.network.access",
        "infra.entry_point",
        "infra.services",
    },
    "infra.local.triggers.rabbitmq_event": set(),
    "infra.local.triggers.amqp_values": {"infra.local.triggers.rabbitmq_event"},
    # Runs in the functions' own interpreter.
    "infra.local.lambda_.runtime": set(),
    "infra.local.triggers": {
        "infra.local.template.model",
        "infra.local.invocation",
        "infra.local.logs.stream",
        "infra.entry_point",
    },
    "infra.local": {"infra.entry_point", "infra.services"},
    "infra.deploy_local": {
        "infra.local.logs.stream",
        "infra.local.progress",
        "infra.local.settings",
        "infra.local.template",
        "infra.local.triggers",
        "infra.entry_point",
        "infra.services",
    },
    "infra.tools": {
        "image_api",
        "infra.local.gateway.event",
        "infra.local.settings",
        "infra.local.triggers.amqp_values",
        "infra.local.triggers.rabbitmq_event",
        "infra.entry_point",
    },
    "infra.localstack": set(),
    "infra.migrations": set(),
}


MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "infra").rglob("*.py"))
}


def imports_of(module: str, source: str | None = None) -> Iterator[str]:
    """Everything a module imports, wherever in it; of `from a import b` the module of the two.

    `source` None is its own.
    """
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text("utf-8") if source is None else source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            outer = resolve_name("." * node.level + (node.module or ""), package)
            for alias in node.names:
                inner = f"{outer}.{alias.name}"
                yield inner if inner in MODULES else outer


def is_below(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


def room_of(module: str) -> str | None:
    """The room with the longest name that the module is in."""
    return max((room for room in MAY_IMPORT if is_below(module, room)), key=len, default=None)


def violations(module: str, source: str | None = None) -> list[str]:
    """What of ours a module imports that its room may not know."""
    room = room_of(module)
    allowed = set() if room is None else {room, *MAY_IMPORT[room]}
    return [
        imported
        for imported in set(imports_of(module, source))
        if imported.partition(".")[0] in OURS
        and not any(is_below(imported, other) for other in allowed)
    ]


def test_no_room_imports_what_it_may_not_know() -> None:
    assert len(MODULES) > 50
    assert {module: found for module in MODULES if (found := violations(module))} == {}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_every_rule_is_about_something_that_exists(room: str) -> None:
    assert any(is_below(module, room) for module in MODULES)


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {module: {name for name in imports_of(module) if name in MODULES} for module in MODULES}
    list(graphlib.TopologicalSorter(graph).static_order())


@pytest.mark.parametrize(
    "module", ["infra.local.gateway.event", "infra.local.triggers.rabbitmq_event"]
)
def test_what_builds_events_needs_the_standard_library_alone(module: str) -> None:
    for name in imports_of(module):
        assert name.partition(".")[0] in sys.stdlib_module_names


@pytest.mark.parametrize(
    ("module", "statement"),
    [
        ("infra.services.ports", "import infra.local.cloud"),
        ("infra.services.ports", "import infra.local.cloud as cloud"),
        ("infra.services.ports", "from infra.local import cloud"),
        ("infra.services.ports", "from infra.local.cloud import Cloud"),
        ("infra.services.ports", "from ..local import cloud"),
        ("infra.services.ports", "from ..local.cloud import Cloud"),
        ("infra.services.ports", "from infra import local"),
        ("infra.services.ports", "from infra import deploy_local"),
        ("infra.services.ports", "def later() -> None:\n    import infra.tools.openapi"),
        ("infra.services", "from ..local import settings"),
        ("infra.local.template.model", "import infra.local.gateway.routes"),
        ("infra.local.template.model", "from infra.local.gateway import routes"),
        ("infra.local.template.model", "from ..lambda_ import pool"),
        ("infra.local.template.model", "from .. import settings"),
        ("infra.local.template", "from ..triggers.schedules import parse"),
        ("infra.local.invocation", "from .template import model"),
        ("infra.local.logs.stream", "from infra.local.settings import Settings"),
        ("infra.local.gateway.event", "from infra.local.template.model import Api"),
        ("infra.local.gateway.event", "from . import routes"),
        (
            "infra.local.gateway.rest_api.server",
            "from infra.local.template.reader import read_template",
        ),
        ("infra.local.gateway.rest_api.server", "from infra.local.template import reader"),
        (
            "infra.local.gateway.rest_api.server",
            "from infra.local.lambda_.pool import FunctionPool",
        ),
        ("infra.local.gateway.rest_api.server", "from infra.services import ports"),
        ("infra.local.lambda_.pool", "import infra.local.triggers.schedules"),
        ("infra.local.lambda_.pool", "from ..gateway.routes import RouteTable"),
        ("infra.local.lambda_.runtime.bootstrap", "from infra.local import invocation"),
        ("infra.local.triggers.schedules", "from infra.local.lambda_ import functions"),
        ("infra.local.triggers.schedules", "from ..cloud import Cloud"),
        ("infra.local.cloud", "import infra.deploy_local.sam"),
        ("infra.local.cloud", "from ..tools import openapi"),
        ("infra.local.cloud", "from image_api import settings"),
        ("infra.deploy_local.stack", "from infra.local.cloud import Cloud"),
        ("infra.deploy_local.stack", "from infra.local.lambda_ import pool"),
        ("infra.tools.openapi", "from infra.local.gateway import server"),
        ("infra.tools.openapi", "from infra.deploy_local import sam"),
        ("infra.tools.openapi", "from tests import samples"),
    ],
)
def test_a_forbidden_import_of_any_style_is_found(module: str, statement: str) -> None:
    assert len(violations(module, statement)) == 1


def test_a_room_without_a_rule_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODULES, "infra.new_room", ROOT / "infra" / "new_room.py")
    statement = "from infra.services import ports"
    assert violations("infra.new_room", statement) == ["infra.services.ports"]
