"""Operators invoke it: looks at queues and accounts, sends dead letters back, locks accounts."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from image_api import wiring
from image_api.core.upkeep import operator_commands
from image_api.observability import failures_logged

records, broker = wiring.operator_records(), wiring.broker()


@failures_logged
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return operator_commands.operate(
        records, broker, event, context.get_remaining_time_in_millis, context.aws_request_id
    )
