"""POST /image/direct_upload and /image/direct_upload/{upload_id}: files too large for the API."""

from __future__ import annotations

from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Body

from image_api import settings, wiring
from image_api.core.library import uploads
from image_api.web import http, problems

app = http.resolver(tokens=wiring.tokens())
NOTHING_SAID = uploads.DirectUploadDetails()
records, storage, sink = wiring.image_records(), wiring.storage(), wiring.event_sink()


@app.post(
    "/image/direct_upload",
    operation_id="beginDirectUpload",
    summary="Begin a direct upload",
    description="For files over 4.5 MB: send the file to the returned URL as a multipart form, "
    "the returned fields first and the file as `file`. Then complete the upload.",
    tags=["Images"],
    responses=problems.documented(uploads.DirectUploadOffer, 401, 403, 429, 503),
)
def begin() -> uploads.DirectUploadOffer:
    return uploads.offer_direct_upload(records, storage, http.caller(app).user_id)


@app.post(
    "/image/direct_upload/<upload_id>",
    operation_id="completeDirectUpload",
    summary="Complete a direct upload",
    description="Once the file was sent: it becomes an image, as with the other upload.",
    tags=["Images"],
    responses=problems.documented(
        uploads.UploadAccepted, 400, 401, 403, 404, 409, 413, 415, 422, 429, 503
    ),
)
def complete(
    upload_id: http.UploadId,
    sent: Annotated[uploads.DirectUploadDetails, Body()] = NOTHING_SAID,
    key: http.IdempotencyKey = None,
) -> uploads.UploadAccepted:
    details = uploads.UploadDetails(
        filename=sent.filename,
        title=sent.title,
        visibility=sent.visibility or settings.default_visibility(),
        description=sent.description or "",
        tags=sent.tags or [],
    )
    return uploads.complete_direct_upload(
        records, storage, sink, http.caller(app, key), upload_id, details
    )


lambda_handler = http.lambda_handler(app)
