"""A listening service in its smallest form: binds a queue of its own and prints what it hears.

`make listen` runs it against the local cloud that is running here; EVENTS chooses what to hear.
"""

import json
import os

import pika

from infra.tools.broker_in_use import broker_in_use

EXCHANGE = "image.events"


def main() -> None:
    url = broker_in_use()[0]
    wanted = os.environ.get("EVENTS", "image.#").split(",")
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    # Exclusive: the broker removes the queue when this program ends.
    queue = channel.queue_declare("", exclusive=True).method.queue
    for binding in wanted:
        channel.queue_bind(queue, EXCHANGE, binding.strip())
    print(f"listening to {', '.join(wanted)} (Ctrl-C ends it)", flush=True)
    try:
        for method, properties, body in channel.consume(queue, auto_ack=True):
            event = json.loads(body)
            print(
                f"{properties.timestamp} {method.routing_key} {event['subject']} "
                f"{json.dumps(event['data'])}",
                flush=True,
            )
    except KeyboardInterrupt:
        connection.close()


if __name__ == "__main__":
    main()
