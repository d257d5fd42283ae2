"""When the stack is deleted: waits until Lambda's poller has left the broker's network."""

from __future__ import annotations

from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from image_api import wiring
from image_api.core.upkeep import teardown
from image_api.observability import failures_logged
from image_api.web import custom_resource

networks = wiring.networks()


@failures_logged
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    group = str(event["ResourceProperties"].get("SecurityGroup", ""))
    on_delete = partial(
        teardown.wait_for_interfaces, networks, group, context.get_remaining_time_in_millis
    )
    return custom_resource.answer(event, dict, on_delete)
