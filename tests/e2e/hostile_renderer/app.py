"""The renderer, taken over by what it decodes: a picture says what happens to it.

Only a template of the tests names this folder.
"""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

from image_api.core.renditions import renderer

_PRODUCT = Path(__file__).parents[3] / "functions" / "renderer" / "app.py"
_spec = importlib.util.spec_from_file_location("product_renderer", _PRODUCT)
assert _spec is not None
assert _spec.loader is not None
_product = importlib.util.module_from_spec(_spec)
sys.modules["product_renderer"] = _product
_spec.loader.exec_module(_product)

_one_by_one, _report = vars(renderer)["one_by_one"], vars(renderer)["_report"]
_ordered: list[str] = []


def _one_by_one_as_ordered(original: bytes, **options: Any) -> Any:
    found = re.search(rb"hostile (\w+);", original)
    order = found[1].decode() if found else "none"
    _ordered.append(order)
    match order:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang":
            time.sleep(3600)
        case "spin":
            while True:
                pass
        case "eat":
            eaten = []
            while True:
                eaten.append(bytearray(64 << 20))
    return _one_by_one(original, **options)


vars(renderer)["one_by_one"] = _one_by_one_as_ordered


def _report_as_ordered(task: dict[str, Any], transfers: Any) -> Any:
    """Told or, to a consumer that has gone on, stored: it is the same."""
    report = _report(task, transfers)
    if _ordered[-1].startswith("late_"):
        task["report_after"] = 0
    match _ordered[-1].removeprefix("late_"):
        case "nonsense":
            return ["nonsense"]
        case "lie":
            report["renditions"][0]["width"] += 1
        case "swap":
            # Somebody else's words in the place of a picture.
            form = task["form"]
            fields = {**form["fields"], **task["results"]["thumbnail.webp"]}
            transfers.post(form["url"], fields, b"<html>")
    return report


vars(renderer)["_report"] = _report_as_ordered


def lambda_handler(event: dict[str, Any], context: Any) -> Any:
    answer = _product.lambda_handler(event, context)
    if _ordered[-1].startswith("late_"):
        # What it has stored is all that the consumer gets.
        time.sleep(3600)
    return answer
