"""GET /docs, /openapi.json and /health."""

from __future__ import annotations

import json
import re

import pytest

from image_api import __version__
from tests.application import FUNCTIONS
from tests.e2e.api_client import ApiClient


def test_the_documentation_is_a_page_that_needs_nothing_from_elsewhere(
    visitor: ApiClient,
) -> None:
    answer = visitor.get("/docs", headers={"Accept": "text/html"})

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "SwaggerUIBundle" in answer.text
    assert '<script src="http' not in answer.text
    assert "/image/upload_image" in answer.text


def test_the_gallery_is_a_page_for_whoever_comes(visitor: ApiClient) -> None:
    answer = visitor.get("/", headers={"Accept": "text/html"})

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    (script,) = re.findall(r'<script[^>]* src="([^"]+)"', answer.text)
    loaded = visitor.get(f"/{script.lstrip('./')}")
    assert loaded.status_code == 200
    assert "javascript" in loaded.headers["Content-Type"]
    assert visitor.get("/gallery/nothing.js").status_code == 404


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json"])
def test_a_page_takes_no_offence_at_what_others_add_to_its_address(
    visitor: ApiClient, path: str
) -> None:
    assert visitor.get(f"{path}?utm_source=letter&nonsense=%E4").status_code == 200


def test_the_document_served_is_the_committed_one_and_says_where_the_api_is(
    visitor: ApiClient,
) -> None:
    committed = json.loads((FUNCTIONS / "docs" / "openapi.json").read_bytes())

    served = visitor.get("/openapi.json").json()

    assert served == {**committed, "servers": [{"url": visitor.api_url}]}


def test_everything_is_up(visitor: ApiClient) -> None:
    assert visitor.healthy().json() == {
        "status": "ok",
        "database": "up",
        "broker": "up",
        "storage": "up",
        "version": __version__,
    }
