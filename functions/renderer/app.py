"""Decodes pixels, of one picture an invocation. Nothing else does, and it knows nobody."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from image_api import wiring
from image_api.core.renditions import renderer
from image_api.observability import failures_logged

transfers = wiring.transfers()


@failures_logged
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return renderer.run(event, transfers, lambda: context.get_remaining_time_in_millis() / 1000)
