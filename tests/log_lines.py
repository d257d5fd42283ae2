"""What the application logs, as the lines that an operator sees."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

from image_api.observability import logger


@contextmanager
def log_lines() -> Iterator[list[dict[str, Any]]]:
    """Filled when the block ends."""
    stream = StringIO()
    handler = logger.registered_handler
    before = handler.setStream(stream)  # type: ignore[attr-defined]
    lines: list[dict[str, Any]] = []
    try:
        yield lines
    finally:
        handler.setStream(before)  # type: ignore[attr-defined]
        lines += [json.loads(line) for line in stream.getvalue().splitlines()]
