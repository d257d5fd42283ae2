"""Operators invoke it: sends the events of a time span to one queue of another service."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from image_api import settings, wiring
from image_api.core.change_log import replay
from image_api.observability import failures_logged

records, broker = wiring.history(), wiring.broker()


@failures_logged
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return replay.replay(
        records,
        broker,
        settings.broker().queue,
        event,
        context.get_remaining_time_in_millis,
    )
