"""Dead letters: `make dead-letters` lists them, `make redrive` sends them back to the work queue.

Works on the local cloud that runs here, or on the broker that RABBITMQ_URL or `.env` names.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

from pika.adapters.blocking_connection import BlockingChannel

from image_api.core.messages import (
    ATTEMPT_HEADER,
    DEATH_HEADERS,
    REASON_HEADER,
    REDRIVEN_HEADER,
    WAITS_HEADER,
)
from image_api.core.queues import dead_queue
from infra import program
from infra.tools.broker_in_use import channel_in_use, parser_of

# What a quorum queue counts by itself.
_RETURNS_HEADER = "x-delivery-count"


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("action", choices=["list", "redrive"])
    parser.add_argument("--event", help="redrive only the message with this event id")
    options = parser.parse_args()
    with channel_in_use(options.data_folder) as (channel, queue):
        channel.confirm_delivery()
        if options.action == "list":
            _list(channel, dead_queue(queue))
        else:
            _redrive(channel, queue, options.event)
    return 0


def _list(channel: BlockingChannel, dead: str) -> None:
    count = 0
    for delivery_tag, properties, body in _messages(channel, dead):
        count += 1
        headers = properties.headers or {}
        died_at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(properties.timestamp or 0))
        print(
            f"{died_at}Z  {properties.message_id}  {properties.type}  {_subject(body)}\n"
            f"    attempts {headers.get(ATTEMPT_HEADER, 1)}: {_reason(headers)}"
        )
        _leave(channel, dead, delivery_tag, properties, body)
    print(f"dead letters in {dead}: {count}")


def _redrive(channel: BlockingChannel, queue: str, event_id: str | None) -> None:
    """Each message is confirmed in the work queue before it leaves the other."""
    count = 0
    for delivery_tag, properties, body in _messages(channel, dead_queue(queue)):
        if event_id is not None and properties.message_id != event_id:
            _leave(channel, dead_queue(queue), delivery_tag, properties, body)
            continue
        # As if it had never been tried, but for the count of its returns.
        headers = {
            name: value
            for name, value in (properties.headers or {}).items()
            if not name.startswith((ATTEMPT_HEADER, WAITS_HEADER, REASON_HEADER, *DEATH_HEADERS))
        }
        headers[REDRIVEN_HEADER] = int(headers.get(REDRIVEN_HEADER, 0)) + 1
        properties.headers = headers
        channel.basic_publish("", queue, body, properties, mandatory=True)
        channel.basic_ack(delivery_tag)
        count += 1
    print(f"messages sent back to {queue}: {count}")


def _messages(channel: BlockingChannel, queue: str) -> Iterator[tuple[int, Any, bytes]]:
    """What is there now; a message that comes back meanwhile is not taken again."""
    present = channel.queue_declare(queue, passive=True).method.message_count
    for _ in range(present):
        method, properties, body = channel.basic_get(queue)
        if method is None:
            return
        yield method.delivery_tag, properties, body


def _leave(
    channel: BlockingChannel, dead: str, delivery_tag: int, properties: Any, body: bytes
) -> None:
    """What was only looked at returns to its queue when the connection ends.

    Of what was returned before, a copy stays instead: RabbitMQ 4 drops a message that returned 20
    times to a queue which an older version declared.
    """
    headers = properties.headers or {}
    if not headers.get(_RETURNS_HEADER):
        return
    properties.headers = {name: value for name, value in headers.items() if name != _RETURNS_HEADER}
    channel.basic_publish("", dead, body, properties, mandatory=True)
    channel.basic_ack(delivery_tag)


def _reason(headers: dict[str, Any]) -> str:
    if reason := headers.get(REASON_HEADER):
        return str(reason)
    return f"dropped by the broker ({headers.get('x-first-death-reason', 'no reason given')})"


def _subject(body: bytes) -> str:
    try:
        return str(json.loads(body)["subject"])
    except (ValueError, KeyError, TypeError):
        return "(no event)"


if __name__ == "__main__":
    sys.exit(program.run(main))
