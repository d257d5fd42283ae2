"""GET /: the gallery, a page for people, and the files that it is made of."""

from __future__ import annotations

import pathlib
from typing import Annotated, Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Path

from image_api import settings, wiring
from image_api.web import http, problems
from image_api.web.gallery_files import Gallery

app = http.resolver(serves_pages=True)
page = pathlib.Path(__file__).with_name("page")
gallery = Gallery(
    page, wiring.storage_origins(), settings.default_visibility(), settings.trash_days()
)


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


@app.get(
    "/gallery/<name>",
    operation_id="getGalleryFile",
    summary="A file of the gallery",
    description="What the page at `/` is made of, under names that change with what they hold.",
    tags=["Operations"],
    responses={
        200: {
            "description": "The file",
            "content": {
                content_type: {"schema": {"type": "string"}}
                for content_type in ("text/javascript", "text/css")
            },
        },
        **problems.documented_errors(404),
    },
)
def file(name: Annotated[str, Path(description="As the page names it")]) -> Response[Any]:
    return gallery.file(name)


lambda_handler = http.lambda_handler(app)
