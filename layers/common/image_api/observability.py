"""The logger: constant messages plus fields, one correlation id from HTTP through RabbitMQ."""

from __future__ import annotations

from aws_lambda_powertools import Logger

logger = Logger(service="image-api")
