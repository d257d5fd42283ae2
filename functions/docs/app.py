"""GET /docs and /openapi.json."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Query

from image_api.web import http, problems, swagger

app = http.resolver(serves_pages=True)
document = swagger.load(Path(__file__).with_name("openapi.json"))


page = problems.documented(dict[str, Any], 400)
page[200]["content"]["text/html"] = {"schema": {"type": "string"}}


@app.get(
    "/docs",
    operation_id="getDocumentation",
    summary="Swagger UI",
    description="This document as a page that sends requests.",
    tags=["Operations"],
    responses=page,
)
def docs(
    form: Annotated[
        Literal["json"] | None,
        Query(alias="format", description="The page's own link to the document"),
    ] = None,
) -> Response[Any]:
    if form == "json":
        return openapi()
    return swagger.swagger_page(document, http.base_url(app))


@app.get(
    "/openapi.json",
    operation_id="getOpenApiDocument",
    summary="The OpenAPI document of the whole API",
    description="For generators of clients.",
    tags=["Operations"],
    responses=problems.documented(dict[str, Any]),
)
def openapi() -> Response[Any]:
    return http.json_response(swagger.located(document, http.base_url(app)))


lambda_handler = http.lambda_handler(app)
