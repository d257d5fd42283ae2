"""RabbitMQ triggers it: processes every accepted change."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.data_classes import event_source
from aws_lambda_powertools.utilities.data_classes.rabbit_mq_event import RabbitMQEvent
from aws_lambda_powertools.utilities.typing import LambdaContext

from image_api import wiring
from image_api.core import processing

processor = wiring.processor()


@event_source(data_class=RabbitMQEvent)
def lambda_handler(event: RabbitMQEvent, _context: LambdaContext) -> dict[str, Any]:
    return processor.process(processing.messages_of(event.raw_event))
