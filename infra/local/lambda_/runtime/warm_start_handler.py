"""The handler that the runtime loads in every local execution environment.

The Runtime Interface Emulator starts the runtime with the first invocation. So that a cold start
happens before a request needs it, the local cloud's first invocation is one that this module
answers itself; every other one goes to the function's own handler, imported here while the
environment initialises.
"""

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

_handler_name = os.environ.pop("LOCAL_CLOUD_HANDLER")
os.environ["_HANDLER"] = _handler_name
if _debugger := os.environ.pop("LOCAL_CLOUD_DEBUGGER", ""):
    importlib.import_module("local_cloud_debugger").let_in(_debugger)
sys.path.remove(os.path.dirname(__file__))  # noqa: PTH120 -- pathlib would slow every cold start

_module_name, _, _attribute = _handler_name.rpartition(".")
_handler: Callable[[Any, Any], Any] = getattr(
    importlib.import_module(_module_name.replace("/", ".")), _attribute
)


def lambda_handler(event: Any, context: Any) -> Any:
    """Only the local cloud sends a client context with this key."""
    client_context = context.client_context
    if client_context is not None and (client_context.custom or {}).get("local-cloud-warm-up"):
        return {"pid": os.getpid()}
    return _handler(event, context)
