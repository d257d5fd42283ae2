"""What invokes a template's functions besides its API: queues, schedules, custom resources."""

from collections.abc import Iterator, Mapping
from typing import Any

from infra.local.template.model import CustomResource, QueueMapping, Schedule
from infra.local.template.resources import Resources

_BROKER_ID = "b-00000000-0000-0000-0000-000000000000"


def read_queue_mappings(resources: Resources) -> Iterator[QueueMapping]:
    """Raises TemplateError for an event source that is not a RabbitMQ queue."""
    for logical_id, properties in resources.of_type("AWS::Lambda::EventSourceMapping"):
        yield from _queue_mappings(resources, logical_id, properties)


def _queue_mappings(
    resources: Resources, logical_id: str, properties: Mapping[str, Any]
) -> Iterator[QueueMapping]:
    if "Queues" not in properties:
        raise resources.error(
            f"{logical_id}: the only event sources that the local cloud reads "
            "are RabbitMQ queues (MQ)"
        )
    if "FilterCriteria" in properties:
        raise resources.error(f"{logical_id}: the local cloud does not filter messages")
    # A broker that exists on AWS alone has no ARN here: this one stands for it.
    broker_arn = dict(resources.known(logical_id, properties)).get(
        "EventSourceArn", resources.arn("mq", f"broker:local:{_BROKER_ID}")
    )
    function = resources.required(logical_id, properties, "FunctionName")
    for queue in resources.required(logical_id, properties, "Queues"):
        yield QueueMapping(
            logical_id=logical_id,
            function_id=resources.function_id(str(function)),
            broker_arn=str(broker_arn),
            queue=str(queue),
            batch_size=int(resources.number(logical_id, properties, "BatchSize", 100)),
            window_seconds=resources.number(
                logical_id, properties, "MaximumBatchingWindowInSeconds", 0.5
            ),
            enabled=_truth(resources.optional(logical_id, properties, "Enabled", True)),
        )


def read_schedules(resources: Resources) -> Iterator[Schedule]:
    """Of EventBridge's rules and of its scheduler. Raises TemplateError."""
    for logical_id, properties in resources.of_type("AWS::Events::Rule"):
        if "ScheduleExpression" not in properties:
            raise resources.error(
                f"{logical_id}: the local cloud runs schedules, not rules on events"
            )
        for target in resources.required(logical_id, properties, "Targets"):
            yield _schedule(resources, logical_id, properties, target)
    for logical_id, properties in resources.of_type("AWS::Scheduler::Schedule"):
        zone = resources.optional(logical_id, properties, "ScheduleExpressionTimezone", "UTC")
        if zone != "UTC":
            raise resources.error(f"{logical_id}: the local cloud's schedules are in UTC")
        target = {
            name: resources.required(logical_id, properties["Target"], name)
            for name in ("Arn", "Input")
            if name in properties["Target"]
        }
        yield _schedule(resources, logical_id, properties, target)


def _schedule(
    resources: Resources, logical_id: str, properties: Mapping[str, Any], target: Mapping[str, Any]
) -> Schedule:
    return Schedule(
        logical_id=logical_id,
        function_id=resources.function_id(str(target["Arn"])),
        expression=str(resources.required(logical_id, properties, "ScheduleExpression")),
        enabled=resources.optional(logical_id, properties, "State", "ENABLED") == "ENABLED",
        payload=target.get("Input"),
        arn=resources.attribute(logical_id, "Arn"),
    )


def read_custom_resources(resources: Resources) -> Iterator[CustomResource]:
    """Properties that refer to something on AWS alone, such as a nested stack, are left out."""
    for logical_id, kind, properties in resources:
        if not kind.startswith("Custom::") and kind != "AWS::CloudFormation::CustomResource":
            continue
        token = str(resources.required(logical_id, properties, "ServiceToken"))
        yield CustomResource(
            logical_id=logical_id,
            resource_type=kind,
            function_id=resources.function_id(token),
            properties=dict(resources.known(logical_id, properties)),
        )


def _truth(value: Any) -> bool:
    return value if isinstance(value, bool) else str(value).lower() == "true"
