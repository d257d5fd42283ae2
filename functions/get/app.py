"""GET /image/{image_id}: shows one image."""

from __future__ import annotations

from typing import Annotated, Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Path

from image_api import wiring
from image_api.core import images
from image_api.web import http, problems

app = http.resolver(tokens=wiring.tokens())
records, url_signer = wiring.image_records(), wiring.url_signer()


@app.get(
    "/image/<image_id>",
    summary="Show one image",
    tags=["Images"],
    responses=problems.documented(images.ImageView, 401, 404, 503),
)
def get(image_id: Annotated[int, Path(ge=1, le=2**63 - 1)]) -> Response[Any]:
    return http.json_response(images.get(records, url_signer, http.caller(app).user_id, image_id))


lambda_handler = http.lambda_handler(app)
