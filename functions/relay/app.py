"""Every minute: measures what waits, and publishes what is not known to be published or overdue."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from image_api import settings, wiring
from image_api.core import metrics, relay

records, users = wiring.relay_records(), wiring.user_records()
images, broker = wiring.image_records(), wiring.broker()


def lambda_handler(_event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    users.forget_old_failures()
    images.forget_old_keys()
    images.forget_old_offers()
    relay.forget_old(records, settings.changes_kept_days())
    metrics.measure(records, broker)
    return relay.relay_all(records, broker, context.get_remaining_time_in_millis)
