"""The logger: constant messages plus fields, one correlation id from HTTP through RabbitMQ."""

from __future__ import annotations

from aws_lambda_powertools import Logger

logger = Logger(service="image-api")

# A deployment is told from others by the dimension `service` (POWERTOOLS_SERVICE_NAME).
METRICS_NAMESPACE = "ImageApi"
