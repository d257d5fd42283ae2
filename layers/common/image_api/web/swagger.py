"""The OpenAPI document of the whole API, and Swagger UI over it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import aws_lambda_powertools.event_handler.openapi.swagger_ui as swagger_ui
from aws_lambda_powertools.event_handler import Response

from image_api.web.content_security import own_scripts

_ASSETS = Path(swagger_ui.__file__).parent
_DOCUMENT = "openapi"
# A frame with a hill and a sun. Without one, browsers ask for /favicon.ico.
_ICON = (
    '<link rel="icon" href="data:image/svg+xml,'
    "%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Crect width='16' height='16' rx='3' fill='%23357'/%3E"
    "%3Cpath d='M2 13 7 6l3 4 2-2 2 5z' fill='%23fff'/%3E"
    "%3Ccircle cx='11.5' cy='4.5' r='1.5' fill='%23fd5'/%3E%3C/svg%3E\">"
)


def load(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_bytes())
    return document


def located(document: dict[str, Any], base_url: str) -> dict[str, Any]:
    """The document with the address at which this API was asked for it."""
    return {**document, "servers": [{"url": base_url}]}


def swagger_page(document: dict[str, Any], base_url: str) -> Response[str]:
    before, after, policy = _page_around_document()
    # In JSON a "<" stands in texts alone, where it may be escaped: none can end or begin a script.
    specification = json.dumps(located(document, base_url)).replace("<", "\\u003c")
    return Response(
        200,
        "text/html; charset=utf-8",
        before + specification + after,
        {"Content-Security-Policy": policy},
    )


@cache
def _page_around_document() -> tuple[str, str, str]:
    """What comes before and after the document, and the page's policy, which owes nothing to it."""
    page = swagger_ui.generate_swagger_html(
        f'JSON.parse(document.getElementById("{_DOCUMENT}").textContent)',
        (_ASSETS / "swagger-ui-bundle.min.js").read_text(encoding="utf-8"),
        (_ASSETS / "swagger-ui.min.css").read_text(encoding="utf-8"),
        "",
        None,
        persist_authorization=True,
    )
    policy = _policy(page)
    head, body, rest = page.replace("</title>", f"</title>{_ICON}", 1).partition("<body>")
    opening = f'<script type="application/json" id="{_DOCUMENT}">'
    return head + body + opening, "</script>" + rest, policy


def _policy(page: str) -> str:
    """Lets the page's own scripts run and nothing else: each is named by its hash."""
    return (
        f"default-src 'none'; script-src {own_scripts(page)}; style-src 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
        "form-action 'none'"
    )
