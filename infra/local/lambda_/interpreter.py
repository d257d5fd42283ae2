"""The Python that runs the functions, and which runtime of Lambda it stands for."""

import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from infra.entry_point import Explained
from infra.local.template.model import Function, TemplateError

_DESCRIBE = """
import importlib.util, json, platform, sys
print(json.dumps({
    "version": platform.python_version(),
    "cache_tag": sys.implementation.cache_tag,
    "has_runtime": importlib.util.find_spec("awslambdaric") is not None,
}))
"""


class NoInterpreter(Explained):
    """No functions can run on the Python that was named; the text says why."""


@dataclass(frozen=True)
class Interpreter:
    """`cache_tag` is that of its bytecode, such as cpython-313."""

    path: Path
    version: str
    cache_tag: str

    @property
    def runtime(self) -> str:
        """As Lambda names it: python3.13."""
        return "python" + self.version.rpartition(".")[0]


def inspect_interpreter(path: Path) -> Interpreter:
    """Asks the Python at `path`. Raises NoInterpreter."""
    try:
        answer = subprocess.run(
            [path, "-c", _DESCRIBE], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoInterpreter(f"{path} does not run as a Python: {error}") from error
    described = json.loads(answer)
    if not described.pop("has_runtime"):
        raise NoInterpreter(
            f"{path} cannot run functions without AWS's runtime: {path} -m pip install awslambdaric"
        )
    return Interpreter(path, **described)


def refuse_other_runtimes(functions: Iterable[Function], interpreter: Interpreter) -> None:
    """Raises TemplateError for a function that is written for another Python."""
    for function in functions:
        if function.runtime != interpreter.runtime:
            raise TemplateError(
                f"{function.logical_id} has the runtime {function.runtime}, and functions run on "
                f"Python {interpreter.version} here. Name another that has awslambdaric: "
                f"LAMBDA_PYTHON=/path/to/{function.runtime}. Or run it on this one all the same: "
                f"LAMBDA_PYTHON={interpreter.path}"
            )
