"""AWS's runtime for Python, as it runs in every local execution environment.

The Runtime Interface Emulator starts it with the first invocation. So that a cold start happens
before a request needs it, the first invocation is the local cloud's own, and is answered here. All
others bring with them what the emulator does not hand on, in place of the client context: see
infra/local/lambda_/environment.py. The runtime leaves frames of its own `bootstrap.py` out of the
tracebacks of an import, and with them those of this file.
"""

import functools
import importlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from awslambdaric import __main__ as runtime
from awslambdaric import bootstrap
from awslambdaric.lambda_runtime_client import LambdaRuntimeClient

Handler = Callable[..., Any]


def _answering_the_first(get_handler: Callable[[str], Handler]) -> Callable[[str], Handler]:
    def get(name: str) -> Handler:
        handler = get_handler(name)

        def answer(_event: Any, _context: Any) -> dict[str, int]:
            # In place, as the runtime has taken what it calls; and no frame of ours is left in the
            # tracebacks of the function.
            called.__setstate__((handler, (), {}, None))  # type: ignore[attr-defined]
            return {"pid": os.getpid()}

        called: functools.partial[Any] = functools.partial(answer)
        return called

    return get


def _unpacking(wait: Callable[[Any], Any], arn: str) -> Callable[[Any], Any]:
    last_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION")

    def wait_next_invocation(client: Any) -> Any:
        nonlocal last_version
        request = wait(client)
        if request.client_context:
            brought = json.loads(request.client_context)
            qualifier = brought.get("qualifier")
            request.x_amzn_trace_id = brought["trace_id"]
            request.client_context = brought.get("client_context")
            request.invoked_function_arn = f"{arn}:{qualifier}" if qualifier else arn
            version = brought.get("version", "$LATEST")
            if version != last_version:
                os.environ["AWS_LAMBDA_FUNCTION_VERSION"] = last_version = version
        return request

    return wait_next_invocation


def main() -> None:
    """Never returns."""
    # As if the module of the runtime had been run: the function's folder instead of this one.
    sys.path[0] = os.getcwd()  # noqa: PTH109 -- pathlib would slow every cold start
    for name in ("AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME"):
        # The emulator sets these to the same for all functions.
        os.environ[name] = os.environ.pop(f"LOCAL_CLOUD_{name}")
    if debugger := os.environ.pop("LOCAL_CLOUD_DEBUGGER", ""):
        folder = os.path.dirname(__file__)  # noqa: PTH120
        sys.path.insert(0, folder)
        module = importlib.import_module("local_cloud_debugger")
        sys.path.remove(folder)
        module.let_in(debugger)
    # Here the runtime looks up what it calls, in all versions there have been.
    bootstrap._get_handler = _answering_the_first(bootstrap._get_handler)
    LambdaRuntimeClient.wait_next_invocation = _unpacking(
        LambdaRuntimeClient.wait_next_invocation, os.environ.pop("LOCAL_CLOUD_FUNCTION_ARN")
    )
    runtime.main(sys.argv)


if __name__ == "__main__":
    main()
