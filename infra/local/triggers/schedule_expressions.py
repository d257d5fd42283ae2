"""EventBridge's schedule expressions: `rate(...)`, `cron(...)` and `at(...)`, in UTC.

Read here because no library does it: croniter and cronsim speak Unix's dialect, without W, years
and EventBridge's numbers of the weekdays; aws-croniter fails at LW.
"""

import calendar
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from infra.entry_point import Explained

_UNITS = {"minute": 60, "hour": 3600, "day": 86_400}
_MONTHS = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
_WEEKDAYS = {"SUN": 1, "MON": 2, "TUE": 3, "WED": 4, "THU": 5, "FRI": 6, "SAT": 7}

_DayTest = Callable[[date], bool]


class ScheduleError(Explained):
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
    """`days` are tests of a date: one of them has to hold."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: tuple[_DayTest, ...]
    months: frozenset[int]
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
                if any(matches(day) for matches in self.days):
                    for hour in sorted(self.hours):
                        for minute in sorted(self.minutes):
                            found = datetime.combine(day, time(hour, minute), UTC)
                            if found >= start:
                                return found
                day += timedelta(days=1)
        return None


def parse(expression: str) -> Rate | Once | Cron:
    """Raises ScheduleError."""
    match = re.fullmatch(r"(rate|cron|at)\((.+)\)", expression)
    if match is None:
        raise ScheduleError(f"{expression!r} is neither rate(...), cron(...) nor at(...)")
    kind, text = match.groups()
    if kind == "rate":
        return _rate(expression, text)
    if kind == "cron":
        return _cron(expression, text)
    try:
        return Once(datetime.fromisoformat(text).replace(tzinfo=UTC))
    except ValueError as error:
        raise ScheduleError(f"{expression!r} has no date such as 2030-01-31T12:00:00") from error


def _rate(expression: str, text: str) -> Rate:
    rate = re.fullmatch(r"(\d+) (minute|hour|day)(s?)", text)
    if rate is None or int(rate.group(1)) < 1 or (rate.group(1) == "1") == bool(rate.group(3)):
        raise ScheduleError(f"{expression!r} is not a rate such as rate(5 minutes)")
    return Rate(int(rate.group(1)) * _UNITS[rate.group(2)])


def _cron(expression: str, text: str) -> Cron:
    fields = text.upper().split()
    if len(fields) != 6:
        raise ScheduleError(f"{expression!r} has {len(fields)} fields instead of six")
    minutes, hours, days, months, weekdays, years = fields
    if (days == "?") == (weekdays == "?"):
        raise ScheduleError(f"{expression!r}: exactly one of the two day fields must be ?")
    return Cron(
        minutes=_numbers(minutes, 0, 59),
        hours=_numbers(hours, 0, 23),
        days=tuple(
            map(_day_of_month, days.split(","))
            if weekdays == "?"
            else map(_weekday, weekdays.split(","))
        ),
        months=_numbers(months, 1, 12, _MONTHS),
        years=_numbers(years, 1970, 2199),
    )


def _day_of_month(part: str) -> _DayTest:
    """A number, a range, `L` for the last day, `15W` for the working day nearest to the 15th."""
    if part == "L":
        return lambda day: day.day == _days_in_month(day)
    if part == "LW":
        return lambda day: day.day == _nearest_weekday(day, _days_in_month(day))
    if part.endswith("W"):
        wanted = _number(part[:-1], 1, 31)
        return lambda day: day.day == _nearest_weekday(day, min(wanted, _days_in_month(day)))
    numbers = _numbers(part, 1, 31)
    return lambda day: day.day in numbers


def _weekday(part: str) -> _DayTest:
    """A number, a name, a range, `L` for Saturday, `6L` for the last Friday, `2#1` for the first
    Monday."""
    if "#" in part:
        text, _, position_text = part.partition("#")
        wanted, position = _number(text, 1, 7, _WEEKDAYS), _number(position_text, 1, 5)
        return lambda day: _weekday_number(day) == wanted and (day.day - 1) // 7 + 1 == position
    if part.endswith("L") and part != "L":
        last = _number(part[:-1], 1, 7, _WEEKDAYS)
        return lambda day: _weekday_number(day) == last and day.day > _days_in_month(day) - 7
    numbers = _numbers("7" if part == "L" else part, 1, 7, _WEEKDAYS)
    return lambda day: _weekday_number(day) in numbers


def _weekday_number(day: date) -> int:
    return day.isoweekday() % 7 + 1


def _days_in_month(day: date) -> int:
    return calendar.monthrange(day.year, day.month)[1]


def _nearest_weekday(month: date, day_number: int) -> int:
    """The working day of this month that is nearest to the day, without leaving the month."""
    weekday = month.replace(day=day_number).weekday()
    if weekday == 5:
        return day_number - 1 if day_number > 1 else day_number + 2
    if weekday == 6:
        return day_number + 1 if day_number < _days_in_month(month) else day_number - 2
    return day_number


def _numbers(
    field: str, least: int, most: int, names: dict[str, int] | None = None
) -> frozenset[int]:
    result: set[int] = set()
    for part in field.split(","):
        span, slash, step = part.partition("/")
        if span in {"*", "?"}:
            first, last = least, most
        elif "-" in span:
            first, last = (_number(text, least, most, names) for text in span.split("-", 1))
        else:
            first = _number(span, least, most, names)
            last = most if slash else first
        # A range of week days may run over the end of the week.
        numbers: Iterable[int] = (
            range(first, last + 1)
            if first <= last
            else [*range(first, most + 1), *range(least, last + 1)]
        )
        result.update(list(numbers)[:: _number(step, 1, 9999) if slash else 1])
    return frozenset(result)


def _number(text: str, least: int, most: int, names: dict[str, int] | None = None) -> int:
    if names and text in names:
        return names[text]
    if not text.isdecimal():
        raise ScheduleError(f"{text!r} is not a number")
    if not least <= int(text) <= most:
        raise ScheduleError(f"{text} is outside {least} to {most}")
    return int(text)
