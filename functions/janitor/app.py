"""Every hour: finds objects without a row and rows without an object, and settles them."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from image_api import settings, wiring
from image_api.core import janitor
from image_api.observability import failures_logged

records, storage = wiring.janitor_records(), wiring.storage()


@failures_logged
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int | bool]:
    return janitor.sweep(
        records,
        storage,
        start=janitor.position(event.get("time", "")),
        min_age_seconds=settings.janitor().min_age_seconds,
        max_percent=settings.janitor().max_percent,
        dry_run=settings.janitor().dry_run,
        remaining_milliseconds=context.get_remaining_time_in_millis,
    )
