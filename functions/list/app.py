"""GET /image/get_all_images: lists the images a user may see."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Query

from image_api import wiring
from image_api.core import images
from image_api.web import http, problems

app = http.resolver(tokens=wiring.tokens())
records, url_signer = wiring.image_records(), wiring.url_signer()


@app.get(
    "/image/get_all_images",
    operation_id="listImages",
    summary="List images",
    description="Newest first. X-Total-Count says how many there are in all, Link where the next "
    "page is.",
    tags=["Images"],
    responses=problems.documented(
        list[images.ImageView],
        *(400, 401, 503),
        headers={
            "Link": "Where the next page is, if there is one",
            "X-Total-Count": "How many there are in all",
            "X-Total-Count-Relation": "`at-least` where counting stopped, at 10,000",
        },
    ),
)
def get_all_images(
    limit: Annotated[int, Query(ge=1, le=images.PAGE_MAX)] = images.PAGE_DEFAULT,
    cursor: Annotated[str | None, Query(description="From the Link of the page before")] = None,
    owner: Annotated[Literal["me"] | None, Query(description="Only your own images")] = None,
    status: Annotated[images.Status | None, Query()] = None,
    title: Annotated[
        images.TitlePart | None, Query(description="Part of the title, regardless of case")
    ] = None,
) -> Response[Any]:
    query = images.ListQuery(
        limit=limit,
        before_id=images.decode_cursor(cursor) if cursor else None,
        mine_only=owner == "me",
        status=status,
        title=title,
    )
    page = images.list_page(records, url_signer, http.caller(app).user_id, query)
    headers = {"X-Total-Count": str(page.total)}
    if not page.is_total_exact:
        headers["X-Total-Count-Relation"] = "at-least"
    if page.next_cursor is not None:
        headers["Link"] = http.link_to_next(app, page.next_cursor)
    return http.json_response(page.images, headers)


lambda_handler = http.lambda_handler(app)
