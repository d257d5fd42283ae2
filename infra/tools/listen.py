"""A listening service in its smallest form: binds a queue of its own and prints what it hears.

`make listen` runs it against the local cloud that is running here; EVENTS chooses what to hear.
"""

import json
import os
import sys
from contextlib import suppress

from pika.adapters.blocking_connection import BlockingChannel

from image_api.core.change_log.events import EXCHANGE
from infra import entry_point
from infra.tools.broker_in_use import channel_in_use, parser_of


def main() -> int:
    options = parser_of(__doc__).parse_args()
    with channel_in_use(options.data_folder) as (channel, _), suppress(KeyboardInterrupt):
        _listen(channel, os.environ.get("EVENTS", "image.#").split(","))
    return 0


def _listen(channel: BlockingChannel, wanted: list[str]) -> None:
    # Exclusive: the broker removes the queue when this program ends.
    queue = channel.queue_declare("", exclusive=True).method.queue
    for binding in wanted:
        channel.queue_bind(queue, EXCHANGE, binding.strip())
    print(f"listening to {', '.join(wanted)} (Ctrl-C ends it)", flush=True)
    for method, properties, body in channel.consume(queue, auto_ack=True):
        event = json.loads(body)
        print(
            f"{properties.timestamp} {method.routing_key} {event['subject']} "
            f"{json.dumps(event['data'])}",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(entry_point.run(main))
