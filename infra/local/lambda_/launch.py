"""How the processes of an execution environment are started, and what they see."""

import importlib.util
import os
import platform
import shutil
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.local.lambda_.interpreter import Interpreter
from infra.local.template.model import Function, function_arn

# What exceeds its limit is ended by who looks from time to time (memory.py); what could fill this
# machine in between, the kernel refuses.
_SPARE_MEMORY_MB = 2048
# So much memory comes with a whole processor.
_MEMORY_MB_OF_A_CPU = 1769

# Of what works behind an API: so much that whoever answers a request hardly notices it.
_NICENESS = 10

# As Lambda allows.
_OPEN_FILES = 1024

_NO_MODULES = Path(os.devnull)
_RUNTIME = Path(__file__).parent / "runtime" / "bootstrap.py"


@dataclass(frozen=True)
class Launch:
    """How the environments of one function are started."""

    function: Function
    interpreter: Interpreter
    python_path: Sequence[Path]
    variables: Mapping[str, str]
    emulator: Path
    # To others that share these processors; on AWS each has its own.
    gives_way: bool = False
    # Of an editor that is waited for, or of a terminal that breakpoints connect to.
    editor_port: int | None = None
    terminal_port: int | None = None

    def command(self, emulator_port: int, runtime_port: int) -> list[str]:
        """The emulator, which starts the runtime with the first invocation."""
        setpriv = shutil.which("setpriv")
        # Should the supervisor be killed, the kernel kills the emulator, and with it the runtime.
        bound = [setpriv, "--pdeathsig=KILL", "--"] if setpriv else []
        return [
            *bound,
            *self._priority(),
            str(self.emulator),
            "--log-level=error",
            f"--runtime-interface-emulator-address=127.0.0.1:{emulator_port}",
            f"--runtime-api-address=127.0.0.1:{runtime_port}",
            *bound,
            *self._limits(),
            str(self.interpreter.path),
            str(_RUNTIME),
            self.function.handler,
        ]

    @property
    def cpu_seconds(self) -> int:
        """What an invocation may use: its whole time on each processor that it has."""
        processors = -(-self.function.memory_mb // _MEMORY_MB_OF_A_CPU)
        return self.function.timeout_seconds * processors

    def _priority(self) -> list[str]:
        nice = shutil.which("nice") if self.gives_way else None
        return [nice, "-n", str(_NICENESS)] if nice else []

    def _limits(self) -> list[str]:
        """What exceeds even this gets no more; it leaves no core file."""
        # A debugger takes some too.
        prlimit = shutil.which("prlimit") if self.editor_port is None else None
        size = (self.function.memory_mb + _SPARE_MEMORY_MB) << 20
        limits = [f"--data={size}", "--core=0", f"--nofile={_OPEN_FILES}:"]
        return [prlimit, *limits, "--"] if prlimit else []

    def environment(self) -> dict[str, str]:
        """Every variable that the function sees: those of Lambda, and those of its template."""
        function = self.function
        return {
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{self.interpreter.runtime}",
            "LANG": "C.UTF-8",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "TZ": ":UTC",
            **self.variables,
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(function.timeout_seconds),
            "LAMBDA_TASK_ROOT": str(function.code_path),
            # Always one of them: an empty entry would be the working folder.
            "PYTHONPATH": os.pathsep.join(map(str, [*self.python_path, _NO_MODULES])),
            "LOCAL_CLOUD_FUNCTION_ARN": function_arn(
                self.variables.get("AWS_REGION", "us-east-1"), function.name
            ),
            "LOCAL_CLOUD_AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
            "LOCAL_CLOUD_AWS_LAMBDA_LOG_STREAM_NAME": (
                f"{time.strftime('%Y/%m/%d', time.gmtime())}/[$LATEST]{uuid.uuid4().hex}"
            ),
            **self._debugger(),
        }

    def _debugger(self) -> Mapping[str, str]:
        """As runtime/local_cloud_debugger.py reads it."""
        if self.editor_port is not None:
            package = importlib.util.find_spec("debugpy")
            assert package is not None
            assert package.origin is not None
            folder = Path(package.origin).parents[1]
            return {"LOCAL_CLOUD_DEBUGGER": f"editor:{self.editor_port}:{folder}"}
        if self.terminal_port is not None:
            return {"LOCAL_CLOUD_DEBUGGER": f"terminal:{self.terminal_port}"}
        return {}


def emulator_path() -> Path:
    """The emulator that the SAM CLI ships for this machine."""
    import samcli.local.rapid

    name = "arm64" if platform.machine() in {"aarch64", "arm64"} else "x86_64"
    return Path(samcli.local.rapid.__path__[0]) / f"aws-lambda-rie-{name}"
