"""`sam build` and `sam deploy`, as a developer or a pipeline runs them."""

import asyncio
import contextlib
import fcntl
import os
import platform
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from infra.deploy_local.target import Target
from infra.entry_point import Explained

STACK_NAME = "image-api"

# A function that dies before it answers CloudFormation is noticed by nobody else.
_DEPLOY_MINUTES = 60
_POLL_SECONDS = "0.5"
_LAST_LINES = 60


class SamFailed(Explained):
    """The SAM CLI ended with an error; the text has the end of what it said."""


@asynccontextmanager
async def sole_use(work_folder: Path) -> AsyncIterator[None]:
    """Builds in one folder take turns: each writes over the last one's artifacts."""
    work_folder.mkdir(parents=True, exist_ok=True)
    with (work_folder / "lock").open("a") as file:
        await asyncio.to_thread(fcntl.flock, file, fcntl.LOCK_EX)
        yield


async def build(template: Path, work_folder: Path) -> Path:
    """The built template, below `work_folder`. Only what changed is built. Raises SamFailed."""
    build_folder = work_folder / "build"
    runtime = f"python3.{sys.version_info.minor}"
    await _run(
        work_folder,
        "build",
        *("--template-file", str(template)),
        *("--build-dir", str(build_folder)),
        # Its cache does not notice for which runtime something was built.
        *("--cache-dir", str(work_folder / f"cache-{runtime}")),
        "--cached",
        "--parallel",
        # The functions run on this machine, on this Python.
        variables={"LAMBDA_RUNTIME": runtime, "LAMBDA_ARCHITECTURE": platform.machine()},
    )
    return build_folder / "template.yaml"


async def deploy(
    built_template: Path,
    target: Target,
    *,
    configuration: Path,
    stack_name: str = STACK_NAME,
    parameters: Mapping[str, str],
) -> str:
    """What it printed, once the stack is there or has changed. Raises SamFailed.

    The rest is as `configuration` says, the project's samconfig.toml.
    """
    return await _run(
        built_template.parents[1],
        "deploy",
        *("--config-file", str(configuration)),
        *("--template-file", str(built_template)),
        *("--stack-name", stack_name),
        *("--max-wait-duration", str(_DEPLOY_MINUTES)),
        "--no-confirm-changeset",
        "--no-progressbar",
        "--parameter-overrides",
        *(f"{name}={value}" for name, value in {**target.parameters, **parameters}.items()),
        variables=target.aws_variables,
    )


async def _run(
    work_folder: Path, command: str, *arguments: str, variables: Mapping[str, str]
) -> str:
    # It leaves an empty folder there for each package that it uploads.
    with tempfile.TemporaryDirectory(prefix="sam-", dir=work_folder) as temporary:
        return await _run_with(temporary, work_folder, command, *arguments, variables=variables)


async def _run_with(
    temporary: str, work_folder: Path, command: str, *arguments: str, variables: Mapping[str, str]
) -> str:
    tools = Path(sys.executable).parent
    process = await asyncio.create_subprocess_exec(
        *("setpriv", "--pdeathsig=TERM", "--"),
        *(sys.executable, "-m", "samcli", command, *arguments),
        # It keeps what it unpacked below the current folder.
        cwd=work_folder,
        env={
            **_own_variables(),
            # The build recipe calls a python3 with pip where no set-up lies beside it.
            "PATH": f"{tools}:{os.environ['PATH']}",
            "SAM_CLI_TELEMETRY": "0",
            "TMPDIR": temporary,
            # Instead of a folder in the user's home.
            "__SAM_CLI_APP_DIR": str(work_folder / "sam"),
            "SAM_CLI_POLL_DELAY": _POLL_SECONDS,
            # Wide enough for the reason of a failure to stay in one piece.
            "COLUMNS": "300",
            **variables,
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        # Its makefiles and pip with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        await process.wait()
        raise
    text = output.decode(errors="replace")
    if process.returncode != 0:
        end = "\n".join(text.splitlines()[-_LAST_LINES:])
        raise SamFailed(f"sam {command} ended with {process.returncode}:\n{end}")
    return text


def _own_variables() -> dict[str, str]:
    """The environment without anybody's account, profile or SAM settings."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "SAM_CLI_"))
    }
