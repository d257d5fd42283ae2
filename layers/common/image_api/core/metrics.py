"""How much accepted work waits, as metrics that alarms look at.

Amazon MQ publishes no metrics by queue for RabbitMQ 4, and none of a message's age for any version.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from image_api.errors import ServiceUnavailable
from image_api.observability import METRICS_NAMESPACE, logger


@dataclass(frozen=True, slots=True)
class MessageCounts:
    """`waiting`: for the consumer, delays included; `dead`: given up."""

    waiting: int
    dead: int


class UnfinishedWork(Protocol):
    def oldest_unfinished_age_seconds(self) -> float:
        """How long the image that waits longest has waited for its last change; 0 for none."""


class Queues(Protocol):
    def message_counts(self) -> MessageCounts:
        """Raises ServiceUnavailable when the broker is away."""


def measure(unfinished: UnfinishedWork, queues: Queues) -> None:
    """Writes OldestWorkAge, QueueDepth and DeadLetters; the latter two only if the broker answers.

    The log carries them to CloudWatch (embedded metric format).
    """
    # Imported here: whoever publishes loads this module, and only the relay measures.
    from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

    metrics = EphemeralMetrics(namespace=METRICS_NAMESPACE)
    metrics.add_metric(
        "OldestWorkAge", MetricUnit.Seconds, unfinished.oldest_unfinished_age_seconds()
    )
    try:
        counts = queues.message_counts()
    except ServiceUnavailable as error:
        logger.warning("the queues cannot be counted", reason=error.detail)
    else:
        metrics.add_metric("QueueDepth", MetricUnit.Count, counts.waiting)
        metrics.add_metric("DeadLetters", MetricUnit.Count, counts.dead)
    metrics.flush_metrics()
