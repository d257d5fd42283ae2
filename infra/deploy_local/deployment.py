"""The whole of it: target, build, stack, triggers."""

import asyncio
import fcntl
import json
import os
import platform
import shutil
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from infra.deploy_local import gateway, sam
from infra.deploy_local.stack import Stack
from infra.deploy_local.target import REGION, Target, running_target
from infra.entry_point import Explained
from infra.local.logs.stream import LogStream
from infra.local.progress import Progress
from infra.local.settings import ROOT
from infra.local.template.model import Function, Template
from infra.local.template.reader import read_template
from infra.local.triggers.event_source import QueuePoller
from infra.local.triggers.lambda_endpoint import LambdaEndpoint
from infra.services.records import write_record
from infra.services.reset import stop_cloud

WORK_FOLDER = ROOT / ".cache" / "deploy-local"
STATE_NAME = "deployment.json"
_MARKER_NAME = "of-a-deployment"

_PATIENCE_SECONDS = 30.0
# Unpacking layers is work for the processor; more side by side would only wait.
_STARTS_AT_ONCE = 2


class FolderInUse(Explained):
    """The data folder belongs to another deployment, or to something else."""


class WrongMachine(Explained):
    """The functions' code cannot run here."""


@dataclass(frozen=True)
class Deployment:
    """A running one."""

    api_url: str
    target: Target
    template: Template
    stack: Stack


@asynccontextmanager
async def deployed(
    template_path: Path, data_folder: Path, progress: Progress, logs: LogStream
) -> AsyncIterator[Deployment]:
    """The stack is up and triggered inside the block; afterwards nothing of it is left.

    Raises FolderInUse, FunctionFailed, SamFailed, ServiceFailed, WrongMachine.
    """
    if platform.machine() != "x86_64":
        raise WrongMachine(
            f"The layers are built for x86-64, and this machine, which would run them, is "
            f"{platform.machine()}"
        )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(_own_folder(data_folder))
        async with sam.sole_use(WORK_FOLDER):
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(
                    asyncio.to_thread(read_template, template_path, {}, REGION)
                )
                building = group.create_task(_build(template_path, progress))
                target = await stack.enter_async_context(running_target(data_folder, progress))
            async with progress.part("sam deploy"):
                await sam.deploy(
                    building.result(),
                    target,
                    configuration=template_path.parent / "samconfig.toml",
                    parameters={},
                )
        template = reading.result()
        deployment = await asyncio.to_thread(_completed_deployment, target, template)
        async with progress.part("functions") as details:
            await asyncio.to_thread(_start_functions, deployment)
            details.append(f"{len(template.functions)} of them")
        await stack.enter_async_context(_triggered(deployment, logs))
        write_record(data_folder / STATE_NAME, _state(deployment))
        yield deployment


async def _build(path: Path, progress: Progress) -> Path:
    async with progress.part("sam build"):
        return await sam.build(path, WORK_FOLDER)


def _completed_deployment(target: Target, template: Template) -> Deployment:
    stack = Stack(target, sam.STACK_NAME)
    (api,) = template.rest_apis
    gateway.complete(target, stack, api)
    return Deployment(stack.outputs()["ApiUrl"], target, template, stack)


def _start_functions(deployment: Deployment) -> None:
    """Invokes every function once, with its sample event. Raises FunctionFailed.

    A first invocation takes longer here than a client of the API may wait.
    """

    def start(function: Function) -> None:
        event = json.loads((ROOT / "events" / f"{function.folder_name}.json").read_bytes())
        deployment.stack.invoke(function.logical_id, event)

    with ThreadPoolExecutor(_STARTS_AT_ONCE) as threads:
        for _ in threads.map(start, deployment.template.functions.values()):
            pass


@asynccontextmanager
async def _triggered(deployment: Deployment, logs: LogStream) -> AsyncIterator[None]:
    """MiniStack runs the schedules itself, but asks no broker for messages."""
    target = deployment.target
    pollers: list[tuple[QueuePoller, asyncio.Task[None]]] = []
    for mapping in deployment.template.queue_mappings:
        function_name = await asyncio.to_thread(deployment.stack.physical_id, mapping.function_id)
        endpoint = LambdaEndpoint(target.endpoint_url, function_name, target.aws_variables, REGION)
        poller = QueuePoller(mapping, target.broker_url, endpoint.invoke, logs)
        pollers.append((poller, asyncio.create_task(poller.run())))
    try:
        yield
    finally:
        for poller, _ in pollers:
            poller.stop()
        if pollers:
            _, unfinished = await asyncio.wait(
                [running for _, running in pollers], timeout=_PATIENCE_SECONDS
            )
            for task in unfinished:
                task.cancel()


def _state(deployment: Deployment) -> dict[str, Any]:
    target = deployment.target
    functions = deployment.template.functions
    return {
        "pid": os.getpid(),
        "api_url": deployment.api_url,
        "lambda_url": target.endpoint_url,
        "stack_name": sam.STACK_NAME,
        "outputs": deployment.stack.outputs(),
        "functions": {
            function.folder_name: deployment.stack.physical_id(logical_id)
            for logical_id, function in functions.items()
        },
        "aws_variables": target.aws_variables,
        "target": asdict(target),
    }


@asynccontextmanager
async def _own_folder(folder: Path) -> AsyncIterator[None]:
    """Empty, and this run's alone; wiped in the end. The kernel lifts the lock of a killed run."""
    marker = folder / _MARKER_NAME
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUse(
                f"A deployment already runs on {folder}: stop it first, "
                "or choose another folder with --data-folder"
            ) from None
        if folder.exists() and any(folder.iterdir()) and not marker.exists():
            raise FolderInUse(f"{folder} holds something else, and would be wiped")
        # What a killed run left.
        await stop_cloud(folder)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        marker.touch()
        try:
            yield
        finally:
            shutil.rmtree(folder, ignore_errors=True)
