"""When a request that failed is worth sending again, and after how long."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from image_api_client import errors
from image_api_client.flows import Call, Flow, Pause

Sender = Callable[[Call], Flow[httpx.Response]]

_REPEATED_WHERE_SAFE = frozenset({500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Patience:
    """`longest_pause_seconds`: what a server asks for beyond that is left to the caller."""

    attempts: int = 6
    first_pause_seconds: float = 0.25
    longest_pause_seconds: float = 60.0

    def pause_seconds(self, attempt: int, asked_seconds: float | None) -> float:
        # Jitter, so that those who were turned away together do not come back together.
        own = self.first_pause_seconds * 2.0 ** (attempt - 1) * random.uniform(0.5, 1)  # noqa: S311
        return max(asked_seconds or 0.0, min(own, self.longest_pause_seconds))


def answered(call: Call, send: Sender, patience: Patience) -> Flow[httpx.Response]:
    """The response of a call that succeeded; raises ApiError or Unreachable for the last failure.

    A call that may not be repeated is sent again only where the server says that it did nothing.
    """
    for attempt in range(1, patience.attempts + 1):
        is_last = attempt == patience.attempts
        try:
            response = yield from send(call)
        except errors.Unreachable:
            if is_last or not call.may_repeat:
                raise
            yield Pause(patience.pause_seconds(attempt, None))
            continue
        if response.status_code < 400:
            return response
        failure = errors.of_response(response)
        pause_seconds = patience.pause_seconds(attempt, failure.retry_after_seconds)
        if is_last or not _is_worth_it(call, failure, pause_seconds, patience):
            raise failure
        yield Pause(pause_seconds)
    raise AssertionError("the last attempt returns or raises")


def _is_worth_it(
    call: Call, failure: errors.ApiError, pause_seconds: float, patience: Patience
) -> bool:
    if pause_seconds > patience.longest_pause_seconds:
        return False
    if failure.status_code == 429:
        return True
    if failure.code == "request_in_progress":
        return True
    return call.may_repeat and failure.status_code in _REPEATED_WHERE_SAFE
