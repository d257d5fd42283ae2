"""Every hour: empties the trash, and settles objects without a row and rows without an object."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from image_api import settings, wiring
from image_api.core.library import trash
from image_api.core.upkeep import janitor
from image_api.observability import failures_logged

records, storage, images = wiring.janitor_records(), wiring.storage(), wiring.image_records()


@failures_logged
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int | bool]:
    trashed = trash.empty(
        images,
        # Whoever only wants to see what it would do keeps what is in the trash.
        trash_days=0 if settings.janitor().dry_run else settings.trash_days(),
        remaining_milliseconds=context.get_remaining_time_in_millis,
    )
    swept = janitor.sweep(
        records,
        storage,
        start=janitor.position(event.get("time", "")),
        min_age_seconds=settings.janitor().min_age_seconds,
        max_percent=settings.janitor().max_percent,
        dry_run=settings.janitor().dry_run,
        remaining_milliseconds=context.get_remaining_time_in_millis,
    )
    return {"trash_deleted": trashed, **swept}
