"""A process as Lambda's is with SnapStart: loads a function, is kept as it is, and goes on twice.

`python kept_function.py`, in the function's folder. For a line of input each a copy says, in JSON,
what it would sign, connect and draw with.
"""

from __future__ import annotations

import json
import os
import random
import sys
from typing import Any

import app  # type: ignore[import-not-found]
import snapshot_restore_py as hooks

from image_api import settings, wiring
from image_api.core.renditions.links import LinkFacts


def state() -> dict[str, Any]:
    return {
        "database": wiring.database()._url,
        "broker": wiring.broker()._settings.url,
        "token": wiring.token_signer().issue(1),
        "link": wiring.link_signer().token(1, LinkFacts(1, None)),
        "url": wiring.url_signer().signed("a.png"),
        "drawn": random.random(),
        "has_connection": bool(settings._secrets_manager.cache_info().currsize),
    }


def say(found: dict[str, Any]) -> None:
    print(json.dumps(found), flush=True)


assert app.lambda_handler
# So that it remembers what it has signed, and with what.
say(state())
for hook in hooks.before:
    hook()
say({"has_connection": bool(settings._secrets_manager.cache_info().currsize)})
numbers = random.getstate()
for _ in sys.stdin:
    if os.fork() == 0:
        # A process that forks begins with other numbers of itself; a snapshot does not.
        random.setstate(numbers)
        for hook in hooks.after:
            hook()
        say(state())
        os._exit(0)
    os.wait()
