"""EventBridge's schedules: each invokes its function when it is due."""

import asyncio
import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from infra.local.invocation import Event, json_event
from infra.local.template.model import ACCOUNT_ID, Schedule
from infra.local.triggers.schedule_expressions import parse


async def run(schedule: Schedule, region: str, fire: Callable[[str, Event], None]) -> None:
    """Fires at each of the schedule's times, for ever. Raises ScheduleError."""
    expression = parse(schedule.expression)
    due = expression.next_after(datetime.now(UTC))
    while due is not None:
        await asyncio.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds()))
        fire(schedule.function_id, _event(schedule, region, due))
        # A machine that slept does not catch up on what it missed.
        due = expression.next_after(max(due, datetime.now(UTC) - timedelta(seconds=1)))


def _event(schedule: Schedule, region: str, due: datetime) -> Event:
    if schedule.payload is not None:
        return json_event(json.loads(schedule.payload))
    return json_event(
        {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": ACCOUNT_ID,
            "time": due.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": region,
            "resources": [schedule.arn],
            "detail": {},
        }
    )
