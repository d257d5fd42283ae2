"""GET /image/tags: the tags of the images that a user may see."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler import Response

from image_api import wiring
from image_api.core.library import listing, tagging
from image_api.web import conditional, http, problems
from image_api.web import list_parameters as given

app = http.resolver(tokens=wiring.tokens())
records = wiring.tag_records()


@app.get(
    "/image/tags",
    operation_id="listTags",
    summary="List tags",
    description="The most used first, and how many images have each.",
    tags=["Images"],
    responses=problems.documented(
        *(list[tagging.TagView], 400, 401, 503),
        headers={**conditional.HEADERS, "Link": given.HEADERS["Link"]},
    ),
)
def get_tags(
    limit: given.Limit = listing.PAGE_DEFAULT,
    cursor: given.Cursor = None,
    owner: given.Owner = None,
    if_none_match: conditional.IfNoneMatch = None,
) -> Response[Any]:
    page = tagging.tag_page(records, http.caller(app).user_id, owner, limit, cursor)
    headers = {"Link": http.link_to_next(app, page.next_cursor)} if page.next_cursor else {}
    return conditional.answer(page.tags, headers, if_none_match=if_none_match)


lambda_handler = http.lambda_handler(app)
