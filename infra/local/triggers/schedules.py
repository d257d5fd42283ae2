"""EventBridge's schedules: `rate(...)`, `cron(...)` and `at(...)`, in UTC."""

import asyncio
import calendar
import json
import re
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from infra.local.invocation import Event, json_event
from infra.local.template.model import ACCOUNT_ID, Schedule

_UNITS = {"minute": 60, "hour": 3600, "day": 86_400}
_MONTHS = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
_WEEKDAYS = {"SUN": 1, "MON": 2, "TUE": 3, "WED": 4, "THU": 5, "FRI": 6, "SAT": 7}


class ScheduleError(Exception):
    """A schedule expression that EventBridge would refuse."""


@dataclass(frozen=True)
class Rate:
    seconds: int

    def next_after(self, moment: datetime) -> datetime | None:
        """The next time, counted from the one before."""
        return moment + timedelta(seconds=self.seconds)


@dataclass(frozen=True)
class Once:
    moment: datetime

    def next_after(self, moment: datetime) -> datetime | None:
        """The one time, or None once it has passed."""
        return self.moment if self.moment > moment else None


@dataclass(frozen=True)
class Cron:
    """Fields as EventBridge has them; the two day fields stay text, for L, W and #."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: str
    months: frozenset[int]
    weekdays: str
    years: frozenset[int]

    def next_after(self, moment: datetime) -> datetime | None:
        """The first matching minute after the moment, or None when there is none any more."""
        start = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
        day = start.date()
        last = date(max(self.years), 12, 31)
        while day <= last:
            if day.year not in self.years:
                day = date(day.year + 1, 1, 1)
            elif day.month not in self.months:
                day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
            else:
                if self._matches(day):
                    for hour in sorted(self.hours):
                        for minute in sorted(self.minutes):
                            found = datetime.combine(day, time(hour, minute), UTC)
                            if found >= start:
                                return found
                day += timedelta(days=1)
        return None

    def _matches(self, day: date) -> bool:
        if self.weekdays == "?":
            return any(_is_day_of_month(day, part) for part in self.days.split(","))
        return any(_is_weekday(day, part) for part in self.weekdays.split(","))


def parse(expression: str) -> Rate | Once | Cron:
    """Raises ScheduleError."""
    match = re.fullmatch(r"(rate|cron|at)\((.+)\)", expression.strip())
    if match is None:
        raise ScheduleError(f"{expression!r} is neither rate(...), cron(...) nor at(...)")
    kind, text = match.groups()
    if kind == "rate":
        rate = re.fullmatch(r"(\d+) (minute|hour|day)(s?)", text)
        if rate is None or int(rate.group(1)) < 1 or (rate.group(1) == "1") == bool(rate.group(3)):
            raise ScheduleError(f"{expression!r} is no rate such as rate(5 minutes)")
        return Rate(int(rate.group(1)) * _UNITS[rate.group(2)])
    if kind == "at":
        try:
            return Once(datetime.fromisoformat(text).replace(tzinfo=UTC))
        except ValueError as error:
            raise ScheduleError(
                f"{expression!r} has no date such as 2030-01-31T12:00:00"
            ) from error
    fields = text.upper().split()
    if len(fields) != 6:
        raise ScheduleError(f"{expression!r} has {len(fields)} fields instead of six")
    minutes, hours, days, months, weekdays, years = fields
    if (days == "?") == (weekdays == "?"):
        raise ScheduleError(f"{expression!r}: exactly one of the two day fields must be ?")
    cron = Cron(
        minutes=_numbers(minutes, 0, 59),
        hours=_numbers(hours, 0, 23),
        days=days,
        months=_numbers(months, 1, 12, _MONTHS),
        weekdays=weekdays,
        years=_numbers(years, 1970, 2199),
    )
    # Read once, so that a mistake in a day field shows at the start.
    cron._matches(date(2024, 2, 29))
    return cron


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


def _number(text: str, names: dict[str, int]) -> int:
    if text in names:
        return names[text]
    if not text.isdecimal():
        raise ScheduleError(f"{text!r} is no number")
    return int(text)


def _numbers(
    field: str, least: int, most: int, names: dict[str, int] | None = None
) -> frozenset[int]:
    names = names or {}
    result: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        if span in {"*", "?"}:
            first, last = least, most
        elif "-" in span:
            first, last = (_number(text, names) for text in span.split("-", 1))
        else:
            first = _number(span, names)
            last = most if step else first
        if not (least <= first <= most and least <= last <= most) or step == "0":
            raise ScheduleError(f"{field!r} is outside {least} to {most}")
        # A range of week days may run over the end of the week.
        span_numbers: Iterable[int] = (
            range(first, last + 1)
            if first <= last
            else [*range(first, most + 1), *range(least, last + 1)]
        )
        result.update(list(span_numbers)[:: _number(step, {}) if step else 1])
    return frozenset(result)


def _is_day_of_month(day: date, part: str) -> bool:
    last = calendar.monthrange(day.year, day.month)[1]
    if part == "L":
        return day.day == last
    if part == "LW":
        return day.day == _nearest_weekday(day, last)
    if part.endswith("W"):
        wanted = min(_number(part[:-1], {}), last)
        return day.day == _nearest_weekday(day, wanted)
    return day.day in _numbers(part, 1, 31)


def _nearest_weekday(month: date, day_number: int) -> int:
    """The working day of this month that is nearest to the day, without leaving the month."""
    last = calendar.monthrange(month.year, month.month)[1]
    weekday = month.replace(day=day_number).weekday()
    if weekday == 5:
        return day_number - 1 if day_number > 1 else day_number + 2
    if weekday == 6:
        return day_number + 1 if day_number < last else day_number - 2
    return day_number


def _is_weekday(day: date, part: str) -> bool:
    number = day.isoweekday() % 7 + 1
    if "#" in part:
        wanted, position = part.split("#", 1)
        return number == _number(wanted, _WEEKDAYS) and (day.day - 1) // 7 + 1 == int(position)
    if part == "L":
        return number == 7
    if part.endswith("L"):
        last = calendar.monthrange(day.year, day.month)[1]
        return number == _number(part[:-1], _WEEKDAYS) and day.day > last - 7
    return number in _numbers(part, 1, 7, _WEEKDAYS)
