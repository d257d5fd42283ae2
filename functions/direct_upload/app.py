"""POST /image/direct_upload and /image/direct_upload/{upload_id}: files too large for the API."""

from __future__ import annotations

from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Body, Path

from image_api import settings, wiring
from image_api.core import images
from image_api.imaging import identify
from image_api.web import http

app = http.resolver(authenticated=True)
records, storage, outbox = wiring.image_records(), wiring.storage(), wiring.outbox()


@app.post(
    "/image/direct_upload",
    summary="Begin a direct upload",
    description="For files over 4.5 MB: send the file to the returned URL as a multipart form, "
    "the returned fields first and the file as `file`. Then complete the upload.",
    tags=["Images"],
    responses=http.documented(images.DirectUploadOffer, 401, 503),
)
def begin() -> images.DirectUploadOffer:
    return images.offer_direct_upload(records, storage, user_id=http.user_id(app))


@app.post(
    "/image/direct_upload/<upload_id>",
    summary="Complete a direct upload",
    description="Once the file was sent: it becomes an image, as with the other upload.",
    tags=["Images"],
    responses=http.documented(images.UploadAccepted, 400, 401, 404, 413, 415, 503),
)
def complete(
    upload_id: Annotated[str, Path(pattern="^[0-9a-f]{32}$")],
    details: Annotated[images.DirectUploadDetails, Body()],
) -> images.UploadAccepted:
    return images.complete_direct_upload(
        records,
        storage,
        outbox,
        user_id=http.user_id(app),
        upload_id=upload_id,
        measure=identify,
        details=details,
        default_visibility=settings.default_visibility(),
        correlation_id=http.correlation_id(app),
    )


lambda_handler = http.lambda_handler(app)
