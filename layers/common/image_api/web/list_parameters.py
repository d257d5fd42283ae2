"""What the query of a list may hold."""

from __future__ import annotations

from typing import Annotated, Literal

from aws_lambda_powertools.event_handler.openapi.params import Query

from image_api.core.library import fields, images, listing

Limit = Annotated[int, Query(ge=1, le=listing.PAGE_MAX, description="How many at a time")]
Cursor = Annotated[
    str | None,
    Query(description="From the Link of the page before, which had the same sort and filters"),
]
Sort = Annotated[
    listing.Sort,
    Query(
        description="With a minus: the last, or largest, first. `-taken_at`: your own alone, by "
        "the camera's clock; images without such a time come last"
    ),
]
Owner = Annotated[listing.Owner | None, Query(description="`me`, or the id of a user")]
Ids = Annotated[listing.Ids | None, Query(description="Up to 100, with commas between them")]
Status = Annotated[images.Status | None, Query(description="Only these")]
Title = Annotated[
    fields.TitlePart | None, Query(description="Part of the title, regardless of case")
]
Words = Annotated[
    listing.Words | None,
    Query(description="Words of title, description and tags, regardless of case: all, and whole"),
]
Tag = Annotated[
    list[str] | None,
    Query(
        max_length=fields.MAX_TAGS,
        description="A tag, regardless of case; again for each further one: all must be there",
    ),
]
Visibility = Annotated[images.Visibility | None, Query(description="Only these")]
ContentType = Annotated[
    listing.ContentType | None, Query(description="As images have it, such as image/png")
]
CreatedAfter = Annotated[
    listing.Moment | None,
    Query(description="A time with its zone (RFC 3339), or a date, whose beginning counts, in UTC"),
]
CreatedBefore = Annotated[listing.Moment | None, Query(description="As created_after")]
Trashed = Annotated[
    Literal["true", "false"] | None, Query(description="true: only what is in your own trash")
]
HEADERS = {
    "Link": "Where the next page is, if there may be one",
    "X-Total-Count": "How many there are in all",
    "X-Total-Count-Relation": "`at-least` where counting ended before, at 10,000 at the latest",
}
