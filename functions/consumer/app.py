"""RabbitMQ triggers it: processes every accepted change."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from image_api import wiring
from image_api.observability import failures_logged
from image_api.rabbitmq import lambda_event

consumer = wiring.consumer()


@failures_logged
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    return consumer.consume(lambda_event.messages_of(event), context.get_remaining_time_in_millis)
