"""The janitor removes what nothing speaks of, fails what lacks a file, and touches nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_api.core.upkeep import janitor
from image_api.core.upkeep.janitor import StoredObject
from tests.log_lines import log_lines

DAY_SECONDS = 24 * 3600
OLD, YOUNG = 2.0 * DAY_SECONDS, 60.0


@dataclass
class Rows:
    """Keys with their image's id, None where the row is not to be judged."""

    expected: dict[str, int | None] = field(default_factory=dict)
    failed: list[int] = field(default_factory=list)
    # In which run each key was seen without a row first, and last.
    seen: dict[str, tuple[int, int]] = field(default_factory=dict)
    runs: int = 0
    forgotten_keys: list[str] = field(default_factory=list)

    def now(self) -> str:
        self.runs += 1
        return str(self.runs)

    def note(self, after: str, until: str, without_row: list[str]) -> None:
        for key in [key for key in self.seen if after < key <= until and key not in without_row]:
            del self.seen[key]
        for key in without_row:
            self.seen[key] = (self.seen.get(key, (self.runs, 0))[0], self.runs)

    def noted(self, run_started_at: str, min_age_seconds: int, batch_size: int) -> list[str]:
        keys = [
            key
            for key, (first, last) in self.seen.items()
            if first < int(run_started_at) == last and key not in self.expected
        ]
        return keys[:batch_size]

    def forget_noted(self, keys: list[str]) -> None:
        for key in keys:
            del self.seen[key]

    def expected_keys(self, after: str, until: str, min_age_seconds: int) -> dict[str, int | None]:
        return {key: row for key, row in self.expected.items() if after < key <= until}

    def fail_for_missing_file(self, image_id: int) -> None:
        self.failed.append(image_id)

    def forgotten(self, batch_size: int) -> list[str]:
        return self.forgotten_keys[:batch_size]

    def drop_forgotten(self, keys: list[str]) -> None:
        self.forgotten_keys = [key for key in self.forgotten_keys if key not in keys]

    def forget_lost(self, keys: list[str], min_age_seconds: int) -> None:
        for key in keys:
            del self.expected[key]


@dataclass
class Bucket:
    """Objects with their ages in seconds, listed as S3 lists them."""

    ages: dict[str, float]
    page_size: int = 1000

    def pages(self, prefix: str, start_after: str) -> Iterator[list[StoredObject]]:
        keys = sorted(key for key in self.ages if key.startswith(prefix) and key > start_after)
        for start in range(0, len(keys), self.page_size):
            yield [
                StoredObject(key, self.ages[key]) for key in keys[start : start + self.page_size]
            ]

    def delete(self, keys: list[str]) -> None:
        for key in keys:
            del self.ages[key]


def sweep(
    rows: Rows,
    bucket: Bucket,
    *,
    start: float = 0.0,
    dry_run: bool = False,
    max_percent: int = 100,
    remaining_milliseconds: int = 60_000,
) -> dict[str, int | bool]:
    return janitor.sweep(
        rows,
        bucket,
        start=start,
        min_age_seconds=DAY_SECONDS,
        max_percent=max_percent,
        dry_run=dry_run,
        remaining_milliseconds=lambda: remaining_milliseconds,
    )


KEYS = st.builds(
    "storage/{}/{}".format,
    st.integers(0, 2**128 - 1).map("{:032x}".format),
    st.sampled_from(["original.png", "1/image.png", "1/preview.webp", "2/thumbnail.webp"]),
)


@given(
    objects=st.dictionaries(KEYS, st.sampled_from([OLD, YOUNG]), max_size=12),
    spoken_of=st.lists(KEYS, max_size=4),
    data=st.data(),
    page_size=st.integers(1, 5),
    start=st.floats(0, 0.999),
)
def test_a_whole_round_settles_exactly_what_disagrees(
    objects: dict[str, float],
    spoken_of: list[str],
    data: st.DataObject,
    page_size: int,
    start: float,
) -> None:
    with_row = data.draw(st.sets(st.sampled_from(sorted(objects)))) if objects else set()
    keys = sorted({*with_row, *spoken_of})
    rows = Rows(
        {key: data.draw(st.sampled_from([None, number])) for number, key in enumerate(keys)}
    )
    bucket = Bucket(dict(objects), page_size)
    elsewhere = {"incoming/1/a": OLD, "other": OLD}
    bucket.ages |= elsewhere
    before = dict(bucket.ages)
    assert sweep(rows, bucket, start=start)["objects_deleted"] == 0
    assert bucket.ages == before
    report = sweep(rows, bucket, start=start)
    orphans = {key for key, age in objects.items() if age == OLD and key not in rows.expected}
    missing = {row for key, row in rows.expected.items() if key not in objects and row is not None}
    assert set(bucket.ages) == (set(objects) - orphans) | set(elsewhere)
    assert set(rows.failed) == missing
    assert rows.seen == {}
    assert report["finished"]
    assert report["objects_deleted"] == len(orphans)
    assert report["objects_seen"] == len(objects)
    assert report["objects_without_row"] == len(orphans)


def test_a_dry_run_counts_and_changes_nothing() -> None:
    rows = Rows({"storage/b": 7})
    bucket = Bucket({"storage/a": OLD})
    report = sweep(rows, bucket, dry_run=True)
    assert (report["objects_without_row"], report["rows_without_object"]) == (1, 1)
    assert (bucket.ages, rows.failed) == ({"storage/a": OLD}, [])


def test_a_run_stops_in_time_and_says_that_it_did_not_finish() -> None:
    bucket = Bucket({f"storage/{number:04}": OLD for number in range(10)}, page_size=2)
    rows = Rows()
    sweep(rows, bucket)
    report = sweep(rows, bucket, remaining_milliseconds=20_000)
    assert not report["finished"]
    # What it had seen it settled.
    assert report["objects_deleted"] == 10 - len(bucket.ages) == 2
    # Without time for another step nothing begins.
    assert sweep(rows, bucket, remaining_milliseconds=5_000)["objects_deleted"] == 0
    assert len(bucket.ages) == 8


def test_what_has_a_row_again_is_forgotten() -> None:
    rows, bucket = Rows(), Bucket({"storage/a": OLD, "storage/b": OLD})
    sweep(rows, bucket)
    rows.expected["storage/a"] = None
    sweep(rows, bucket)
    assert set(bucket.ages) == {"storage/a"}
    del rows.expected["storage/a"]
    # The day begins anew.
    assert sweep(rows, bucket)["objects_deleted"] == 0


@pytest.mark.parametrize(("without_row", "stopped"), [(10, False), (11, True)])
def test_where_too_much_has_no_row_nothing_is_deleted(without_row: int, stopped: bool) -> None:
    keys = [f"storage/{number:04}" for number in range(100)]
    rows = Rows(dict.fromkeys(keys[without_row:]))
    bucket = Bucket(dict.fromkeys(keys, OLD), page_size=7)
    for _ in range(3):
        with log_lines() as lines:
            report = sweep(rows, bucket, max_percent=10)
        assert report["stopped"] is stopped
        assert ["ERROR" in line["level"] for line in lines if "stopped" in line["message"]] == (
            [True] if stopped else []
        )
    assert len(bucket.ages) == (100 if stopped else 100 - without_row)


@pytest.mark.parametrize(("without_object", "stopped"), [(10, False), (11, True)])
def test_where_too_many_rows_have_no_object_none_is_failed(
    without_object: int, stopped: bool
) -> None:
    keys = [f"storage/{number:04}" for number in range(100)]
    rows = Rows({key: number for number, key in enumerate(keys)})
    bucket = Bucket(dict.fromkeys(keys[without_object:], OLD))
    report = sweep(rows, bucket, max_percent=10)
    assert (report["stopped"], len(rows.failed)) == (stopped, 0 if stopped else without_object)


def test_an_emptied_bucket_fails_no_image() -> None:
    rows = Rows({"storage/a": 7})
    assert sweep(rows, Bucket({}), max_percent=10)["stopped"] is True
    assert rows.failed == []


def test_an_image_that_lacks_two_files_is_failed_once() -> None:
    rows = Rows({"storage/a/original.png": 7, "storage/a/1/thumbnail.webp": 7})
    sweep(rows, Bucket({}))
    assert rows.failed == [7]


def test_runs_begin_a_little_further_on_each_hour_and_come_everywhere() -> None:
    starts = {
        janitor.position(f"2026-01-{1 + hour // 24:02}T{hour % 24:02}:00:00Z")
        for hour in range(256)
    }
    assert len(starts) == 256
    assert all(0 <= start < 1 for start in starts)
    assert janitor.position("") == 0


@pytest.mark.parametrize("start", [0.0, 0.5, 255 / 256])
def test_wherever_a_run_begins_it_goes_all_the_way_around(start: float) -> None:
    bucket = Bucket({f"storage/{number:02x}/x": OLD for number in range(256)}, page_size=7)
    rows = Rows()
    for _ in range(2):
        report = sweep(rows, bucket, start=start)
        assert report["objects_without_row"] == 256
    assert bucket.ages == {}
