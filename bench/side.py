"""One checkout's system, for comparisons: `python side.py CHECKOUT FOLDER`, in that checkout's own
environment, which is there after `make setup`.

Obeys a line at a time, and answers each in JSON: `rate IMAGES`, `ready TIMES`, `stop`. The checkout
may be an old one: what is used of its own bench was there in version 1.0.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

# What the template says of the queue's trigger.
BATCH_SIZE = 20


def rate(bench: Any, cloud: Any, photo: bytes, count: int, extension: str = "jpg") -> float:
    """Images a second of batches that come one after the other, until the last is ready: one that
    finds its work done by the batch before it is answered at once."""
    from bench import samples

    bench.wait_until_settled()
    batches = samples.waiting_batches(
        *(cloud.environment, cloud.database_url, bench.username, photo, extension),
        *(count, BATCH_SIZE),
    )
    started_at = time.perf_counter()
    for batch in batches:
        cloud.invoke("ConsumerFunction", batch)
    bench.wait_until_settled()
    return count / (time.perf_counter() - started_at)


def main() -> None:
    checkout, folder = Path(sys.argv[1]), Path(sys.argv[2])
    # Its own modules, and not those beside this file.
    sys.path[:1] = [str(checkout), str(checkout / "layers" / "common")]
    os.chdir(checkout)
    # A copy of the template may be anybody's: it says on what its functions run.
    os.environ["LAMBDA_PYTHON"] = str(checkout / ".venvs" / "lambda" / "bin" / "python")
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    # What is printed besides is for people.
    os.dup2(2, 1)

    from bench import __main__ as its_bench
    from bench import samples
    from bench.cloud import LocalCloud

    photo = samples.jpeg_12_megapixels()
    cloud: Any = LocalCloud(folder)
    try:
        cloud.start()
        bench: Any = its_bench.Bench(cloud, its_bench.QUICK)
        if hasattr(bench, "register"):
            # Later ones sign up by themselves.
            bench.register()
        print(json.dumps("started"), file=answers)
        for line in sys.stdin:
            command, _, count = line.partition(" ")
            if command == "rate":
                answer: object = rate(bench, cloud, photo, int(count))
            elif command == "ready":
                answer = asyncio.run(bench.time_to_ready(photo, int(count)))
            else:
                break
            print(json.dumps(answer), file=answers)
    finally:
        cloud.stop()


if __name__ == "__main__":
    main()
