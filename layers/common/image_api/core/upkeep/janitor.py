"""Makes storage and rows agree again where a crash came between them.

What it deletes is gone for good, so it stops where more disagrees than crashes explain: after a
restore of an older database the newest pictures have no rows, and after that of an older bucket the
rows no files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Protocol

from image_api.core import object_keys
from image_api.observability import logger, write_metrics

# What is left for what was found when the listing ends, and for one step of that.
_MIN_REMAINING_MILLISECONDS = 30_000
_MIN_REMAINING_FOR_A_STEP_MILLISECONDS = 10_000
_STEP = 1_000


@dataclass(frozen=True, slots=True)
class StoredObject:
    key: str
    age_seconds: float


@dataclass(slots=True)
class Report:
    """What was found; with `dry_run`, or where it `stopped`, nothing was done about it."""

    dry_run: bool
    objects_seen: int = 0
    objects_without_row: int = 0
    objects_deleted: int = 0
    rows_without_object: int = 0
    stopped: bool = False
    finished: bool = False


class JanitorRecords(Protocol):
    def now(self) -> str:
        """The database's time."""

    def expected_keys(self, after: str, until: str, min_age_seconds: int) -> dict[str, int | None]:
        """Each object that rows speak of, in the half-open range of keys (after, until], with its
        image's id where the row is old enough to be judged, settled and not being deleted.
        """

    def note(self, after: str, until: str, without_row: list[str]) -> None:
        """Keeps what was just seen in a range, and forgets what else is noted of it."""

    def noted(self, run_started_at: str, min_age_seconds: int, batch_size: int) -> list[str]:
        """Keys seen by this run, and so long before by another, that still have no row."""

    def forget_noted(self, keys: list[str]) -> None: ...

    def fail_for_missing_file(self, image_id: int) -> None: ...

    def forgotten(self, batch_size: int) -> list[str]:
        """Keys whose rows are gone for so long that nobody has a URL of one any more."""

    def drop_forgotten(self, keys: list[str]) -> None: ...

    def forget_lost(self, keys: list[str], min_age_seconds: int) -> None:
        """Rows of renditions on demand, old enough to be judged, whose objects are missing."""


class ObjectListing(Protocol):
    def pages(self, prefix: str, start_after: str) -> Iterator[list[StoredObject]]:
        """Objects in the order of their keys."""

    def delete(self, keys: list[str]) -> None: ...


def sweep(
    records: JanitorRecords,
    storage: ObjectListing,
    *,
    start: float,
    min_age_seconds: int,
    max_percent: int,
    dry_run: bool,
    remaining_milliseconds: Callable[[], int],
) -> dict[str, int | bool]:
    """Goes once around all keys while there is time, beginning at `start` (0 up to 1) of the way,
    so that runs which cannot finish still come everywhere in the end.

    An object or a row younger than `min_age_seconds` may belong to a request under way. An object
    is deleted once an earlier run, so long ago, has seen it without a row too. Nothing is touched
    where over `max_percent` of the objects seen have no row, or of the rows no object.
    """
    return _Sweep(
        records, storage, min_age_seconds, max_percent, remaining_milliseconds, Report(dry_run)
    ).run(start)


def position(time: str) -> float:
    """Where the run of a schedule's `time` (RFC 3339) begins: each hour a little further on, and
    everywhere once in eleven days. A run that ends in time goes all the way around anyway.
    """
    hours = int(datetime.fromisoformat(time).timestamp()) // 3600 if time else 0
    return hours % 256 / 256


class _Sweep:
    def __init__(
        self,
        records: JanitorRecords,
        storage: ObjectListing,
        min_age_seconds: int,
        max_percent: int,
        remaining_milliseconds: Callable[[], int],
        report: Report,
    ) -> None:
        self._records = records
        self._storage = storage
        self._min_age_seconds = min_age_seconds
        self._max_percent = max_percent
        self._remaining_milliseconds = remaining_milliseconds
        self._report = report
        self._incomplete: set[int] = set()
        self._lost: list[str] = []
        self._keys_judged = self._keys_missing = 0

    def run(self, start: float) -> dict[str, int | bool]:
        report = self._report
        if not report.dry_run:
            self._delete_forgotten()
        run_started_at = self._records.now()
        begin = f"{object_keys.STORED}{int(start * 256) % 256:02x}"
        report.finished = self._compare(begin, object_keys.LAST_STORED) and self._compare(
            object_keys.STORED, begin
        )
        report.rows_without_object = len(self._incomplete)
        report.stopped = self._is_too_much(report.objects_without_row, report.objects_seen)
        report.stopped |= self._is_too_much(self._keys_missing, self._keys_judged)
        if report.stopped:
            logger.error(
                "the janitor stopped: more disagrees than crashes explain", **asdict(report)
            )
        elif not report.dry_run:
            self._delete(run_started_at)
            self._fail()
            self._forget_lost()
        logger.info("storage and rows compared", **asdict(report))
        write_metrics({}, {"JanitorStopped": int(report.stopped)})
        return asdict(report)

    def _compare(self, after: str, until: str) -> bool:
        """Whether there was time for all of the range."""
        for page in self._storage.pages(object_keys.STORED, after):
            within = [stored for stored in page if stored.key <= until]
            reached = page[-1].key if len(within) == len(page) else until
            self._note(within, after, reached)
            after = reached
            if reached == until:
                return True
            if self._remaining_milliseconds() < _MIN_REMAINING_MILLISECONDS:
                return False
        self._note([], after, until)
        return True

    def _note(self, stored: list[StoredObject], after: str, until: str) -> None:
        # Rows are read after the objects were listed: an object that a row speaks of by now is
        # fine, and one that vanished meanwhile belongs to a row that changed meanwhile, so a young
        # one.
        expected = self._records.expected_keys(after, until, self._min_age_seconds)
        present = {stored_object.key for stored_object in stored}
        without_row = [
            stored_object.key
            for stored_object in stored
            if stored_object.key not in expected
            and stored_object.age_seconds > self._min_age_seconds
        ]
        judged = {key: image_id for key, image_id in expected.items() if image_id is not None}
        missing = {key: image_id for key, image_id in judged.items() if key not in present}
        self._incomplete |= set(missing.values())
        self._lost += [
            key for key in expected if object_keys.is_on_demand(key) and key not in present
        ]
        self._keys_judged += len(judged)
        self._keys_missing += len(missing)
        self._report.objects_seen += len(present)
        self._report.objects_without_row += len(without_row)
        if not self._report.dry_run:
            self._records.note(after, until, without_row)

    def _is_too_much(self, number: int, of: int) -> bool:
        return number * 100 > of * self._max_percent

    def _delete(self, run_started_at: str) -> None:
        while self._has_time_for_a_step():
            keys = self._records.noted(run_started_at, self._min_age_seconds, _STEP)
            if not keys:
                return
            self._storage.delete(keys)
            self._records.forget_noted(keys)
            self._report.objects_deleted += len(keys)

    def _delete_forgotten(self) -> None:
        while self._has_time_for_a_step() and (keys := self._records.forgotten(_STEP)):
            self._storage.delete(keys)
            self._records.drop_forgotten(keys)
            self._report.objects_deleted += len(keys)

    def _forget_lost(self) -> None:
        for start in range(0, len(self._lost), _STEP):
            if not self._has_time_for_a_step():
                return
            self._records.forget_lost(self._lost[start : start + _STEP], self._min_age_seconds)

    def _fail(self) -> None:
        for image_id in sorted(self._incomplete):
            if not self._has_time_for_a_step():
                return
            self._records.fail_for_missing_file(image_id)

    def _has_time_for_a_step(self) -> bool:
        return self._remaining_milliseconds() >= _MIN_REMAINING_FOR_A_STEP_MILLISECONDS
