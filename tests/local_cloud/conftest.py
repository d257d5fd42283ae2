"""What the tests of the local cloud share."""

import asyncio
import io
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from infra.local.lambda_.artifacts import Artifacts
from infra.local.lambda_.functions import FunctionService, RuntimeSettings
from infra.local.lambda_.interpreter import Interpreter, inspect_interpreter
from infra.local.lambda_.invoke_api import InvokeApi
from infra.local.logs.stream import LogStream
from infra.local.settings import ROOT, read_settings
from infra.local.template.model import Template
from infra.local.template.reader import read_template
from infra.local.triggers.custom_resources import CustomResources
from infra.services.ports import hold_free_port, port_of
from infra.services.process_identity import ProcessIdentity
from infra.services.rabbitmq import RabbitMQService
from tests.waiting import PATIENCE_SECONDS

PROJECT = Path(__file__).parent / "project"

StartFunctions = Callable[..., AbstractAsyncContextManager[FunctionService]]
ServeLambda = Callable[[Template], AbstractAsyncContextManager[tuple[str, CustomResources]]]


def copy_of_project(folder: Path, interpreter: Interpreter) -> Path:
    """The small project, for this machine's Python."""
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns("__py*"))
    template = folder / "template.yaml"
    template.write_text(template.read_text().replace("python3.13", interpreter.runtime))
    return folder


@pytest.fixture
def project(tmp_path: Path, interpreter: Interpreter) -> Path:
    """A copy of the small project, for this machine's Python, to be changed at will."""
    return copy_of_project(tmp_path / "project", interpreter)


@pytest.fixture
def hasty_project(project: Path) -> Path:
    """The project, whose functions have two seconds. A busy machine needs more even to start one:
    who wants an answer has to ask until there is one."""
    path = project / "template.yaml"
    path.write_text(path.read_text().replace("Timeout: 900", "Timeout: 2"))
    return project


@pytest.fixture
def waiting_room(tmp_path: Path) -> Path:
    """Where functions that were asked to wait say that they have begun, and are told to go on."""
    folder = tmp_path / "waiting"
    folder.mkdir()
    return folder


@pytest.fixture
def template(project: Path) -> Template:
    return read_template(project / "template.yaml", {}, "us-east-1")


@pytest.fixture(scope="session")
def broker_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One broker for all tests that need one, on an event loop of its own."""
    folder = tmp_path_factory.mktemp("broker")
    service = RabbitMQService(folder, folder / "logs", 0)
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(service.start())
        yield service.url
    finally:
        loop.run_until_complete(service.stop())
        loop.close()


@pytest.fixture(scope="session")
def interpreter() -> Interpreter:
    """The Python of the set-up."""
    return inspect_interpreter(read_settings().python)


@pytest.fixture
def log_text() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def start_functions(log_text: io.StringIO, interpreter: Interpreter) -> StartFunctions:
    """Runs a template's functions in real execution environments."""

    @asynccontextmanager
    async def start(
        template: Template,
        *,
        overrides: dict[str, str] | None = None,
        limit: int = 4,
        idle_seconds: float = 300.0,
        on_process: Callable[[ProcessIdentity], None] = lambda _process: None,
    ) -> AsyncIterator[FunctionService]:
        functions = FunctionService(
            RuntimeSettings(
                variables={"AWS_REGION": "us-east-1"},
                overrides=overrides or {},
                limits={"": limit},
                idle_seconds=idle_seconds,
            ),
            Artifacts(ROOT / ".cache", interpreter, print),
            LogStream(log_text),
            on_process,
        )
        await functions.apply(template)
        try:
            yield functions
        finally:
            await functions.stop(patience_seconds=PATIENCE_SECONDS)

    return start


@pytest.fixture
def serve_lambda(start_functions: StartFunctions) -> ServeLambda:
    """Functions, their Invoke API, and the custom resources behind it."""

    @asynccontextmanager
    async def start(template: Template) -> AsyncIterator[tuple[str, CustomResources]]:
        async with start_functions(template) as functions:
            held = hold_free_port()
            url = f"http://127.0.0.1:{port_of(held)}"
            custom_resources = CustomResources(functions.invoke, "us-east-1", url)
            api = InvokeApi(functions, lambda *sent: custom_resources.receive_report(*sent))
            runner = web.ServerRunner(api.server())
            await runner.setup()
            await web.SockSite(runner, held).start()
            try:
                yield url, custom_resources
            finally:
                await runner.cleanup()

    return start
