"""Asynchronous invocations: tried again when they fail, and at the end told to a destination."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from infra.local.invocation import Event, Invoke, Result, Throttled
from infra.local.template.model import Function

# As on AWS: an invocation that failed is tried twice more.
_RETRY_DELAYS_SECONDS = (60.0, 120.0)
_THROTTLED_RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class Outcome:
    """How it ended. `result` is the last try's; None where there was none.

    `condition` is Success, RetriesExhausted or EventAgeExceeded.
    """

    condition: str
    tries: int
    result: Result | None

    @property
    def is_failure(self) -> bool:
        return self.condition != "Success"


async def invoke_with_retries(
    function: Function,
    event: Event,
    invoke: Invoke,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """As often, and for as long, as the function's EventInvokeConfig says."""
    accepted_at = clock()
    max_age_seconds = function.retries.max_event_age_seconds
    result: Result | None = None
    tries = 0
    for delay_seconds in _delays(function):
        if clock() - accepted_at + delay_seconds > max_age_seconds:
            return Outcome("EventAgeExceeded", tries, result)
        await sleep(delay_seconds)
        while True:
            try:
                result = await invoke(function.logical_id, event)
            except Throttled:
                if clock() - accepted_at > max_age_seconds:
                    return Outcome("EventAgeExceeded", tries, result)
                await sleep(_THROTTLED_RETRY_SECONDS)
            else:
                break
        tries += 1
        if not result.is_error:
            return Outcome("Success", tries, result)
    return Outcome("RetriesExhausted", tries, result)


def _delays(function: Function) -> Iterator[float]:
    yield 0.0
    yield from _RETRY_DELAYS_SECONDS[: function.retries.max_attempts]


def destination_event(arn: str, event: Event, outcome: Outcome) -> dict[str, Any]:
    """What a destination is invoked with; `arn` is the function's, with its version."""
    told: dict[str, Any] = {
        "version": "1.0",
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "requestContext": {
            "requestId": event.request_id,
            "functionArn": arn,
            "condition": outcome.condition,
            "approximateInvokeCount": outcome.tries,
        },
        "requestPayload": json.loads(b"".join(event.payload)),
    }
    if (result := outcome.result) is not None:
        context: dict[str, Any] = {"statusCode": 200, "executedVersion": event.version}
        if result.is_error:
            context["functionError"] = "Unhandled"
        told |= {"responseContext": context, "responsePayload": json.loads(result.payload)}
    return told
