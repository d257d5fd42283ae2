"""POST /image/upload_image: stores a file and asks for its processing."""

from __future__ import annotations

from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import File, Form, UploadFile

from image_api import settings, wiring
from image_api.core import images
from image_api.imaging import identify
from image_api.web import http

app = http.resolver(authenticated=True, check_size=images.check_upload_request_size)
records, storage, outbox = wiring.image_records(), wiring.storage(), wiring.outbox()


@app.post(
    "/image/upload_image",
    summary="Upload an image",
    description="JPEG, PNG, GIF, WebP, AVIF, TIFF, BMP, HEIC or HEIF, by what the bytes are. "
    "At most 4.5 MB and 50 megapixels.",
    tags=["Images"],
    responses=http.documented(images.UploadAccepted, 400, 401, 413, 415, 503),
)
def upload(
    image: Annotated[UploadFile, File(description="The picture")],
    title: Annotated[images.Title | None, Form(description="The file's name unless given")] = None,
    visibility: Annotated[settings.Visibility | None, Form()] = None,
) -> images.UploadAccepted:
    images.check_upload_size(len(image.content))
    header = identify(image.content)
    return images.upload(
        records,
        storage,
        outbox,
        user_id=http.user_id(app),
        data=image.content,
        measured=header,
        title=title or images.title_from_filename(image.filename, header.extension),
        visibility=visibility or settings.default_visibility(),
        correlation_id=http.correlation_id(app),
    )


lambda_handler = http.lambda_handler(app)
