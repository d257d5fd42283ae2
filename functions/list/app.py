"""GET /image/get_all_images: lists the images a user may see."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler import Response

from image_api import wiring
from image_api.core.library import images, listing
from image_api.web import conditional, http, problems
from image_api.web import list_parameters as given

app = http.resolver(tokens=wiring.tokens())
records, links = wiring.image_records(), wiring.image_links()


@app.get(
    "/image/get_all_images",
    operation_id="listImages",
    summary="List images",
    description="Newest first, unless `sort` says otherwise; all filters must fit. Where no index "
    "serves the filters together, a page may be shorter than `limit` and still have a Link.",
    tags=["Images"],
    responses=problems.documented(
        list[images.ImageView], 400, 401, 503, headers={**conditional.HEADERS, **given.HEADERS}
    ),
)
def get_all_images(
    limit: given.Limit = listing.PAGE_DEFAULT,
    cursor: given.Cursor = None,
    sort: given.Sort = "-created_at",
    owner: given.Owner = None,
    ids: given.Ids = None,
    status: given.Status = None,
    title: given.Title = None,
    q: given.Words = None,
    tag: given.Tag = None,
    visibility: given.Visibility = None,
    content_type: given.ContentType = None,
    created_after: given.CreatedAfter = None,
    created_before: given.CreatedBefore = None,
    trashed: given.Trashed = None,
    if_none_match: conditional.IfNoneMatch = None,
) -> Response[Any]:
    user_id = http.caller(app).user_id
    sent = listing.SentFilters(
        *(owner, ids, status, title, q, tag, visibility, content_type, created_after),
        *(created_before, trashed == "true"),
    )
    filters = listing.filters_of(user_id, sent, sort)
    query = listing.query_of(filters, sort, limit, cursor)
    page = listing.list_page(records, links(http.base_url(app)), user_id, query)
    return conditional.answer(
        page.images, http.page_headers(app, page), if_none_match=if_none_match
    )


lambda_handler = http.lambda_handler(app)
