"""Cold starts of every function from what `sam build` makes, with its bytecode and without, and
with secrets that are read from a Secrets Manager over TLS.

Runs in the local cloud's environment: AWS's emulator and runtime are started as `make run` does.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import platform
import shutil
import ssl
import statistics
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from image_api import tls
from infra.local.lambda_.environment import Environment
from infra.local.lambda_.interpreter import Interpreter, inspect_interpreter
from infra.local.lambda_.launch import Launch, emulator_path
from infra.local.logs.stream import LogStream
from infra.local.settings import read_settings
from infra.local.template.model import Function, Template
from infra.local.template.reader import read_template
from tests.certificates import self_issued
from tests.secrets_server import SecretsServer

ROOT = Path(__file__).parent.parent
COMMON = ROOT / "layers" / "common"
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
LOGIN = {"username": "nobody", "password": "nothing"}
# Who waits for these, and what reading secrets may add to their start.
WATCHED, MOST = ("Get", "List", "Login", "Register"), 1.15
MOST_OF_CONSUMER = 1.2


def build(folder: Path, runtime: str) -> Path:
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
            "LAMBDA_RUNTIME": runtime,
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


def believed(folder: Path, built: Path) -> Path:
    """A certificate of localhost with its key; the functions built believe it as they do AWS's."""
    own, key = self_issued(folder)
    server = folder / "server.pem"
    server.write_bytes(key.read_bytes() + own.read_bytes())
    roots = built / "CommonLayer" / "python" / tls.AMAZON_ROOTS.relative_to(COMMON)
    text = roots.read_bytes()
    # The build may share the file with others.
    roots.unlink()
    roots.write_bytes(text + own.read_bytes())
    return server


def with_secrets(server: SecretsServer) -> dict[str, str]:
    """The settings as on AWS: where each secret is."""
    database = server.put(json.dumps({**LOGIN, "host": "localhost"}))
    broker = server.put(json.dumps(LOGIN))
    purposes = ("ACCOUNTS", "IMAGES", "PROCESSING", "OPERATIONS", "SUPPORT", "ADMIN")
    return {
        **VARIABLES,
        "AWS_ENDPOINT_URL": server.endpoint_url,
        "DATABASE_URL": "",
        "JWT_SECRET": "",
        "JWT_SECRET_ARN": server.put(json.dumps({"current": VARIABLES["JWT_SECRET"]})),
        "RABBITMQ_ENDPOINT": "amqps://localhost:1",
        "RABBITMQ_URL": "",
        **{f"DATABASE_{purpose}_SECRET_ARN": database for purpose in purposes},
        **{
            f"RABBITMQ_{purpose}_SECRET_ARN": broker
            for purpose in ("PUBLISHING", "PROCESSING", "OPERATIONS", "ADMIN")
        },
    }


async def cold_start(
    function: Function, interpreter: Interpreter, variables: dict[str, str]
) -> ColdStart:
    launch = Launch(
        function=replace(function, reserved_concurrency=None),
        interpreter=interpreter,
        python_path=[layer.content_path / "python" for layer in reversed(function.layers)],
        # What is compiled at a start is compiled at every start: nobody may write to /var/task.
        variables={**function.environment, **variables, "PYTHONDONTWRITEBYTECODE": "1"},
        emulator=emulator_path(),
    )
    environment = Environment(launch, LogStream(io.StringIO()), lambda _process: None)
    started_at = asyncio.get_running_loop().time()
    await environment.start()
    elapsed_ms = (asyncio.get_running_loop().time() - started_at) * 1000
    _emulator_pid, runtime_pid = environment.pids
    cpu_ms = cpu_ms_of(runtime_pid)
    await environment.stop()
    return ColdStart(elapsed_ms, cpu_ms)


def cpu_ms_of(pid: int) -> float:
    """Of its threads that are there, exactly; what a process has used is counted in steps of 10."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(path.read_text().split()[0]) for path in threads) / 1e6


async def measure(
    built: Path, runs: int, interpreter: Interpreter, secrets: dict[str, str]
) -> dict[str, tuple[list[ColdStart], list[ColdStart], list[ColdStart]]]:
    """By logical id: with bytecode, without, and with bytecode and secrets. One at a time, taking
    turns.
    """
    as_built, plain = (
        {
            function.logical_id: function
            for function in functions(read_template(folder / "template.yaml", VARIABLES, REGION))
        }
        for folder in (built, without_bytecode(built))
    )
    variants = ((as_built, VARIABLES), (plain, VARIABLES), (as_built, secrets))
    starts: dict[str, tuple[list[ColdStart], list[ColdStart], list[ColdStart]]] = {
        name: ([], [], []) for name in as_built
    }
    # The first round fills the file system's cache.
    for run in range(runs + 1):
        for name, measured in starts.items():
            for (variant, variables), values in zip(variants, measured, strict=True):
                start = await cold_start(variant[name], interpreter, variables)
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
    interpreter = inspect_interpreter(read_settings(template=ROOT / "template.yaml").python)
    built = build(folder, interpreter.runtime)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(believed(folder, built))
    server = SecretsServer(context)
    with server.serving():
        starts = await measure(built, runs, interpreter, with_secrets(server))
    print(f"\nPython {interpreter.version}")
    print(
        "\n| function | as built, ms (CPU) | with secrets, ms (CPU) | CPU, times | "
        "without bytecode, ms (CPU) | zipped KB | unzipped KB |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, (compiled, plain, secret) in starts.items():
        # The one that does nothing has nothing to be compiled: emulator and runtime are the floor.
        row = (
            f"| {name.removesuffix('Function')} | {_medians(compiled)} | {_medians(secret)} | "
            f"{_ratio(secret, compiled):.2f} | {_medians(plain)} |"
        )
        if name == "Hello":
            print(f"{row} | |")
            continue
        zipped, unzipped = sizes(built / name)
        print(f"{row} {zipped / 1e3:.1f} | {unzipped / 1e3:.1f} |")
    print("\n| Aim (CPU) | Seen |\n| --- | ---: |")
    for name in WATCHED:
        compiled, _, secret = starts[f"{name}Function"]
        ratio = _ratio(secret, compiled)
        print(f"| {name} with secrets at most {MOST} times without | {ratio:.2f} |")
    consumer, relay = starts["ConsumerFunction"], starts["RelayFunction"]
    for which, position in (("", 0), (" with secrets", 2)):
        ratio = _ratio(consumer[position], relay[position])
        print(f"| consumer{which} at most {MOST_OF_CONSUMER} times relay | {ratio:.2f} |")
    print("\n| layer | zipped MB | unzipped MB |\n| --- | ---: | ---: |")
    for path in sorted(built.glob("*Layer")):
        zipped, unzipped = sizes(path)
        print(f"| {path.name.removesuffix('Layer')} | {zipped / 1e6:.2f} | {unzipped / 1e6:.2f} |")


def _medians(starts: list[ColdStart]) -> str:
    elapsed_ms = statistics.median(start.elapsed_ms for start in starts)
    return f"{elapsed_ms:.0f} ({_cpu_ms(starts):.0f})"


def _ratio(starts: list[ColdStart], others: list[ColdStart]) -> float:
    return _cpu_ms(starts) / _cpu_ms(others)


def _cpu_ms(starts: list[ColdStart]) -> float:
    return statistics.median(start.cpu_ms for start in starts)


def main() -> None:
    cache = ROOT / ".cache"
    cache.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=cache) as folder:
        asyncio.run(run(Path(folder), runs=int(sys.argv[1])))


if __name__ == "__main__":
    main()
