"""Runs the whole local cloud: starts its parts in order, and stops them in order."""

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from aiohttp import web
from rich.console import Console

from infra.local.gateway.server import Gateway
from infra.local.lambda_.artifacts import Artifacts, InstallFailed
from infra.local.lambda_.functions import (
    FunctionService,
    RuntimeSettings,
    own_folders,
    triggered_functions,
)
from infra.local.lambda_.invoke_api import InvokeApi
from infra.local.logs import LogStream
from infra.local.progress import Progress
from infra.local.settings import Settings
from infra.local.storage_buckets import create_buckets
from infra.local.template.reader import Api, Bucket, Template, TemplateError, read_template
from infra.local.triggers import schedules
from infra.local.triggers.custom_resources import CustomResourceFailed, CustomResources
from infra.local.triggers.event_source import QueuePoller
from infra.local.watch import Watcher
from infra.services import PostgresService, RabbitMQService, S3Service
from infra.services.ports import hold_free_port, is_free, port_of
from infra.services.processes import ProcessIdentity, end_process
from infra.services.records import read_record, write_record

_PATIENCE_SECONDS = 30.0
_LISTEN_BACKLOG = 512
_NO_API = Api("none", "none", {}, (), (), {})


class CloudFailed(Exception):
    """The local cloud cannot start; the text says why."""


class Service(Protocol):
    """What the services have in common."""

    url: str

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def wait(self) -> int: ...
    def pids(self) -> list[int]: ...


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
        self._with_functions = with_functions
        self._with_api = with_api and with_functions
        self._progress = Progress(console, logs, as_json=settings.as_json)
        self._artifacts = Artifacts(settings.cache_folder, settings.python, self._progress.say)
        self._records = _ProcessRecords(settings.data_folder / "environments.json")
        self._services: dict[str, Service] = {}
        self._service_variables: dict[str, str] = {}
        self._template: Template | None = None
        self._pollers: dict[str, tuple[QueuePoller, asyncio.Task[None]]] = {}
        self._clocks: list[asyncio.Task[None]] = []
        self._watching: list[asyncio.Task[None]] = []
        self._custom_resources: CustomResources | None = None
        self._functions: FunctionService | None = None
        self._gateway: Gateway | None = None
        self._watcher = Watcher(settings.template, self._template_changed, self._code_changed)
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
            # The socket is taken first: a port that is in use should not cost a whole start.
            api_socket = self._api_socket(stack) if self._with_api else None
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
                    await self._start(stack, api_socket)
                yield
            finally:
                for task in self._watching:
                    task.cancel()

    async def build(self) -> None:
        """Installs and compiles all code, so that a later run need not. Raises InstallFailed."""
        template = await self._prepare_code()
        await asyncio.to_thread(self._artifacts.compile, own_folders(template))

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
    def environment(self) -> dict[str, str]:
        """Every variable with which a program reaches this cloud as a function does."""
        template = self._template
        declared: dict[str, str] = {}
        for function in template.functions.values() if template else ():
            declared |= function.environment
        return {
            **{name: value for name, value in declared.items() if value},
            **self._service_variables,
            **self._aws_variables(),
        }

    async def _start(self, stack: AsyncExitStack, api_socket: socket.socket | None) -> None:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(self._prepare_code())
            for name, variable, url, service in self._chosen_services():
                group.create_task(self._start_service(stack, name, variable, url, service))
        self._service_variables |= self._settings.secret_variables()
        template = self._template = reading.result()
        await self._create_buckets(template.buckets)
        if self._with_functions:
            await self._start_functions(stack, template)
        if api_socket is not None:
            await self._serve_api(stack, template, api_socket)
        self._write_state()

    async def _prepare_code(self) -> Template:
        async with self._progress.part("template"):
            template = await self._read_template()
        if self._with_functions:
            self._watch_code(template)
            async with self._progress.part("code"):
                await self._artifacts.install(template.functions.values())
        return template

    async def _read_template(self) -> Template:
        settings = self._settings
        template = await asyncio.to_thread(
            read_template, settings.template, settings.variables, settings.region
        )
        for schedule in template.schedules:
            schedules.parse(schedule.expression)
        return template

    def _chosen_services(self) -> Iterable[tuple[str, str, str | None, Service]]:
        settings = self._settings
        folders = settings.data_folder, settings.log_folder
        port = 0 if settings.is_private else None
        yield "Postgres", "DATABASE_URL", settings.database_url, PostgresService(*folders, port)
        yield "RabbitMQ", "RABBITMQ_URL", settings.broker_url, RabbitMQService(*folders, port)
        yield "S3", "AWS_ENDPOINT_URL", settings.storage_url, S3Service(*folders, port)

    async def _start_service(
        self, stack: AsyncExitStack, name: str, variable: str, url: str | None, service: Service
    ) -> None:
        async with self._progress.part(name) as details:
            if url is None:
                # Also after a failed or interrupted start: it may have left a process.
                stack.push_async_callback(service.stop)
                await service.start()
                self._services[name.lower()] = service
                watch = asyncio.create_task(self._notice_end(name, service))
                stack.callback(watch.cancel)
            else:
                details.append("[dim]as set by the environment:[/]")
            self._service_variables[variable] = url or service.url
            if isinstance(service, PostgresService) and url is None and self._with_functions:
                # Migrations run as the owner of the schema and let the other role in.
                self._service_variables["DATABASE_ADMIN_URL"] = service.url
                self._service_variables[variable] = service.api_url
            details.append(_without_password(self._service_variables[variable]))

    async def _notice_end(self, name: str, service: Service) -> None:
        status = await service.wait()
        if self._problem is not None and not self._problem.done():
            self._problem.set_result(
                f"{name} ended by itself with {status}; its log is in {self._settings.log_folder}"
            )

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

    def _aws_variables(self) -> dict[str, str]:
        variables = self._settings.variables
        region = self._settings.region
        storage = self._services.get("s3")
        if isinstance(storage, S3Service):
            # It checks signatures, so that a wrongly signed URL fails here as it does on AWS.
            key_id, key = storage.access_key_id, storage.secret_access_key
        else:
            key_id = variables.get("AWS_ACCESS_KEY_ID", "test")
            key = variables.get("AWS_SECRET_ACCESS_KEY", "test")
        result = {
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_ACCESS_KEY_ID": key_id,
            "AWS_SECRET_ACCESS_KEY": key,
            "AWS_ENDPOINT_URL": self._service_variables.get("AWS_ENDPOINT_URL", ""),
        }
        if token := variables.get("AWS_SESSION_TOKEN"):
            result["AWS_SESSION_TOKEN"] = token
        return result

    async def _create_buckets(self, buckets: Iterable[Bucket]) -> None:
        await asyncio.to_thread(create_buckets, tuple(buckets), self._aws_variables())

    async def _start_functions(self, stack: AsyncExitStack, template: Template) -> None:
        settings = self._settings
        functions = self._functions = FunctionService(
            RuntimeSettings(
                python=settings.python,
                variables=self._aws_variables(),
                overrides=self._service_variables,
                limits=settings.environment_limits(),
            ),
            self._artifacts,
            self._logs,
            self._records.add,
        )
        stack.push_async_callback(functions.stop, _PATIENCE_SECONDS)
        async with self._progress.part("functions") as details:
            await functions.apply(template)
            details.append(f"{len(template.functions)} of them")
        invoke_socket = stack.enter_context(hold_free_port())
        self.invoke_url = f"http://127.0.0.1:{port_of(invoke_socket)}"
        custom = self._custom_resources = CustomResources(
            functions, settings.region, self.invoke_url
        )
        await _serve(stack, InvokeApi(functions, custom).server(), invoke_socket)
        for resource in template.custom_resources:
            async with self._progress.part(resource.logical_id):
                await custom.create(resource)
        if self._with_api:
            functions.warm_up(triggered_functions(template))

    def _api_socket(self, stack: AsyncExitStack) -> socket.socket:
        settings = self._settings
        if settings.port and not is_free(settings.port):
            raise CloudFailed(
                f"Port {settings.port} is already in use: stop the program that uses it, "
                f"or choose another port: API_PORT={settings.port + 1} make run"
            )
        api_socket = (
            _bind(settings.host, settings.port) if settings.port else hold_free_port(settings.host)
        )
        stack.callback(api_socket.close)
        self.api_url = f"http://localhost:{port_of(api_socket)}"
        return api_socket

    async def _serve_api(
        self, stack: AsyncExitStack, template: Template, api_socket: socket.socket
    ) -> None:
        stack.push_async_callback(self._stop_triggers)
        async with self._progress.part("triggers"):
            self._start_triggers(template)
        gateway = self._gateway = Gateway(
            template.api or _NO_API, self.functions.invoke, self._logs
        )
        await _serve(stack, gateway.server(), api_socket)

    def _watch_code(self, template: Template) -> None:
        for task in self._watching[1:]:
            task.cancel()
        del self._watching[1:]
        folders = own_folders(template)
        if self._watching and folders:
            self._watching.append(self._supervise(self._watcher.watch_code(folders)))

    def _start_triggers(self, template: Template) -> None:
        wanted = {str(mapping): mapping for mapping in template.queue_mappings if mapping.enabled}
        for key in self._pollers.keys() - wanted.keys():
            self._pollers.pop(key)[0].stop()
        for key, mapping in wanted.items():
            if key not in self._pollers:
                poller = QueuePoller(
                    mapping,
                    self._service_variables["RABBITMQ_URL"],
                    self.functions.invoke,
                    self._logs,
                )
                self._pollers[key] = poller, self._supervise(poller.run())
        for clock in self._clocks:
            clock.cancel()
        self._clocks = [
            self._supervise(
                schedules.run(schedule, self._settings.region, self.functions.invoke_later)
            )
            for schedule in template.schedules
            if schedule.enabled
        ]

    async def _stop_triggers(self) -> None:
        for clock in self._clocks:
            clock.cancel()
        for poller, _ in self._pollers.values():
            poller.stop()
        running = [task for _, task in self._pollers.values()]
        if running:
            _, unfinished = await asyncio.wait(running, timeout=_PATIENCE_SECONDS)
            for task in unfinished:
                task.cancel()

    async def _template_changed(self) -> None:
        try:
            template = await self._read_template()
            if template == self._template:
                return
            await self._apply(template)
        except (
            TemplateError,
            schedules.ScheduleError,
            InstallFailed,
            CustomResourceFailed,
        ) as error:
            self._logs.event(
                "template", f"keeps its last working version: {error}", is_problem=True
            )
        else:
            self._logs.event("template", "changed: the cloud now runs it")

    async def _apply(self, template: Template) -> None:
        previous = self._template
        assert previous is not None and self._gateway is not None
        assert self._custom_resources is not None
        await self._create_buckets(
            bucket for bucket in template.buckets if bucket not in previous.buckets
        )
        await self.functions.apply(template)
        for resource in template.custom_resources:
            if resource not in previous.custom_resources:
                await self._custom_resources.create(resource)
        self._template = template
        self.functions.warm_up(triggered_functions(template) - triggered_functions(previous))
        self._gateway.use(template.api or _NO_API)
        self._start_triggers(template)
        if own_folders(template) != own_folders(previous):
            self._watch_code(template)
        self._write_state()

    async def _code_changed(self, paths: Iterable[Path]) -> None:
        try:
            names = await self.functions.reload(paths)
        except InstallFailed as error:
            self._logs.event("functions", f"keep their last version: {error}", is_problem=True)
            return
        if names:
            shown = ", ".join(names) if len(names) < 6 else f"all {len(names)}"
            self._logs.event("functions", f"new code: {shown}")

    def _write_state(self) -> None:
        state: dict[str, Any] = {
            "pid": os.getpid(),
            "environment": self.environment,
            "services": {
                name: {"pid": service.pids()[0], "pids": service.pids(), "url": service.url}
                for name, service in self._services.items()
            },
        }
        if self._with_functions:
            state["invoke_url"] = self.invoke_url
            state["functions"] = {
                function.folder_name: {"logical_id": name, "name": function.name}
                for name, function in self.functions.template.functions.items()
            }
        if self._with_api:
            state["api_url"] = self.api_url
        write_record(self._settings.state_path, state)


class _ProcessRecords:
    """The processes of execution environments, for whoever cleans up after a killed cloud."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._processes: list[ProcessIdentity] = []

    def add(self, process: ProcessIdentity) -> None:
        self._processes = [known for known in self._processes if known.is_alive()]
        self._processes.append(process)
        write_record(self._path, {"processes": [asdict(item) for item in self._processes]})

    async def end_leftovers(self) -> None:
        """Ends those recorded that still run, and no other process."""
        record: Mapping[str, Any] = read_record(self._path) or {}
        for fields in record.get("processes", ()):
            process = ProcessIdentity(**fields)
            if process.is_alive():
                await end_process(process, signal.SIGKILL, 5.0)
        self.clear()

    def clear(self) -> None:
        """After a stop in order there is nothing to clean up."""
        self._path.unlink(missing_ok=True)


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


def _bind(host: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise CloudFailed(f"Cannot listen on {host}:{port}: {error.strerror}") from error
    return bound


async def _serve(stack: AsyncExitStack, server: web.Server, bound: socket.socket) -> None:
    runner = web.ServerRunner(server, shutdown_timeout=_PATIENCE_SECONDS)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, bound, backlog=_LISTEN_BACKLOG).start()


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
    return parts._replace(netloc=f"{parts.username}@{host}").geturl()
