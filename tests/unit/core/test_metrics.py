"""What the relay measures: the metrics that alarms look at."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Self

import pytest

from image_api.core import metrics
from image_api.core.change_log import events
from image_api.core.change_log.events import Event
from image_api.core.change_log.messages import MessageCounts
from image_api.errors import ServiceUnavailable


class Totals:
    def oldest_unsettled_age_seconds(self) -> float:
        return 12.5


class Queues:
    def __init__(self, counts: MessageCounts | None) -> None:
        self.counts = counts

    def message_counts(self) -> MessageCounts:
        if self.counts is None:
            raise ServiceUnavailable("The broker did not take the message; try again")
        return self.counts


def written(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The one record in the embedded metric format among what was logged."""
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (record,) = [record for record in records if "_aws" in record]
    return dict(record)


def metrics_of(record: dict[str, Any]) -> dict[str, tuple[str, list[float]]]:
    (declared,) = record["_aws"]["CloudWatchMetrics"]
    return {
        metric["Name"]: (metric["Unit"], record[metric["Name"]]) for metric in declared["Metrics"]
    }


def test_waiting_work_is_written_as_metrics_of_this_deployment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "images-of-ada")
    metrics.measure(Totals(), Queues(MessageCounts(waiting=7, soon=5, dead=2)))
    record = written(capsys)
    (declared,) = record["_aws"]["CloudWatchMetrics"]
    assert (declared["Namespace"], declared["Dimensions"]) == ("ImageApi", [["service"]])
    assert record["service"] == "images-of-ada"
    assert metrics_of(record) == {
        "OldestWorkAge": ("Seconds", [12.5]),
        "QueueDepth": ("Count", [7]),
        "DeadLetters": ("Count", [2]),
    }


def test_a_broker_that_is_away_leaves_the_age_to_be_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "image-api")
    metrics.measure(Totals(), Queues(None))
    # No zeros: an alarm would take them for good news.
    assert metrics_of(written(capsys)) == {"OldestWorkAge": ("Seconds", [12.5])}


NOW = datetime(2024, 11, 2, 18, 10, 16, tzinfo=UTC)


class StandingClock(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return cls.fromtimestamp(NOW.timestamp(), tz)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "datetime", StandingClock)


def event(event_type: str, age_seconds: int) -> Event:
    accepted_at = (NOW - timedelta(seconds=age_seconds)).isoformat()
    return Event(events.new_id(), event_type, 1, 1, {}, "request-1", accepted_at)


def all_written(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [record for record in records if "_aws" in record]


def test_outcomes_are_counted_and_the_time_to_ready_is_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    outcomes = metrics.OutcomeMetrics()
    for age_seconds in (3, 60):
        outcomes.count(event(events.UPLOAD_REQUESTED, age_seconds), "applied")
    outcomes.count(event(events.UPDATE_REQUESTED, 1000), "applied")
    for _ in range(2):
        outcomes.count(event(events.UPLOAD_REQUESTED, 9), "dead", "invalid_image")
    outcomes.count(event(events.UPLOAD_REQUESTED, 9), "postponed", "unavailable")
    outcomes.write()
    records = all_written(capsys)
    (to_ready,) = (record["TimeToReady"] for record in records if "TimeToReady" in record)
    assert to_ready == [3, 60]
    counted = {record["outcome"]: record["Outcomes"] for record in records if "Outcomes" in record}
    assert counted == {"applied": [3], "dead": [2], "postponed": [1]}
    causes = {record["cause"]: record["Failures"] for record in records if "Failures" in record}
    assert causes == {"invalid_image": [2], "unavailable": [1]}
    outcomes.write()
    assert all_written(capsys) == []


def test_more_values_than_a_record_holds_are_all_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    outcomes = metrics.OutcomeMetrics()
    for _ in range(250):
        outcomes.count(event(events.UPLOAD_REQUESTED, 1), "applied")
    outcomes.write()
    values = [record.get("TimeToReady", []) for record in all_written(capsys)]
    assert sum(len(each) for each in values) == 250
    assert max(len(each) for each in values) <= 100
