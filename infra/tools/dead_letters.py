"""Dead letters: `make dead-letters` lists them, `make redrive` sends them back to the work queue.

Works on the local cloud that runs here, or on the broker that RABBITMQ_URL or `.env` names. On AWS
OperateFunction does the same: see docs/aws.md.
"""

from __future__ import annotations

import sys
import time

from image_api.core.change_log.queues import dead_queue
from image_api.rabbitmq import dead_letters
from infra import entry_point
from infra.tools.broker_in_use import channel_in_use, parser_of


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("action", choices=["list", "redrive"])
    parser.add_argument("--event", help="redrive only the message with this event id")
    options = parser.parse_args()
    with channel_in_use(options.data_folder) as (channel, queue):
        if options.action == "list":
            count = 0
            for letter in dead_letters.listed(channel, queue):
                count += 1
                print(
                    f"{_moment(letter.given_up_at_seconds)}  {letter.event_id}  "
                    f"{letter.type}  {letter.subject}\n"
                    f"    attempts {letter.attempts}: {letter.reason}"
                )
            print(f"dead letters in {dead_queue(queue)}: {count}")
        else:
            count = dead_letters.redrive(channel, queue, options.event)
            print(f"messages sent back to {queue}: {count}")
    return 0


def _moment(seconds: int | None) -> str:
    if seconds is None:
        return "(at no known time)"
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(seconds))


if __name__ == "__main__":
    sys.exit(entry_point.run(main))
