"""Makes storage and rows agree again where a crash came between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Protocol

from image_api.observability import logger

PREFIX = "storage/"
_LAST_KEY = "storage/~"
# The listing of a page, its rows and their repair.
_MIN_REMAINING_MILLISECONDS = 10_000


@dataclass(frozen=True, slots=True)
class StoredObject:
    key: str
    age_seconds: float


@dataclass(slots=True)
class Report:
    """What was found; with `dry_run` nothing was done about it."""

    dry_run: bool
    objects_seen: int = 0
    objects_without_row: int = 0
    rows_without_object: int = 0
    finished: bool = False


class JanitorRecords(Protocol):
    def expected_keys(self, after: str, until: str, min_age_seconds: int) -> dict[str, int | None]:
        """Each object that rows speak of, in the half-open range of keys (after, until], with its
        image's id where the row is old enough to be judged, settled and not being deleted.
        """

    def fail_for_missing_file(self, image_id: int) -> None: ...


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
    dry_run: bool,
    remaining_milliseconds: Callable[[], int],
) -> dict[str, int | bool]:
    """Goes once around all keys while there is time, beginning at `start` (0 up to 1) of the way,
    so that runs which cannot finish still come everywhere in the end.

    An object or a row younger than `min_age_seconds` may belong to a request under way.
    """
    report = Report(dry_run)
    begin = f"{PREFIX}{int(start * 256) % 256:02x}"
    report.finished = all(
        _sweep_range(
            records, storage, report, after, until, min_age_seconds, remaining_milliseconds
        )
        for after, until in ((begin, _LAST_KEY), (PREFIX, begin))
    )
    logger.info("storage and rows compared", **asdict(report))
    return asdict(report)


def position(time: str) -> float:
    """Where the run of a schedule's `time` (RFC 3339) begins: each hour a little further on, and
    everywhere once in eleven days. A run that ends in time goes all the way around anyway.
    """
    hours = int(datetime.fromisoformat(time).timestamp()) // 3600 if time else 0
    return hours % 256 / 256


def _sweep_range(
    records: JanitorRecords,
    storage: ObjectListing,
    report: Report,
    after: str,
    until: str,
    min_age_seconds: int,
    remaining_milliseconds: Callable[[], int],
) -> bool:
    for page in storage.pages(PREFIX, after):
        within = [stored for stored in page if stored.key <= until]
        reached = page[-1].key if len(within) == len(page) else until
        _repair(records, storage, report, within, after, reached, min_age_seconds)
        after = reached
        if reached == until:
            return True
        if remaining_milliseconds() < _MIN_REMAINING_MILLISECONDS:
            return False
    _repair(records, storage, report, [], after, until, min_age_seconds)
    return True


def _repair(
    records: JanitorRecords,
    storage: ObjectListing,
    report: Report,
    stored: list[StoredObject],
    after: str,
    until: str,
    min_age_seconds: int,
) -> None:
    # Rows are read after the objects were listed: an object that a row speaks of by now is fine,
    # and one that vanished meanwhile belongs to a row that changed meanwhile, so a young one.
    expected = records.expected_keys(after, until, min_age_seconds)
    present = {stored_object.key for stored_object in stored}
    report.objects_seen += len(present)
    orphans = [
        stored_object.key
        for stored_object in stored
        if stored_object.key not in expected and stored_object.age_seconds > min_age_seconds
    ]
    incomplete = {
        image_id
        for key, image_id in expected.items()
        if key not in present and image_id is not None
    }
    report.objects_without_row += len(orphans)
    report.rows_without_object += len(incomplete)
    if report.dry_run:
        return
    storage.delete(orphans)
    for image_id in sorted(incomplete):
        records.fail_for_missing_file(image_id)
