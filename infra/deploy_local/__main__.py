"""python -m infra.deploy_local: build, deploy, walk through the API, take everything down."""

import argparse
import asyncio
import sys
import time
from pathlib import Path

import uvloop
from rich.console import Console

from infra import entry_point
from infra.deploy_local.deployment import WORK_FOLDER, Deployment, deployed
from infra.entry_point import Explained
from infra.local.logs.stream import LogStream
from infra.local.progress import Progress
from infra.local.settings import ROOT


class WalkFailed(Explained):
    """The walk through the API did not end well; what it said is on standard output."""


def main() -> int:
    """The exit status: 0, or 1 with the reason on standard error."""
    arguments = _parser().parse_args()
    entry_point.allow_many_connections()
    return entry_point.run(lambda: uvloop.run(_run(arguments)))


async def _run(arguments: argparse.Namespace) -> int:
    running = asyncio.create_task(_deploy(arguments))
    interrupted = False

    def stop() -> None:
        nonlocal interrupted
        interrupted = True
        print("\nstopping", flush=True)
        running.cancel()

    entry_point.on_stop_signal(stop)
    try:
        await running
    except asyncio.CancelledError:
        # Ctrl-C is how one that is kept ends; it cuts a check short.
        return 0 if interrupted and arguments.keep else 130
    return 0


async def _deploy(arguments: argparse.Namespace) -> None:
    started_at = time.monotonic()
    console = Console()
    logs = LogStream(call_soon=asyncio.get_running_loop().call_soon)
    progress = Progress(console, logs, as_json=False)
    async with deployed(
        arguments.template.resolve(), arguments.data_folder.resolve(), progress, logs
    ) as deployment:
        seconds = time.monotonic() - started_at
        print(f"API deployed at {deployment.api_url} after {seconds:.0f} s", flush=True)
        if arguments.keep:
            await _keep(deployment, arguments.data_folder)
        async with progress.part("walk"):
            await _walk(deployment.api_url)
    print(f"deployed, walked through and taken down in {time.monotonic() - started_at:.0f} s")


async def _keep(deployment: Deployment, data_folder: Path) -> None:
    names = "\n".join(f"    export {n}={v}" for n, v in deployment.target.aws_variables.items())
    print(
        f"  documentation   {deployment.api_url}/docs\n"
        f"  logs            {data_folder}/logs\n"
        f"  for the AWS CLI\n{names}\n"
        "  Ctrl-C takes everything down",
        flush=True,
    )
    await asyncio.Event().wait()


async def _walk(api_url: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *("setpriv", "--pdeathsig=TERM", "--"),
        *("bash", str(ROOT / "tests" / "walk.sh"), api_url),
        stdin=asyncio.subprocess.DEVNULL,
    )
    try:
        status = await process.wait()
    except asyncio.CancelledError:
        process.terminate()
        await process.wait()
        raise
    if status != 0:
        raise WalkFailed(f"The walk through {api_url} ended with {status}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m infra.deploy_local",
        description="Deploys template.yaml with the SAM CLI to an emulated AWS on this machine.",
    )
    parser.add_argument("--template", type=Path, default=ROOT / "template.yaml")
    parser.add_argument("--data-folder", type=Path, default=WORK_FOLDER / "data")
    parser.add_argument("--keep", action="store_true", help="no walk: leave it up until Ctrl-C")
    return parser


if __name__ == "__main__":
    sys.exit(main())
