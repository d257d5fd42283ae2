"""What the relay measures: the metrics that alarms look at."""

from __future__ import annotations

import json
from typing import Any

import pytest

from image_api.core import metrics
from image_api.core.messages import MessageCounts
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
