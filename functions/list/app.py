"""GET /image/get_all_images: lists the images a user may see."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Query

from image_api import wiring
from image_api.core import images
from image_api.web import conditional, http, problems

app = http.resolver(tokens=wiring.tokens())
records, links = wiring.image_records(), wiring.image_links()


@app.get(
    "/image/get_all_images",
    operation_id="listImages",
    summary="List images",
    description="Newest first. X-Total-Count: how many in all; Link: where the next page is.",
    tags=["Images"],
    responses=problems.documented(
        list[images.ImageView],
        *(400, 401, 503),
        headers={
            **conditional.HEADERS,
            "Link": "Where the next page is, if there is one",
            "X-Total-Count": "How many there are in all",
            "X-Total-Count-Relation": "`at-least` where counting stopped, at 10,000",
        },
    ),
)
def get_all_images(
    limit: Annotated[
        int, Query(ge=1, le=images.PAGE_MAX, description="How many at a time")
    ] = images.PAGE_DEFAULT,
    cursor: Annotated[str | None, Query(description="From the Link of the page before")] = None,
    owner: Annotated[Literal["me"] | None, Query(description="Only your own images")] = None,
    status: Annotated[images.Status | None, Query(description="Only these")] = None,
    title: Annotated[images.TitlePart | None, Query(description="A part, in any case")] = None,
    if_none_match: conditional.IfNoneMatch = None,
) -> Response[Any]:
    before_id = images.decode_cursor(cursor) if cursor else None
    query = images.ListQuery(limit, before_id, owner == "me", status, title)
    page = images.list_page(records, links(http.base_url(app)), http.caller(app).user_id, query)
    headers = {"X-Total-Count": str(page.total)}
    if not page.is_total_exact:
        headers["X-Total-Count-Relation"] = "at-least"
    if page.next_cursor is not None:
        headers["Link"] = http.link_to_next(app, page.next_cursor)
    return conditional.answer(page.images, headers, if_none_match=if_none_match)


lambda_handler = http.lambda_handler(app)
