"""GET /: the gallery, a page for people, and the files that it is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aws_lambda_powertools.event_handler import Response

from image_api import wiring
from image_api.web import http
from image_api.web.gallery import Gallery

app = http.resolver(serves_pages=True)
gallery = Gallery(Path(__file__).with_name("page"), wiring.storage_origins())


@app.get(
    "/",
    operation_id="getGallery",
    summary="The gallery",
    description="A page for people: drag pictures in, find them again, share them.",
    tags=["Operations"],
    responses={
        200: {
            "description": "The page",
            "content": {"text/html": {"schema": {"type": "string"}}},
        }
    },
)
def index() -> Response[Any]:
    return gallery.index(f"{http.base_path(app)}/")


@app.get("/gallery/<name>", operation_id="getGalleryFile", include_in_schema=False)
def file(name: str) -> Response[Any]:
    return gallery.file(name)


lambda_handler = http.lambda_handler(app)
