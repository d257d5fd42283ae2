"""PUT /image/update/{image_id}: asks for a change of an image."""

from __future__ import annotations

from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Body

from image_api import wiring
from image_api.core.library import editing, images
from image_api.web import conditional, http, problems

app = http.resolver(tokens=wiring.tokens())
records, sink = wiring.image_records(), wiring.event_sink()


@app.put(
    "/image/update/<image_id>",
    operation_id="updateImage",
    summary="Change an image",
    description="Title, description, tags and visibility, a new resolution, rendered from the "
    "untouched original, or into the trash and back. The last good version stays readable "
    "meanwhile.",
    tags=["Images"],
    responses=problems.documented(
        images.UpdateAccepted, 400, 401, 403, 404, 409, 412, 413, 422, 429, 503
    ),
)
def update(
    image_id: http.ImageId,
    changes: Annotated[images.Changes, Body()],
    key: http.IdempotencyKey = None,
    if_match: conditional.IfMatch = None,
) -> images.UpdateAccepted:
    return editing.update(
        records,
        sink,
        http.caller(app, key),
        image_id,
        changes,
        conditional.versions_of(if_match),
    )


lambda_handler = http.lambda_handler(app)
