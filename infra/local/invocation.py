"""An invocation of a function, as whoever invokes and whatever runs the function see it."""

import json
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import uuid4

# Lambda's limit for a synchronous payload, with the slack that Lambda itself allows.
MAX_PAYLOAD_BYTES = 6 * 1024 * 1024 + 100


# Neither is frozen, which takes several times as long to make.
@dataclass(slots=True)
class Event:
    """What a function is invoked with. `payload` is JSON in pieces, sent as they are.

    `wants_log`: the result is to hold what the function wrote. `client_context` is JSON.
    `qualifier` is the version or alias that was asked for, `version` the version it stands for.
    """

    payload: Sequence[bytes]
    request_id: str
    trace_id: str | None = None
    client_context: str | None = None
    wants_log: bool = False
    qualifier: str | None = None
    version: str = "$LATEST"


@dataclass(slots=True)
class Result:
    """`is_error`: the function failed, and the payload says how, as Lambda puts it."""

    payload: bytes
    is_error: bool = False
    log: bytes = b""


class Throttled(Exception):
    """Lambda's 429: the function runs as often as it may."""


class NotInvoked(Exception):
    """The function cannot be reached, and has seen nothing of the event; the text says why."""


# Runs a function, given by its logical id, to its end. Raises Throttled, NotInvoked.
Invoke = Callable[[str, Event], Awaitable[Result]]


def whole_trace_id(given: str | None) -> str:
    """As X-Ray names a request that it does not sample, with what is given of it."""
    root = given or new_root(time.time())
    whole = with_parent(root)
    return whole if "Sampled=" in whole else f"{whole};Sampled=0"


def new_root(epoch_seconds: float) -> str:
    """The name of a trace that begins here."""
    return f"Root=1-{int(epoch_seconds):08x}-{os.urandom(12).hex()}"


def with_parent(trace_id: str) -> str:
    """What only names the trace names who asks, too."""
    is_whole = "Parent=" in trace_id or "Root=" not in trace_id
    return trace_id if is_whole else f"{trace_id.rstrip(';')};Parent={os.urandom(8).hex()}"


def json_event(payload: object) -> Event:
    """An event of its own, with a new request id."""
    return Event([json.dumps(payload).encode()], str(uuid4()))


def failure(error_type: str, message: str) -> Result:
    """A failed invocation's result, as Lambda's runtime puts it."""
    payload = json.dumps({"errorType": error_type, "errorMessage": message})
    return Result(payload.encode(), is_error=True)


def error_summary(payload: bytes) -> str:
    """Type and message of a failed invocation's payload, in one line."""
    try:
        error = json.loads(payload)
    except ValueError:
        return payload.decode(errors="replace")
    if not isinstance(error, dict):
        return str(error)
    return f"{error.get('errorType', 'Error')}: {error.get('errorMessage', '')}"
