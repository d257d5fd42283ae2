"""The logger: constant messages plus fields, one correlation id from HTTP through RabbitMQ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from aws_lambda_powertools import Logger

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

Answer = TypeVar("Answer")

# `service` is the deployment (POWERTOOLS_SERVICE_NAME). Messages are words: Powertools would try to
# read each of them as JSON.
logger = Logger(json_deserializer=str)

# A deployment is distinguished by the dimension `service` (POWERTOOLS_SERVICE_NAME).
METRICS_NAMESPACE = "ImageApi"


def write_metrics(
    seconds: Mapping[str, float | Sequence[float]], counts: Mapping[str, int], **dimensions: str
) -> None:
    """To CloudWatch, by way of the log (embedded metric format). Fewer than 100 values a metric."""
    # Imported here: every function logs, and few measure.
    from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

    metrics = EphemeralMetrics(namespace=METRICS_NAMESPACE)
    for name, value in dimensions.items():
        metrics.add_dimension(name, value)
    for name, values in seconds.items():
        for each in values if isinstance(values, Sequence) else [values]:
            metrics.add_metric(name, MetricUnit.Seconds, each)
    for name, count in counts.items():
        metrics.add_metric(name, MetricUnit.Count, count)
    metrics.flush_metrics()


def failures_logged(
    handler: Callable[[dict[str, Any], LambdaContext], Answer],
) -> Callable[[dict[str, Any], LambdaContext], Answer]:
    """Of a function that is not called over HTTP: whatever escapes is a line like any other before
    the runtime writes it in its own way.
    """

    @wraps(handler)
    def handle(event: dict[str, Any], context: LambdaContext) -> Answer:
        # The runtime's own lines, as of a process that is ended, have the second alone.
        logger.append_keys(function_name=context.function_name, request_id=context.aws_request_id)
        try:
            return handler(event, context)
        except Exception:
            logger.exception("the function failed")
            raise

    return handle
