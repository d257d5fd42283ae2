"""What the command line prints: tables and lines for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from image_api_client.models import Image

# Results go to standard output, all else to standard error: what is piped on holds no remarks.
results = Console(highlight=False, soft_wrap=True)
remarks = Console(stderr=True, highlight=False, soft_wrap=True)

_UNITS = ("B", "kB", "MB", "GB", "TB")


def print_json(value: Any) -> None:
    """One document; of a list, one line an element, so that it can be read as it comes."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_images(images: Iterable[Image], *, as_json: bool) -> int:
    """How many there were."""
    if as_json:
        count = 0
        for image in images:
            print_json(image)
            count += 1
        return count
    table = Table(box=None, pad_edge=False)
    for name, justify in (("id", "right"), ("title", "left"), ("size", "right")):
        table.add_column(name, justify="right" if justify == "right" else "left")
    for name in ("pixels", "visibility", "status", "created", "tags"):
        table.add_column(name)
    for image in images:
        table.add_row(
            str(image.id),
            escape(image.title),
            readable_bytes(image.size),
            image.resolution,
            image.visibility,
            image.status,
            f"{image.created_at.astimezone():%Y-%m-%d %H:%M}",
            escape(", ".join(image.tags)),
        )
    if table.row_count:
        results.print(table)
    return table.row_count


def print_fields(rows: Sequence[tuple[str, object]]) -> None:
    """Each on a line of its own, whole: a URL is of no use without its end."""
    given = [(name, value) for name, value in rows if value not in (None, "", ())]
    width = max(len(name) for name, _ in given)
    for name, value in given:
        results.print(f"{name:{width}}  {escape(str(value))}")


def readable_bytes(size: float) -> str:
    for unit in _UNITS:
        if size < 1000 or unit == _UNITS[-1]:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError("the last unit takes any size")
