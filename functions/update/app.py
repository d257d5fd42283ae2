"""PUT /image/update/{image_id}: asks for a change of an image."""

from __future__ import annotations

from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Body, Path

from image_api import wiring
from image_api.core import images
from image_api.web import http

app = http.resolver(authenticated=True)
records, outbox = wiring.image_records(), wiring.outbox()


@app.put(
    "/image/update/<image_id>",
    summary="Change an image",
    description="Title and visibility, or a new resolution, rendered from the untouched original. "
    "The last good version stays readable meanwhile.",
    tags=["Images"],
    responses=http.documented(images.Accepted, 400, 401, 404, 413, 503),
)
def update(
    image_id: Annotated[int, Path(ge=1, le=2**63 - 1)],
    changes: Annotated[images.Changes, Body()],
) -> images.Accepted:
    return images.update(
        records,
        outbox,
        user_id=http.user_id(app),
        image_id=image_id,
        changes=changes,
        correlation_id=http.correlation_id(app),
    )


lambda_handler = http.lambda_handler(app)
