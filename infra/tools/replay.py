"""Sends the events of a time span to one queue: make replay SINCE=... QUEUE=... [UNTIL=...].

By way of the local cloud that runs here; docs/reliability.md has the way on AWS. What was
interrupted goes on with UNTIL and AFTER as they were last printed.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from typing import Any

from infra import entry_point
from infra.entry_point import Explained
from infra.local.settings import SettingsError, read_settings
from infra.tools.broker_in_use import parser_of

_TIMEOUT_SECONDS = 330


class ReplayFailed(Explained):
    """The function says why."""


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--queue", required=True, help="a queue of another service")
    parser.add_argument("--since", required=True, help="a time like 2026-11-02T18:10:16Z")
    parser.add_argument("--until", help="a time like --since; now unless given")
    parser.add_argument("--after", help="where an interrupted replay stopped")
    options = parser.parse_args()
    state = read_settings(data_folder=options.data_folder).running_cloud()
    if state is None:
        raise SettingsError("No local cloud is running here: start it with make run")
    request = {name: getattr(options, name) for name in ("queue", "since", "until", "after")}
    total = 0
    while True:
        answer = _invoke(state["invoke_url"], request)
        total += answer["sent"]
        if answer["after"] is None:
            print(f"{total} events sent to {options.queue}")
            return 0
        request |= {"until": answer["until"], "after": answer["after"]}
        print(f"{total} so far; UNTIL='{answer['until']}' AFTER='{answer['after']}'", flush=True)


def _invoke(invoke_url: str, request: dict[str, Any]) -> dict[str, Any]:
    call = urllib.request.Request(  # noqa: S310 - the local cloud's own URL
        f"{invoke_url}/2015-03-31/functions/replay/invocations", json.dumps(request).encode()
    )
    with urllib.request.urlopen(call, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310
        answer: dict[str, Any] = json.load(response)
        if "X-Amz-Function-Error" in response.headers:
            raise ReplayFailed(str(answer.get("errorMessage", answer)))
    return answer


if __name__ == "__main__":
    sys.exit(entry_point.run(main))
