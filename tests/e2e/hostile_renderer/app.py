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

from image_api.core import renderer

_PRODUCT = Path(__file__).parents[3] / "functions" / "renderer" / "app.py"
_spec = importlib.util.spec_from_file_location("product_renderer", _PRODUCT)
assert _spec is not None
assert _spec.loader is not None
_product = importlib.util.module_from_spec(_spec)
sys.modules["product_renderer"] = _product
_spec.loader.exec_module(_product)

_one_by_one = vars(renderer)["one_by_one"]
_ordered: list[str] = []


def _one_by_one_as_ordered(original: bytes, **options: Any) -> Any:
    found = re.search(rb"hostile (\w+)", original)
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


def lambda_handler(event: dict[str, Any], context: Any) -> Any:
    answer = _product.lambda_handler(event, context)
    match _ordered[-1]:
        case "nonsense":
            return ["nonsense"]
        case "lie":
            answer["renditions"][0]["width"] += 1
        case "swap":
            # Somebody else's words in the place of a picture.
            form = event["form"]
            fields = {**form["fields"], **event["results"]["thumbnail.webp"]}
            _product.transfers.post(form["url"], fields, b"<html>")
    return answer
