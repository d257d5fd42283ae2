"""Dead letters: `make dead-letters` lists them, `make redrive` sends them back to the work queue.

Works on the local cloud that runs here, or on the broker that RABBITMQ_URL names.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel

from infra.tools.broker_in_use import broker_in_use

REDRIVEN = "x-redriven"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["list", "redrive"])
    parser.add_argument("--event", help="only the message with this event id")
    options = parser.parse_args()
    url, queue = broker_in_use()
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.confirm_delivery()
    if options.action == "list":
        _list(channel, f"{queue}.dead")
    else:
        _redrive(channel, queue, options.event)
    # What was taken and not settled goes back to where it was.
    connection.close()


def _list(channel: BlockingChannel, dead: str) -> None:
    count = 0
    for _, properties, body in _messages(channel, dead):
        count += 1
        headers = properties.headers or {}
        died_at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(properties.timestamp or 0))
        print(
            f"{died_at}Z  {properties.message_id}  {properties.type}  {_subject(body)}\n"
            f"    attempts {headers.get('x-attempt', 1)}: {_reason(headers)}"
        )
    print(f"{count} dead letters in {dead}")


def _redrive(channel: BlockingChannel, queue: str, event_id: str | None) -> None:
    """Each message is confirmed in the work queue before it leaves the other."""
    count = 0
    for delivery_tag, properties, body in _messages(channel, f"{queue}.dead"):
        if event_id is not None and properties.message_id != event_id:
            continue
        headers = dict(properties.headers or {})
        headers[REDRIVEN] = int(headers.get(REDRIVEN, 0)) + 1
        for name in ("x-attempt", "x-waits", "x-reason", "x-delivery-count"):
            headers.pop(name, None)
        properties.headers = headers
        channel.basic_publish("", queue, body, properties, mandatory=True)
        channel.basic_ack(delivery_tag)
        count += 1
    print(f"{count} messages sent back to {queue}")


def _messages(channel: BlockingChannel, queue: str) -> Iterator[tuple[int, Any, bytes]]:
    """What is there now; a message that comes back meanwhile is not taken again."""
    present = channel.queue_declare(queue, passive=True).method.message_count
    for _ in range(present):
        method, properties, body = channel.basic_get(queue)
        if method is None:
            return
        yield method.delivery_tag, properties, body


def _reason(headers: dict[str, Any]) -> str:
    if reason := headers.get("x-reason"):
        return str(reason)
    return f"the broker gave it up ({headers.get('x-first-death-reason', 'it says not why')})"


def _subject(body: bytes) -> str:
    try:
        return str(json.loads(body)["subject"])
    except (ValueError, KeyError, TypeError):
        return "(no event)"


if __name__ == "__main__":
    main()
