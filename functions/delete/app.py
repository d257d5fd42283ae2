"""DELETE /image/delete/{image_id}: hides an image and asks for its removal."""

from __future__ import annotations

from image_api import wiring
from image_api.core.library import editing, images
from image_api.web import conditional, http, problems

app = http.resolver(tokens=wiring.tokens())
records, sink = wiring.image_records(), wiring.event_sink()


@app.delete(
    "/image/delete/<image_id>",
    operation_id="deleteImage",
    summary="Delete an image",
    description="It is gone from every list at once; its files follow.",
    tags=["Images"],
    responses=problems.documented(images.Accepted, 400, 401, 404, 409, 412, 422, 503),
)
def delete(
    image_id: http.ImageId,
    key: http.IdempotencyKey = None,
    if_match: conditional.IfMatch = None,
) -> images.Accepted:
    return editing.delete(
        records,
        sink,
        http.caller(app, key),
        image_id,
        conditional.versions_of(if_match),
    )


lambda_handler = http.lambda_handler(app)
