"""What is refused, as a page: for whoever opens a link to a picture in a browser."""

from __future__ import annotations

import json
from typing import Any

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{detail}</title>
<h1>{detail}</h1>
</html>
"""


def is_preferred(accept: str | None) -> bool:
    """Browsers name it first where they open a page, and not at all where they show an image."""
    return (accept or "").lstrip().lower().startswith("text/html")


def of_problem(response: dict[str, Any]) -> dict[str, Any]:
    """The same answer, its words in a page."""
    # Imported here: it brings a table of all entities, and pages are rare.
    from html import escape

    page = _PAGE.format(detail=escape(json.loads(response["body"])["detail"]))
    headers = {**response["multiValueHeaders"], "Content-Type": ["text/html; charset=utf-8"]}
    return {**response, "body": page, "multiValueHeaders": headers}
