"""Runs the whole local cloud: starts its parts in order, and stops them in order."""

import asyncio
import contextlib
import fcntl
import os
import socket
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from infra.entry_point import Explained, in_words
from infra.local.api_ports import ApiPorts
from infra.local.backing_services import BackingServices
from infra.local.debugging import debug_ports, without_time_outs
from infra.local.lambda_.artifacts import Artifacts
from infra.local.lambda_.functions import FunctionService, RuntimeSettings
from infra.local.lambda_.interpreter import inspect_interpreter, refuse_other_runtimes
from infra.local.lambda_.invoke_api import InvokeApi
from infra.local.lambda_.process_records import ProcessRecords
from infra.local.logs.stream import LogStream
from infra.local.network.addresses import check_addresses
from infra.local.network.listening import LISTEN_BACKLOG, LOOPBACK, CannotListen, bind, serve
from infra.local.progress import Progress
from infra.local.settings import Settings
from infra.local.storage_buckets import create_buckets
from infra.local.template.model import Bucket, MissingFolder, Template
from infra.local.template.reader import read_template
from infra.local.triggers.custom_resources import CustomResources
from infra.local.triggers.running import RunningTriggers
from infra.local.triggers.schedule_expressions import parse
from infra.local.watch import Watcher
from infra.services.ports import hold_free_port, is_free, port_of
from infra.services.records import read_record, write_record

_PATIENCE_SECONDS = 30.0
# As that of sam local start-lambda.
_LAMBDA_PORT = 3001


class CloudFailed(Explained):
    """The local cloud cannot start; the text says why."""


class Cloud:
    """One run. `with_functions`: else it is the services alone; `with_api`: else no gateway."""

    def __init__(
        self,
        settings: Settings,
        logs: LogStream,
        console: Console,
        *,
        with_functions: bool = True,
        with_api: bool = True,
    ) -> None:
        self._settings = settings
        self._logs = logs
        self._with_api = with_api and with_functions
        self._progress = Progress(console, logs, as_json=settings.as_json)
        self._artifacts = (
            Artifacts(
                settings.cache_folder, inspect_interpreter(settings.python), self._progress.say
            )
            if with_functions
            else None
        )
        self._records = ProcessRecords(settings.data_folder / "environments.json")
        self._services = BackingServices(
            settings, self._progress, self._service_ended, with_functions=with_functions
        )
        self._template: Template | None = None
        self._is_template_broken = False
        self._watching: list[asyncio.Task[None]] = []
        self._custom_resources: CustomResources | None = None
        self._functions: FunctionService | None = None
        self._ports: ApiPorts | None = None
        self._triggers: RunningTriggers | None = None
        self._watcher = Watcher(
            settings.template,
            self._template_changed,
            self._code_changed,
            ignored=(settings.data_folder, settings.cache_folder, *_own_output()),
            say=lambda text: logs.event("watch", text, is_problem=True),
        )
        self._problem: asyncio.Future[str] | None = None
        self.api_url = ""
        self.invoke_url = ""

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Everything is up inside the block. Raises CloudFailed, ServiceFailed and others."""
        settings = self._settings
        settings.data_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        async with AsyncExitStack() as stack:
            stack.enter_context(_lock(settings.data_folder))
            # What costs a whole start when it is wrong is looked at first.
            api_socket = self._api_socket(stack) if self._with_api else None
            invoke_socket = self._invoke_socket(stack) if self._artifacts is not None else None
            if self._artifacts is not None:
                await check_addresses(settings)
            await self._records.end_leftovers()
            stack.callback(self._records.clear)
            stack.callback(settings.state_path.unlink, missing_ok=True)
            self._problem = asyncio.get_running_loop().create_future()
            try:
                if self._with_api and settings.is_watching:
                    # From before the first reading, so that no change falls in between.
                    self._watching.append(self._supervise(self._watcher.watch_template()))
                    await asyncio.sleep(0)
                async with self._watcher.busy:
                    await self._start(stack, api_socket, invoke_socket)
                yield
            finally:
                for task in self._watching:
                    task.cancel()

    async def build(self) -> None:
        """Installs and compiles all code, so that a later run need not. Raises InstallFailed."""
        assert self._artifacts is not None
        template = await self._prepare_code()
        await asyncio.to_thread(self._artifacts.compile, template.code_folders)

    async def wait(self) -> None:
        """Returns never; raises CloudFailed when a service ends by itself."""
        assert self._problem is not None
        raise CloudFailed(await self._problem)

    @property
    def functions(self) -> FunctionService:
        """The functions of the running cloud."""
        assert self._functions is not None
        return self._functions

    @property
    def api_urls(self) -> Mapping[str, str]:
        """Where each API of the template is, by its logical id."""
        return self._ports.urls if self._ports is not None else {}

    def serves(self, path: str) -> bool:
        """Whether the first API has a GET of this very path."""
        apis = self._template.apis if self._template else ()
        return bool(apis) and any(
            (route.path, route.method) == (path, "GET") for route in apis[0].routes
        )

    @property
    def environment(self) -> dict[str, str]:
        """Every variable with which a program reaches this cloud as a function does."""
        template = self._template
        declared: dict[str, str] = {}
        for function in template.functions.values() if template else ():
            declared |= function.environment
        return {
            **{name: value for name, value in declared.items() if value},
            **self._services.variables,
            **self._services.aws_variables(),
        }

    async def _start(
        self,
        stack: AsyncExitStack,
        api_socket: socket.socket | None,
        invoke_socket: socket.socket | None,
    ) -> None:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(self._prepare_code())
            group.create_task(self._services.start(stack))
        self._services.variables |= self._settings.secret_variables()
        template = self._template = reading.result()
        await self._create_buckets(template.buckets)
        if self._artifacts is not None and invoke_socket is not None:
            await self._start_functions(stack, template, self._artifacts, invoke_socket)
        if api_socket is not None:
            await self._serve_api(stack, template, api_socket)
        self._write_state()

    async def _prepare_code(self) -> Template:
        async with self._progress.part("template"):
            template = await self._read_template()
        if not self._settings.is_of_this_project:
            # Ours does without: what it reads on AWS alone.
            self._say_what_is_not_set(template)
        if any(function.wants_snapshots for function in template.functions.values()):
            self._progress.say(
                "SnapStart: nothing here takes snapshots, so every environment loads its function"
            )
        if self._artifacts is not None:
            self._watch_code(template)
            async with self._progress.part("code"):
                await self._artifacts.install(template.functions.values())
        return template

    def _say_what_is_not_set(self, template: Template) -> None:
        for function in template.functions.values():
            if names := ", ".join(function.unset_variables):
                words = f"not set, as nothing here has what they refer to: {names}"
                self._progress.say(f"{function.folder_name}: {words}")

    async def _read_template(self) -> Template:
        settings = self._settings
        template = await asyncio.to_thread(
            read_template,
            settings.template,
            settings.variables,
            settings.region,
            settings.parameters,
        )
        for schedule in template.schedules:
            parse(schedule.expression)
        template = without_time_outs(template, settings.debugged)
        if self._artifacts is not None and not settings.may_run_any_runtime:
            refuse_other_runtimes(template.functions.values(), self._artifacts.interpreter)
        return template

    def _service_ended(self, words: str) -> None:
        if self._problem is not None and not self._problem.done():
            self._problem.set_result(words)

    def _supervise(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that runs as long as the cloud: what it cannot handle ends the cloud."""

        def escalate(task: asyncio.Task[None]) -> None:
            if task.cancelled() or self._problem is None or self._problem.done():
                return
            if error := task.exception():
                self._problem.set_exception(error)

        task = asyncio.create_task(work)
        task.add_done_callback(escalate)
        return task

    async def _create_buckets(self, buckets: Iterable[Bucket]) -> None:
        await asyncio.to_thread(create_buckets, tuple(buckets), self._services.aws_variables())

    async def _start_functions(
        self,
        stack: AsyncExitStack,
        template: Template,
        artifacts: Artifacts,
        invoke_socket: socket.socket,
    ) -> None:
        settings = self._settings
        self.invoke_url = f"http://{LOOPBACK}:{port_of(invoke_socket)}"
        functions = self._functions = FunctionService(
            RuntimeSettings(
                # Functions invoke functions at the address at which people do.
                variables={
                    **self._services.aws_variables(),
                    "AWS_ENDPOINT_URL_LAMBDA": self.invoke_url,
                },
                overrides=self._services.variables,
                limits=settings.environment_limits(),
                debug_ports=debug_ports(template, settings.debugged, settings.debug_port),
            ),
            artifacts,
            self._logs,
            self._records.add,
        )
        stack.push_async_callback(functions.stop, _PATIENCE_SECONDS)
        async with self._progress.part("functions") as details:
            await functions.apply(template)
            details.append(
                f"{len(template.functions)} of them, {_where_they_run(template, artifacts)}"
            )
        custom = self._custom_resources = CustomResources(
            functions.invoke, settings.region, self.invoke_url
        )
        invoke_api = InvokeApi(functions, custom.receive_report)
        await serve(stack, invoke_api.server, invoke_socket)
        for resource in template.custom_resources:
            async with self._progress.part(resource.logical_id):
                await custom.create(resource)
        if self._with_api:
            functions.warm_up(template.triggered_functions)

    def _api_socket(self, stack: AsyncExitStack) -> socket.socket:
        settings = self._settings
        if settings.port and not is_free(settings.port):
            raise CloudFailed(
                f"Port {settings.port} is already in use: stop the program that uses it, "
                f"or choose another port: API_PORT={settings.port + 1} make run"
            )
        api_socket = (
            bind(settings.host, settings.port) if settings.port else hold_free_port(settings.host)
        )
        stack.callback(api_socket.close)
        self.api_url = f"http://localhost:{port_of(api_socket)}"
        return api_socket

    def _invoke_socket(self, stack: AsyncExitStack) -> socket.socket:
        """The Lambda API's: at a port that can be remembered, unless another cloud is there."""
        settings = self._settings
        if settings.is_private or not self._with_api:
            return stack.enter_context(hold_free_port())
        wanted = settings.lambda_port or _LAMBDA_PORT
        try:
            held = bind(LOOPBACK, wanted)
            # From now on, so that nobody else takes it in the meantime.
            held.listen(LISTEN_BACKLOG)
        except (OSError, CannotListen) as error:
            if settings.lambda_port:
                raise CloudFailed(
                    f"Port {wanted} is already in use: choose another for the Lambda API with "
                    "LAMBDA_PORT, or let it find one"
                ) from error
            held = hold_free_port()
            self._progress.say(
                f"port {wanted} is already in use: the Lambda API listens on {port_of(held)}"
            )
        stack.callback(held.close)
        return held

    async def _serve_api(
        self, stack: AsyncExitStack, template: Template, api_socket: socket.socket
    ) -> None:
        triggers = self._triggers = RunningTriggers(
            self._services.variables["RABBITMQ_URL"],
            self.functions.invoke,
            self.functions.invoke_later,
            self._logs,
            self._supervise,
        )
        stack.push_async_callback(triggers.stop, _PATIENCE_SECONDS)
        async with self._progress.part("triggers"):
            triggers.apply(template)
        lambda_port = self._settings.lambda_port or _LAMBDA_PORT
        ports = self._ports = ApiPorts(
            api_socket,
            self.functions.invoke,
            self._logs,
            self._settings.allowed_hosts,
            is_private=self._settings.port is None,
            taken=(lambda_port,),
        )
        stack.push_async_callback(ports.stop)
        await ports.apply(template.apis)

    async def _apply_apis(self, template: Template) -> None:
        assert self._ports is not None
        previous = self._ports.urls
        await self._ports.apply(template.apis)
        for name, url in self._ports.urls.items():
            if previous.get(name) != url:
                self._logs.event("gateway", f"{name} is at {url}")

    def _watch_code(self, template: Template) -> None:
        for task in self._watching[1:]:
            task.cancel()
        del self._watching[1:]
        if self._watching and template.code_folders:
            watching = self._watcher.watch_code(template.code_folders)
            self._watching.append(self._supervise(watching))

    async def _template_changed(self) -> None:
        self._watcher.want(())
        try:
            template = await self._read_template()
            if template != self._template:
                await self._apply(template)
            elif not self._is_template_broken:
                return
        except Exception as error:
            if isinstance(error, MissingFolder):
                # A branch that is checked out writes the template first, perhaps.
                self._watcher.want([error.folder])
            self._logs.event(
                "template", f"keeps its last working version: {in_words(error)}", is_problem=True
            )
            self._is_template_broken = True
        else:
            self._is_template_broken = False
            self._logs.event("template", "changed: the cloud now runs it")

    async def _apply(self, template: Template) -> None:
        previous = self._template
        assert previous is not None and self._ports is not None
        assert self._custom_resources is not None and self._triggers is not None
        await self._create_buckets(
            bucket for bucket in template.buckets if bucket not in previous.buckets
        )
        await self.functions.apply(template)
        for resource in template.custom_resources:
            if resource not in previous.custom_resources:
                await self._custom_resources.create(resource)
        self._template = template
        self.functions.warm_up(template.triggered_functions - previous.triggered_functions)
        await self._apply_apis(template)
        self._triggers.apply(template)
        self._write_state()
        if template.code_folders != previous.code_folders:
            self._watch_code(template)
            # From when the new watcher watches: what the last one saw and had not told yet.
            await asyncio.sleep(0)
            await self._code_changed(template.code_folders)

    async def _code_changed(self, paths: Iterable[Path]) -> None:
        try:
            names = await self.functions.reload(paths)
        except Exception as error:
            self._logs.event(
                "functions", f"keep their last version: {in_words(error)}", is_problem=True
            )
            return
        if names:
            shown = ", ".join(names) if len(names) < 6 else f"all {len(names)}"
            self._logs.event("functions", f"new code: {shown}")

    def _write_state(self) -> None:
        state: dict[str, Any] = {
            "pid": os.getpid(),
            "environment": self.environment,
            "services": self._services.state(),
        }
        if self._functions is not None:
            state["invoke_url"] = self.invoke_url
            state["functions"] = {
                function.folder_name: {"logical_id": name, "name": function.name}
                for name, function in self.functions.template.functions.items()
            }
        if self._with_api:
            state["api_url"] = self.api_url
            state["api_urls"] = dict(self.api_urls)
        write_record(self._settings.state_path, state)


def _own_output() -> Iterator[Path]:
    """Files that this program's output goes to: its words about a change must not be one."""
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            if path.is_file():
                yield path


def _where_they_run(template: Template, artifacts: Artifacts) -> str:
    interpreter = artifacts.interpreter
    others = {function.runtime for function in template.functions.values()} - {interpreter.runtime}
    on_aws = f" (on AWS: {', '.join(sorted(others))})" if others else ""
    return f"on Python {interpreter.version}{on_aws}"


@contextlib.contextmanager
def _lock(data_folder: Path) -> Iterator[None]:
    """Keeps a second cloud out of the data folder; the kernel lifts it when this process ends."""
    path = data_folder / "cloud.lock"
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            state = read_record(data_folder / "state.json") or {}
            raise CloudFailed(
                f"A local cloud already runs on {data_folder}"
                f" (process {state.get('pid', 'unknown')}): stop it first, "
                "or choose another folder with --data-folder"
            ) from None
        yield
