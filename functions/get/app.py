"""GET /image/{image_id}, its history and its original: shows one image, and its past."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler import Response

from image_api import settings, wiring
from image_api.core.library import history, images, long_polling
from image_api.core.renditions import downloads
from image_api.web import conditional, http, problems

app = http.resolver(tokens=wiring.tokens())
records, past, places = wiring.image_records(), wiring.history(), wiring.waiting_places()
links, originals = wiring.image_links(), wiring.original_signer()


@app.get(
    "/image/<image_id>",
    operation_id="getImage",
    summary="Show one image",
    description="Of an image that is `processing` again, the last good version.",
    tags=["Images"],
    responses=problems.documented(images.ImageView, 401, 404, 503, headers=conditional.HEADERS),
)
def get(
    image_id: http.ImageId, wait: http.Wait = None, known: conditional.IfNoneMatch = None
) -> Response[Any]:
    app.waits, signer = wait is not None, links(http.base_url(app))
    image = long_polling.get_image(records, places, signer, http.user_id(app), image_id, wait)
    return conditional.answer(image, if_none_match=known, version=image["version"])


@app.get(
    "/image/<image_id>/history",
    operation_id="getImageHistory",
    summary="Show an image's history",
    description="To its owner: the changes of the last 90 days, newest first, 1,000 at most.",
    tags=["Images"],
    responses=problems.documented(list[history.ChangeView], 401, 404, 503),
)
def get_history(image_id: http.ImageId) -> Response[Any]:
    kept_days = settings.changes_kept_days()
    return http.json_response(history.of_image(past, http.user_id(app), image_id, kept_days))


@app.get(
    "/image/<image_id>/original",
    operation_id="getImageOriginal",
    summary="Download the original",
    description="To its owner: the file as it was uploaded, for five minutes under this URL.",
    tags=["Images"],
    responses=problems.redirected("Where the file is", 401, 404, 503),
)
def get_original(image_id: http.ImageId) -> Response[Any]:
    return http.redirect(downloads.original_url(records, originals, http.user_id(app), image_id))


lambda_handler = http.lambda_handler(app)
