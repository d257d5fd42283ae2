"""Every minute: measures what waits, and publishes events that could not be published at once."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from image_api import wiring
from image_api.core import metrics, relay

outbox, users = wiring.outbox(), wiring.user_records()
images, broker = wiring.image_records(), wiring.broker()


def lambda_handler(_event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    users.forget_old_failures()
    metrics.measure(images, broker)
    return relay.relay_all(outbox, context.get_remaining_time_in_millis)
