"""DELETE /image/delete/{image_id}: hides an image and asks for its removal."""

from __future__ import annotations

from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Path

from image_api import wiring
from image_api.core import images
from image_api.web import http

app = http.resolver(authenticated=True)
records, outbox = wiring.image_records(), wiring.outbox()


@app.delete(
    "/image/delete/<image_id>",
    summary="Delete an image",
    description="It is gone from every list at once; its files follow.",
    tags=["Images"],
    responses=http.documented(images.Accepted, 401, 404, 503),
)
def delete(image_id: Annotated[int, Path(ge=1, le=2**63 - 1)]) -> images.Accepted:
    return images.delete(
        records,
        outbox,
        user_id=http.user_id(app),
        image_id=image_id,
        correlation_id=http.correlation_id(app),
    )


lambda_handler = http.lambda_handler(app)
