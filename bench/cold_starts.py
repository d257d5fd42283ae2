"""Cold starts of every function from what `sam build` makes, with its bytecode and without.

Runs in the local cloud's environment: AWS's emulator and runtime are started as `make run` does.
"""

from __future__ import annotations

import asyncio
import io
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from infra.local.lambda_.environment import Environment
from infra.local.lambda_.interpreter import Interpreter, inspect_interpreter
from infra.local.lambda_.launch import Launch, emulator_path
from infra.local.logs import LogStream
from infra.local.settings import read_settings
from infra.local.template.model import Function, Template
from infra.local.template.reader import read_template

ROOT = Path(__file__).parent.parent
REGION = "us-east-1"
# Nothing is connected to while a function is loaded.
VARIABLES = {
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_REGION": REGION,
    "AWS_SECRET_ACCESS_KEY": "none",
    "DATABASE_URL": "postgresql://nobody@localhost:1/none",
    "JWT_SECRET": "a secret of more than thirty-two bytes",
    "RABBITMQ_URL": "amqp://nobody@localhost:1/%2F",
}


def build(folder: Path) -> Path:
    subprocess.run(
        [
            *(Path(sys.executable).with_name("sam"), "build", "--parallel", "--no-cached"),
            *("--build-dir", folder / "build", "--cache-dir", folder / "cache"),
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "SAM_CLI_TELEMETRY": "0",
            # The functions run on this machine, on this Python.
            "LAMBDA_RUNTIME": f"python3.{sys.version_info.minor}",
            "LAMBDA_ARCHITECTURE": platform.machine(),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return folder / "build"


def without_bytecode(built: Path) -> Path:
    copied = shutil.copytree(built, built.with_name("sources"), copy_function=os.link)
    for cache in list(copied.rglob("__pycache__")):
        shutil.rmtree(cache)
    return copied


def functions(template: Template) -> Iterator[Function]:
    """Those of the template, by name, and one that does nothing."""
    yield Function(
        logical_id="Hello",
        name="Hello",
        runtime="",
        handler="app.lambda_handler",
        code_path=ROOT / "bench" / "hello",
        environment={},
        timeout_seconds=20,
        memory_mb=512,
        layers=(),
        reserved_concurrency=None,
    )
    yield from sorted(template.functions.values(), key=lambda function: function.name)


@dataclass(frozen=True, slots=True)
class ColdStart:
    """From the start of the processes until the function could answer; `cpu_ms` of the runtime."""

    elapsed_ms: float
    cpu_ms: float


async def cold_start(function: Function, interpreter: Interpreter) -> ColdStart:
    launch = Launch(
        function=replace(function, reserved_concurrency=None),
        interpreter=interpreter,
        python_path=[layer.content_path / "python" for layer in reversed(function.layers)],
        # What is compiled at a start is compiled at every start: nobody may write to /var/task.
        variables={**function.environment, **VARIABLES, "PYTHONDONTWRITEBYTECODE": "1"},
        emulator=emulator_path(),
    )
    environment = Environment(launch, LogStream(io.StringIO()), lambda _process: None)
    started_at = asyncio.get_running_loop().time()
    await environment.start()
    elapsed_ms = (asyncio.get_running_loop().time() - started_at) * 1000
    _emulator_pid, runtime_pid = environment.pids
    times = psutil.Process(runtime_pid).cpu_times()
    await environment.stop()
    return ColdStart(elapsed_ms, (times.user + times.system) * 1000)


async def measure(built: Path, runs: int) -> dict[str, tuple[list[ColdStart], list[ColdStart]]]:
    """By logical id: with bytecode, and without. One at a time, taking turns."""
    interpreter = inspect_interpreter(read_settings(template=ROOT / "template.yaml").python)
    variants = [
        {
            function.logical_id: function
            for function in functions(read_template(folder / "template.yaml", VARIABLES, REGION))
        }
        for folder in (built, without_bytecode(built))
    ]
    starts: dict[str, tuple[list[ColdStart], list[ColdStart]]] = {
        name: ([], []) for name in variants[0]
    }
    # The first round fills the file system's cache.
    for run in range(runs + 1):
        for name, measured in starts.items():
            for variant, values in zip(variants, measured, strict=True):
                start = await cold_start(variant[name], interpreter)
                if run:
                    values.append(start)
        print(f"round {run} of {runs}", file=sys.stderr, flush=True)
    return starts


def sizes(folder: Path) -> tuple[int, int]:
    """Bytes zipped and unzipped."""
    buffer, unzipped = io.BytesIO(), 0
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
                unzipped += path.stat().st_size
    return buffer.tell(), unzipped


async def run(folder: Path, runs: int) -> None:
    built = build(folder)
    starts = await measure(built, runs)
    print(
        "\n| function | as built, ms (CPU) | without bytecode, ms (CPU) | zipped KB | unzipped KB |"
    )
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, (compiled, plain) in starts.items():
        # The one that does nothing has nothing to be compiled: emulator and runtime are the floor.
        row = f"| {name.removesuffix('Function')} | {_medians(compiled)} | {_medians(plain)} |"
        if name == "Hello":
            print(f"{row} | |")
            continue
        zipped, unzipped = sizes(built / name)
        print(f"{row} {zipped / 1e3:.1f} | {unzipped / 1e3:.1f} |")
    ratio = _cpu_ms(starts["ConsumerFunction"][0]) / _cpu_ms(starts["RelayFunction"][0])
    print(f"\nThe consumer takes {ratio:.2f} times the CPU of the relay.")
    print("\n| layer | zipped MB | unzipped MB |\n| --- | ---: | ---: |")
    for path in sorted(built.glob("*Layer")):
        zipped, unzipped = sizes(path)
        print(f"| {path.name.removesuffix('Layer')} | {zipped / 1e6:.2f} | {unzipped / 1e6:.2f} |")


def _medians(starts: list[ColdStart]) -> str:
    elapsed_ms = statistics.median(start.elapsed_ms for start in starts)
    return f"{elapsed_ms:.0f} ({_cpu_ms(starts):.0f})"


def _cpu_ms(starts: list[ColdStart]) -> float:
    return statistics.median(start.cpu_ms for start in starts)


def main() -> None:
    cache = ROOT / ".cache"
    cache.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=cache) as folder:
        asyncio.run(run(Path(folder), runs=int(sys.argv[1])))


if __name__ == "__main__":
    main()
