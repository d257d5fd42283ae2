"""What the OpenAPI document says there is, for tests of all of it."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.variables import ROOT

DOCUMENT: dict[str, Any] = json.loads((ROOT / "functions" / "docs" / "openapi.json").read_bytes())
# By method and path, as the document has them.
OPERATIONS: dict[tuple[str, str], dict[str, Any]] = {
    (method.upper(), path): operation
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
}
# For people, who come with whatever another page has added to the address, and what these load.
PAGES = {"/", "/docs", "/openapi.json", "/gallery/{name}"}


def filled(path: str, image_id: int = 1) -> str:
    """With an id in the place of each parameter."""
    path = path.replace("{upload_id}", f"{image_id:032x}")
    return re.sub(r"\{\w+\}", str(image_id), path)


def taking(content_type: str) -> list[tuple[str, str]]:
    """The operations whose body may be of this type."""
    return [
        route
        for route, operation in OPERATIONS.items()
        if content_type in operation.get("requestBody", {}).get("content", {})
    ]
