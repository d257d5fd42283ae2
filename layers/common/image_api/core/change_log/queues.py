"""The queues beside the work queue: one for each delay, and one for what was given up."""

from __future__ import annotations

from typing import Final

RETRY_DELAYS_SECONDS: Final = (1, 5, 30, 120, 600)


def retry_queue(queue: str, delay_seconds: int) -> str:
    return f"{queue}.retry.{delay_seconds}s"


def dead_queue(queue: str) -> str:
    return f"{queue}.dead"
