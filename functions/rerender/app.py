"""Every five minutes: renders anew, one after the other, what an older renderer made."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from image_api import wiring
from image_api.core import rerendering

records, renderings = wiring.rerender_records(), wiring.renderings()
storage = wiring.stored_objects()


def lambda_handler(_event: dict[str, Any], context: LambdaContext) -> dict[str, int | bool]:
    return rerendering.rerender(
        records, renderings, storage, remaining_milliseconds=context.get_remaining_time_in_millis
    )
