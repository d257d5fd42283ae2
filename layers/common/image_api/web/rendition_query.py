"""What a request for a rendition says in its query."""

from __future__ import annotations

from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Query

from image_api.core.renditions import on_demand

Width = Annotated[
    int,
    Query(
        ge=1,
        le=on_demand.WIDTHS[-1],
        description=f"In pixels, rounded up to {', '.join(map(str, on_demand.WIDTHS))}; "
        "never larger than the picture",
    ),
]
Ratio = Annotated[on_demand.Ratio | None, Query(description="Cut to it, from the middle")]
Choice = Annotated[
    on_demand.Choice,
    Query(alias="format", description="`auto`: the best that the Accept header names"),
]
Download = Annotated[bool, Query(description="To be saved under the image's title, and not shown")]
Token = Annotated[
    str | None,
    Query(max_length=100, description="From `rendition_url`, in place of signing in"),
]
HEADERS = {
    "Cache-Control": "For how long the answer may be kept: of a public image's link by anybody",
    "Vary": "By which headers of a request the answer differs",
}
"""For `problems.redirected`."""
