"""POST /image/upload_image: stores a file and asks for its processing."""

from __future__ import annotations

from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import File, Form, UploadFile

from image_api import settings, wiring
from image_api.core.library import fields, images, uploads
from image_api.web import http, problems

app = http.resolver(tokens=wiring.tokens(), check_size=uploads.check_upload_request_size)
records, storage, sink = wiring.image_records(), wiring.upload_store(), wiring.event_sink()


@app.post(
    "/image/upload_image",
    operation_id="uploadImage",
    summary="Upload an image",
    description="JPEG, PNG, GIF, WebP, AVIF, TIFF, BMP, HEIC or HEIF, by what the bytes are. "
    "At most 4.5 MB and 50 megapixels.",
    tags=["Images"],
    responses=problems.documented(
        uploads.UploadAccepted, 400, 401, 403, 409, 413, 415, 422, 429, 503
    ),
)
def upload(
    image: Annotated[UploadFile, File(description="The picture")],
    title: Annotated[fields.Title | None, Form(description="The file's name unless given")] = None,
    visibility: Annotated[images.Visibility | None, Form()] = None,
    description: Annotated[
        fields.Description | None, Form(description="At most 2,000 characters")
    ] = None,
    tags: Annotated[
        list[fields.Tag] | None,
        Form(
            max_length=fields.MAX_TAGS,
            description="The field again for each tag: at most 32, each of 1 to 64 characters",
        ),
    ] = None,
    key: http.IdempotencyKey = None,
) -> uploads.UploadAccepted:
    details = uploads.UploadDetails(
        filename=image.filename,
        title=title,
        visibility=visibility or settings.default_visibility(),
        description=description or "",
        tags=tags or [],
    )
    return uploads.upload(records, storage, sink, http.caller(app, key), image.content, details)


lambda_handler = http.lambda_handler(app)
