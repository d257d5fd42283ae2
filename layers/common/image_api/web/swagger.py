"""The OpenAPI document of the whole API, and Swagger UI over it."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import aws_lambda_powertools.event_handler.openapi.swagger_ui as swagger_ui
from aws_lambda_powertools.event_handler import Response

_ASSETS = Path(swagger_ui.__file__).parent
_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def load(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_bytes())
    return document


def located(document: dict[str, Any], base_url: str) -> dict[str, Any]:
    """The document with the address at which this API was asked for it."""
    return {**document, "servers": [{"url": base_url}]}


def swagger_page(document: dict[str, Any], base_url: str) -> Response[str]:
    # The document stands inside a script: "</script>" in a text must not end it.
    specification = json.dumps(located(document, base_url)).replace("</", "<\\/")
    page = swagger_ui.generate_swagger_html(
        specification,
        (_ASSETS / "swagger-ui-bundle.min.js").read_text(encoding="utf-8"),
        (_ASSETS / "swagger-ui.min.css").read_text(encoding="utf-8"),
        "",
        None,
        persist_authorization=True,
    )
    return Response(
        200, "text/html; charset=utf-8", page, {"Content-Security-Policy": _policy(page)}
    )


def _policy(page: str) -> str:
    """Lets the page's own scripts run and nothing else: each is named by its hash."""
    hashes = " ".join(
        "'sha256-" + b64encode(sha256(script.encode()).digest()).decode() + "'"
        for script in _INLINE_SCRIPT.findall(page)
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
        "form-action 'none'"
    )
