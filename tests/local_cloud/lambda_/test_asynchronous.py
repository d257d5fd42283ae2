"""Asynchronous invocations to their end, on a function that does as the test says."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from infra.local.invocation import Event, Result, Throttled, failure, json_event
from infra.local.lambda_.asynchronous import Outcome, destination_event, invoke_with_retries
from infra.local.template.model import Function, Retries

FAILED = failure("ValueError", "as asked")
DONE = Result(b'{"done": true}')
ARN = "arn:aws:lambda:us-east-1:012345678912:function:Work:$LATEST"
WORK = Function(
    logical_id="Work",
    name="Work",
    runtime="python3.13",
    handler="app.handler",
    code_path=Path("work"),
    environment={},
    timeout_seconds=3,
    memory_mb=128,
    layers=(),
    reserved_concurrency=None,
)


AS_USUAL = Retries()


async def end_of(
    answers: Iterable[Result | Throttled],
    retries: Retries = AS_USUAL,
    waited: list[float] | None = None,
) -> Outcome:
    """`waited` takes what was waited for; the clock goes on by that much, and nobody waits."""
    left = iter(answers)
    pauses = [] if waited is None else waited

    async def invoke(_function_id: str, _event: Event) -> Result:
        answer = next(left)
        if isinstance(answer, Throttled):
            raise answer
        return answer

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    return await invoke_with_retries(
        replace(WORK, retries=retries),
        json_event({}),
        invoke,
        sleep=sleep,
        clock=lambda: sum(pauses),
    )


async def test_it_is_tried_again_after_one_minute_and_after_two() -> None:
    waits: list[float] = []
    assert await end_of([FAILED, FAILED, DONE], waited=waits) == Outcome("Success", 3, DONE)
    assert waits == [0.0, 60.0, 120.0]


async def test_after_the_last_try_it_is_given_up() -> None:
    assert await end_of([FAILED] * 3) == Outcome("RetriesExhausted", 3, FAILED)
    assert await end_of([FAILED], Retries(0)) == Outcome("RetriesExhausted", 1, FAILED)


async def test_what_has_grown_too_old_is_not_tried_again() -> None:
    assert await end_of([FAILED, FAILED], Retries(2, 100)) == Outcome("EventAgeExceeded", 2, FAILED)


async def test_throttling_is_no_try_and_ends_with_the_events_age() -> None:
    full = Throttled("Work")
    assert await end_of([full, full, DONE]) == Outcome("Success", 1, DONE)
    assert await end_of([full] * 100, Retries(2, 60)) == Outcome("EventAgeExceeded", 0, None)


def told(outcome: Outcome) -> dict[str, Any]:
    event = replace(json_event({"order": 7}), request_id="the-id")
    return destination_event(ARN, event, outcome)


def test_a_destination_is_told_what_was_asked_and_what_came_of_it() -> None:
    failed = told(Outcome("RetriesExhausted", 3, FAILED))
    assert failed.pop("timestamp").endswith("Z")
    assert failed == {
        "version": "1.0",
        "requestContext": {
            "requestId": "the-id",
            "functionArn": ARN,
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 3,
        },
        "requestPayload": {"order": 7},
        "responseContext": {
            "statusCode": 200,
            "executedVersion": "$LATEST",
            "functionError": "Unhandled",
        },
        "responsePayload": json.loads(FAILED.payload),
    }
    done = told(Outcome("Success", 1, DONE))
    assert done["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST"}
    assert done["responsePayload"] == {"done": True}


def test_without_a_try_there_is_no_response() -> None:
    assert "responseContext" not in told(Outcome("EventAgeExceeded", 0, None))
