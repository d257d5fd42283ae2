"""The consumer, for which a renderer has ended after twenty seconds instead of ninety.

Only a template of the tests names this folder, with the renderer's time-out to match.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from image_api.core.consumer import processing
from image_api.core.renditions import render_requests

SECONDS = 20
for _module in (processing, render_requests):
    setattr(_module, "RENDERER_TIMEOUT_SECONDS", SECONDS)  # noqa: B010 - a constant to mypy

_PRODUCT = Path(__file__).parents[3] / "functions" / "consumer" / "app.py"
_spec = importlib.util.spec_from_file_location("product_consumer", _PRODUCT)
assert _spec is not None
assert _spec.loader is not None
_product = importlib.util.module_from_spec(_spec)
sys.modules["product_consumer"] = _product
_spec.loader.exec_module(_product)

lambda_handler = _product.lambda_handler
