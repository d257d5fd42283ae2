"""When schedules fire, and with what."""

import asyncio
import json
from datetime import UTC, datetime

import pytest

from infra.local.invocation import Event
from infra.local.template.model import Schedule
from infra.local.triggers import schedule_expressions, schedules
from infra.local.triggers.schedule_expressions import ScheduleError, parse
from tests.waiting import until


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("rate(1 minute)", "2026-01-01 12:00:30", "2026-01-01 12:01:30"),
        ("rate(5 minutes)", "2026-01-01 12:00:00", "2026-01-01 12:05:00"),
        ("rate(2 hours)", "2026-01-01 12:00:00", "2026-01-01 14:00:00"),
        ("rate(7 days)", "2026-01-01 12:00:00", "2026-01-08 12:00:00"),
        ("cron(0 10 * * ? *)", "2026-01-01 09:59:59", "2026-01-01 10:00:00"),
        ("cron(0 10 * * ? *)", "2026-01-01 10:00:00", "2026-01-02 10:00:00"),
        ("cron(15 12 * * ? *)", "2026-12-31 12:15:00", "2027-01-01 12:15:00"),
        ("cron(0 18 ? * MON-FRI *)", "2026-01-02 18:00:00", "2026-01-05 18:00:00"),
        ("cron(0 8 1 * ? *)", "2026-01-01 08:00:00", "2026-02-01 08:00:00"),
        ("cron(0/15 * * * ? *)", "2026-01-01 00:15:00", "2026-01-01 00:30:00"),
        ("cron(0/5 8-17 ? * MON-FRI *)", "2026-01-01 17:55:00", "2026-01-02 08:00:00"),
        ("cron(0 9 L * ? *)", "2026-02-01 00:00:00", "2026-02-28 09:00:00"),
        ("cron(0 9 15W * ? *)", "2026-02-01 00:00:00", "2026-02-16 09:00:00"),
        ("cron(0 9 LW * ? *)", "2026-02-01 00:00:00", "2026-02-27 09:00:00"),
        ("cron(0 9 ? * 2#1 *)", "2026-02-03 00:00:00", "2026-03-02 09:00:00"),
        ("cron(0 9 ? * 6L *)", "2026-02-01 00:00:00", "2026-02-27 09:00:00"),
        ("cron(0 9 ? * L *)", "2026-02-01 00:00:00", "2026-02-07 09:00:00"),
        ("cron(0 9 ? * FRI-MON *)", "2026-02-02 09:00:00", "2026-02-06 09:00:00"),
        ("cron(0 0 29 FEB ? *)", "2026-03-01 00:00:00", "2028-02-29 00:00:00"),
        ("cron(0 12 * JAN,JUL ? 2027)", "2026-05-01 00:00:00", "2027-01-01 12:00:00"),
        ("cron(0 12 1 1 ? 2025)", "2026-05-01 00:00:00", None),
        ("at(2026-05-01T10:00:00)", "2026-04-01 00:00:00", "2026-05-01 10:00:00"),
        ("at(2026-05-01T10:00:00)", "2026-06-01 00:00:00", None),
    ],
)
def test_the_next_time_of_an_expression(expression: str, after: str, expected: str | None) -> None:
    found = parse(expression).next_after(datetime.fromisoformat(after).replace(tzinfo=UTC))
    assert (found and f"{found:%Y-%m-%d %H:%M:%S}") == expected


@pytest.mark.parametrize(
    "expression",
    [
        "every minute",
        "rate(1 minutes)",
        "rate(0 minutes)",
        "rate(5 minute)",
        "rate(5 seconds)",
        "cron(0 10 * * *)",
        "cron(0 10 * * * *)",
        "cron(0 10 ? * ? *)",
        "cron(60 10 * * ? *)",
        "cron(0 10 X * ? *)",
        "cron(0/0 10 * * ? *)",
        "cron(0/ 10 * * ? *)",
        "cron(0 10 29,X * ? *)",
        "cron(0 10 0W * ? *)",
        "cron(0 10 ? * 2#X *)",
        "cron(0 10 ? * 2#6 *)",
        "cron(0 10 ? * 5,8L *)",
        "at(tomorrow)",
    ],
)
def test_an_expression_that_eventbridge_refuses_is_refused(expression: str) -> None:
    with pytest.raises(ScheduleError):
        parse(expression)


def a_schedule(payload: str | None = None) -> Schedule:
    return Schedule(
        "Tick", "RelayFunction", "rate(1 minute)", True, payload, "arn:aws:events:::rule/Tick"
    )


async def fired(schedule: Schedule, monkeypatch: pytest.MonkeyPatch) -> Event:
    monkeypatch.setattr(schedule_expressions, "_UNITS", {"minute": 0.01})
    events: list[tuple[str, Event]] = []
    task = asyncio.create_task(
        schedules.run(schedule, "eu-west-1", lambda name, event: events.append((name, event)))
    )
    await until(lambda: len(events) >= 2)
    task.cancel()
    assert events[0][0] == "RelayFunction"
    assert events[0][1].request_id != events[1][1].request_id
    return events[0][1]


async def test_a_schedule_fires_again_and_again_with_eventbridges_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    event = json.loads(b"".join((await fired(a_schedule(), monkeypatch)).payload))
    assert event["source"] == "aws.events"
    assert event["detail-type"] == "Scheduled Event"
    assert event["resources"] == ["arn:aws:events:::rule/Tick"]
    assert event["region"] == "eu-west-1"
    assert event["detail"] == {}
    assert datetime.strptime(event["time"], "%Y-%m-%dT%H:%M:%SZ")


async def test_a_schedules_own_input_replaces_the_event(monkeypatch: pytest.MonkeyPatch) -> None:
    event = await fired(a_schedule('{"task": "clean"}'), monkeypatch)
    assert json.loads(b"".join(event.payload)) == {"task": "clean"}
