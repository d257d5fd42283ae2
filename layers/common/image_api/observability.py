"""The logger: constant messages plus fields, one correlation id from HTTP through RabbitMQ."""

from __future__ import annotations

from collections.abc import Mapping

from aws_lambda_powertools import Logger

logger = Logger(service="image-api")

# A deployment is distinguished by the dimension `service` (POWERTOOLS_SERVICE_NAME).
METRICS_NAMESPACE = "ImageApi"


def write_metrics(seconds: Mapping[str, float], counts: Mapping[str, int]) -> None:
    """To CloudWatch, by way of the log (embedded metric format)."""
    # Imported here: every function logs, and few measure.
    from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

    metrics = EphemeralMetrics(namespace=METRICS_NAMESPACE)
    for name, value in seconds.items():
        metrics.add_metric(name, MetricUnit.Seconds, value)
    for name, count in counts.items():
        metrics.add_metric(name, MetricUnit.Count, count)
    metrics.flush_metrics()
