"""What an operator may do to the queues, on purpose or not."""

from __future__ import annotations

from pika.adapters.blocking_connection import BlockingChannel

from image_api.core.change_log import events
from image_api.core.change_log.queues import RETRY_DELAYS_SECONDS, dead_queue, retry_queue


def delete_queue(channel: BlockingChannel, queue: str) -> None:
    channel.queue_delete(queue)


def purge_queue(channel: BlockingChannel, queue: str) -> None:
    channel.queue_purge(queue)


def delete_everything(channel: BlockingChannel, queue: str) -> None:
    delays = [retry_queue(queue, seconds) for seconds in RETRY_DELAYS_SECONDS]
    for name in (queue, *delays, dead_queue(queue)):
        channel.queue_delete(name)
    channel.exchange_delete(events.EXCHANGE)
