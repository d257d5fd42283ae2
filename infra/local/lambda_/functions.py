"""Lambda: the functions of a template, each with its pool of execution environments."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from infra.local.invocation import Event, Result, json_event
from infra.local.lambda_.artifacts import Artifacts
from infra.local.lambda_.asynchronous import destination_event, invoke_with_retries
from infra.local.lambda_.environment import Environment, InitFailed, RuntimeGone
from infra.local.lambda_.launch import Launch, emulator_path
from infra.local.lambda_.pool import ColdStarts, FunctionPool
from infra.local.lambda_.self_writes import SelfWrites
from infra.local.logs.stream import LogStream
from infra.local.template.model import (
    UNTIMED_SECONDS,
    Destinations,
    Function,
    Retries,
    Template,
    function_arn,
)
from infra.services.process_identity import ProcessIdentity

_SHRINK_INTERVAL_SECONDS = 10.0


@dataclass(frozen=True)
class RuntimeSettings:
    """What all functions of a cloud share.

    `variables` are those that Lambda itself sets; `overrides` replace those of a function's own
    that have the same name: where the services of this machine are. `limits` bounds the
    environments by folder name, with the bound of all others under "". `debug_ports`: where
    functions, by logical id, wait for an editor to attach.
    """

    variables: Mapping[str, str]
    overrides: Mapping[str, str]
    limits: Mapping[str, int]
    idle_seconds: float = 300.0
    debug_ports: Mapping[str, int] = field(default_factory=dict)


class FunctionService:
    """Invokes functions. `apply` a template first."""

    def __init__(
        self,
        settings: RuntimeSettings,
        artifacts: Artifacts,
        logs: LogStream,
        on_process: Callable[[ProcessIdentity], None],
    ) -> None:
        self._settings = settings
        self._artifacts = artifacts
        self._logs = logs
        self._on_process = on_process
        self._emulator = emulator_path()
        self._cold_starts = ColdStarts(os.cpu_count() or 1)
        self._pools: dict[str, FunctionPool] = {}
        self._launches: dict[str, Launch] = {}
        self._self_writes: dict[str, SelfWrites] = {}
        self._template: Template | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._shrinking: asyncio.Task[None] | None = None

    @property
    def template(self) -> Template:
        """The template that was applied last."""
        if self._template is None:
            raise RuntimeError("No template was applied")
        return self._template

    async def apply(self, template: Template) -> None:
        """Runs these functions from now on; what did not change keeps its environments.

        Raises InstallFailed, and then nothing has changed.
        """
        answering = template.answering_functions
        launches = {
            logical_id: await self._launch(function, gives_way=logical_id not in answering)
            for logical_id, function in template.functions.items()
        }
        await asyncio.to_thread(self._artifacts.compile, template.code_folders)
        removed = [self._pools.pop(name) for name in self._pools.keys() - launches.keys()]
        self._template = template
        for logical_id, launch in launches.items():
            previous = self._launches.get(logical_id)
            if logical_id not in self._pools:
                self._pools[logical_id] = self._pool(logical_id, launch)
            elif previous is not None and previous != launch:
                self._pools[logical_id].replace(self._factory(launch))
        self._launches = launches
        if self._shrinking is None:
            self._shrinking = asyncio.create_task(self._shrink())
        for pool in removed:
            self._run_in_background(pool.stop(patience_seconds=30))

    def warm_up(self, function_ids: Iterable[str]) -> None:
        """Starts an environment of each of these functions, ahead of the first request."""
        for function_id in function_ids:
            self._pools[function_id].warm_up()

    async def reload(self, changed: Iterable[Path]) -> list[str]:
        """Replaces the environments of the functions whose code lies in these paths.

        Their folder names are returned. Raises InstallFailed.
        """
        paths = [path.resolve() for path in changed]
        affected = [
            function
            for function in self.template.functions.values()
            if (
                own := [
                    path
                    for path in paths
                    if any(path.is_relative_to(folder) for folder in function.code_folders)
                ]
            )
            and not self._are_self_writes(function, own)
        ]
        await asyncio.to_thread(
            self._artifacts.compile,
            {folder for function in affected for folder in function.code_folders},
        )
        for function in affected:
            launch = await self._launch(function)
            self._launches[function.logical_id] = launch
            self._pools[function.logical_id].replace(self._factory(launch))
        return [function.folder_name for function in affected]

    async def invoke(self, function_id: str, event: Event) -> Result:
        """Runs a function, given by its logical id, to its end. Raises Throttled."""
        return await self._pools[function_id].invoke(event)

    async def invoke_apart(self, function_id: str, event: Event, terminal_port: int) -> Result:
        """On an environment of its own, without a time-out: breakpoints connect to the terminal
        that listens on this port of the loopback address."""
        launch = self._launches[function_id]
        environment = self._factory(
            replace(
                launch,
                function=replace(launch.function, timeout_seconds=UNTIMED_SECONDS),
                terminal_port=terminal_port,
            )
        )()
        try:
            await environment.start()
            return await environment.invoke(event)
        except InitFailed as error:
            return Result(error.payload, is_error=True)
        except RuntimeGone as gone:
            return gone.result
        finally:
            await environment.stop()

    def invoke_later(self, function_id: str, event: Event) -> None:
        """An asynchronous invocation: queued, and tried again when it fails."""
        self._run_in_background(self._invoke_to_the_end(function_id, event))

    async def stop(self, patience_seconds: float) -> None:
        """Lets running invocations finish, then stops every environment."""
        if self._shrinking is not None:
            self._shrinking.cancel()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*(pool.stop(patience_seconds) for pool in self._pools.values()))

    def pids(self) -> dict[str, list[int]]:
        """The processes of each function, by its folder name."""
        return {
            self.template.functions[name].folder_name: pool.pids
            for name, pool in self._pools.items()
        }

    def _are_self_writes(self, function: Function, paths: list[Path]) -> bool:
        name = function.folder_name

        def say(text: str) -> None:
            self._logs.event(name, text, is_problem=True)

        self_writes = self._self_writes.setdefault(function.logical_id, SelfWrites(say))
        return self_writes.are_all(paths, self._pools[function.logical_id].busy_times)

    async def _launch(self, function: Function, *, gives_way: bool = False) -> Launch:
        variables = {
            **function.environment,
            **{
                name: value
                for name, value in self._settings.overrides.items()
                if name in function.environment
            },
            **self._settings.variables,
            "PYTHONPYCACHEPREFIX": str(self._artifacts.bytecode_folder),
        }
        return Launch(
            # How it is invoked does not need a new process.
            function=replace(
                function,
                reserved_concurrency=None,
                versions={},
                retries=Retries(),
                destinations=Destinations(),
            ),
            interpreter=self._artifacts.interpreter,
            python_path=tuple(await self._artifacts.python_path(function)),
            variables=variables,
            emulator=self._emulator,
            gives_way=gives_way,
            editor_port=self._settings.debug_ports.get(function.logical_id),
        )

    def _factory(self, launch: Launch) -> Callable[[], Environment]:
        return lambda: Environment(launch, self._logs, self._on_process)

    def _pool(self, logical_id: str, launch: Launch) -> FunctionPool:
        function = self.template.functions[logical_id]
        limits = self._settings.limits
        is_debugged = logical_id in self._settings.debug_ports
        return FunctionPool(
            function.folder_name,
            self._factory(launch),
            self._logs,
            # One that waits for an editor holds up no other.
            cold_starts=ColdStarts(1) if is_debugged else self._cold_starts,
            limit=1 if is_debugged else limits.get(function.folder_name, limits[""]),
            reserved_concurrency=function.reserved_concurrency,
            idle_seconds=self._settings.idle_seconds,
            keeps_one=logical_id in self.template.triggered_functions,
        )

    async def _invoke_to_the_end(self, function_id: str, event: Event) -> None:
        function = self.template.functions[function_id]
        outcome = await invoke_with_retries(function, event, self.invoke)
        told = function.destinations.on_success
        if outcome.is_failure:
            told = function.destinations.on_failure
            self._logs.event(
                function.folder_name,
                f"given up: {event.request_id} failed at its last try",
                is_problem=True,
            )
        if told is not None:
            arn = f"{function_arn(self.template.region, function.name)}:{event.version}"
            self.invoke_later(told, json_event(destination_event(arn, event, outcome)))

    async def _shrink(self) -> None:
        while True:
            await asyncio.sleep(_SHRINK_INTERVAL_SECONDS)
            for pool in self._pools.values():
                pool.shrink()

    def _run_in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
