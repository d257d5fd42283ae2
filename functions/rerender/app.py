"""Every five minutes: makes good what was left behind, and renders anew what is outdated."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from image_api import wiring
from image_api.core.renditions import revocation
from image_api.core.upkeep import backfill, rerendering
from image_api.observability import failures_logged

records, renderings = wiring.rerender_records(), wiring.renderings()
moves, unmeasured = wiring.image_moves(), wiring.unmeasured_images()
storage = wiring.stored_objects()


@failures_logged
def lambda_handler(_event: dict[str, Any], context: LambdaContext) -> dict[str, int | bool]:
    remaining_milliseconds = context.get_remaining_time_in_millis
    revocation.revoke_overdue(moves, storage, remaining_milliseconds)
    backfill.measure_originals(unmeasured, storage, remaining_milliseconds)
    return rerendering.rerender(
        records, renderings, storage, remaining_milliseconds=remaining_milliseconds
    )
