"""Every minute: publishes accepted events that could not be published at once."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from image_api import relaying, wiring

outbox, users = wiring.outbox(), wiring.user_records()


def lambda_handler(_event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    users.forget_old_failures()
    return relaying.relay_all(outbox, context.get_remaining_time_in_millis)
