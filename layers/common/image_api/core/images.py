"""The image, and what a signed-in user can do with images."""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol
from uuid import uuid4

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from image_api.core.events import Event
from image_api.errors import (
    FileTooLarge,
    ImageNotFound,
    InvalidImage,
    InvalidRequest,
    ServiceUnavailable,
    Unauthenticated,
    UploadNotFound,
)
from image_api.settings import Visibility

Status = Literal["processing", "ready", "failed"]
Fit = Literal["cover", "contain", "stretch"]

TITLE_MAX_CHARACTERS = 255
PAGE_DEFAULT = 100
PAGE_MAX = 100
MAX_SIDE_PIXELS = 10_000
MAX_RENDERED_PIXELS = 50_000_000
# What Lambda's 6 MB leave after base64 and the rest of the event.
MAX_UPLOAD_BYTES = 4_500_000
_FORM_OVERHEAD_BYTES = 16 * 1024
# What the direct upload takes, which the consumer can still hold in memory.
MAX_DIRECT_UPLOAD_BYTES = 50_000_000
DIRECT_UPLOAD_TTL_SECONDS = 15 * 60

_RESOLUTION = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", re.ASCII)
_RESOLUTION_AS_SENT = r"^\s*[1-9][0-9]{0,4}[xX][1-9][0-9]{0,4}\s*$"


def parse_resolution(value: str) -> tuple[int, int]:
    """(width, height) in pixels of a `WxH`; raises ValueError in words."""
    match = _RESOLUTION.fullmatch(value.strip().lower())
    if match is None:
        raise ValueError("The resolution must look like 1920x1080")
    width, height = int(match[1]), int(match[2])
    if max(width, height) > MAX_SIDE_PIXELS or width * height > MAX_RENDERED_PIXELS:
        raise ValueError("The resolution is too large: 10000 pixels a side, 50 megapixels in all")
    return width, height


def checked_title(value: str) -> str:
    """The title without any folders before it."""
    title = _base_name(value)
    if not title:
        raise ValueError("The title is empty; it needs 1 to 255 characters")
    if len(title) > TITLE_MAX_CHARACTERS:
        raise ValueError(f"The title has {len(title)} characters; at most 255 are allowed")
    if any(_is_control(character) for character in title):
        raise ValueError("The title contains a control character")
    return title


def title_from_filename(filename: str | None, extension: str) -> str:
    """A title from what a client calls its file, which may be anything."""
    cleaned = "".join(c for c in _base_name(filename or "") if not _is_control(c)).strip()
    return cleaned[:TITLE_MAX_CHARACTERS].strip() or f"image.{extension}"


def _checked_resolution(value: str) -> str:
    width, height = parse_resolution(value)
    return f"{width}x{height}"


def _base_name(value: str) -> str:
    name = re.split(r"[/\\]", unicodedata.normalize("NFC", value))[-1].strip()
    return "" if name in (".", "..") else name


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs")


def _checked_title_part(value: str) -> str:
    if any(_is_control(character) for character in value):
        raise ValueError("A title contains no control character")
    return value


Title = Annotated[str, AfterValidator(checked_title), Field(json_schema_extra={"minLength": 1})]
TitlePart = Annotated[
    str, Field(min_length=1, max_length=TITLE_MAX_CHARACTERS), AfterValidator(_checked_title_part)
]


class Changes(BaseModel):
    """What is to change; at least one field. `fit` says how `resolution` is reached."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"title": "Lift-off", "resolution": "320x200"}],
            "minProperties": 1,
        },
    )

    title: Annotated[Title | None, Field(description="1 to 255 characters")] = None
    resolution: Annotated[
        Annotated[
            str,
            AfterValidator(_checked_resolution),
            Field(json_schema_extra={"pattern": _RESOLUTION_AS_SENT}),
        ]
        | None,
        Field(description="WxH: rendered at exactly this size from the original"),
    ] = None
    visibility: Visibility | None = None
    fit: Annotated[
        Fit | None, Field(description="How the new size is reached; cover unless given")
    ] = None

    @model_validator(mode="after")
    def _something_changes(self) -> Changes:
        if self.fit is not None and self.resolution is None:
            raise ValueError("fit says how a resolution is reached: send both")
        if not self.model_dump(exclude_none=True):
            raise ValueError("Send at least one of title, resolution, visibility")
        return self


class ImageView(BaseModel):
    """An image as clients see it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 1,
                    "title": "rocket.jpg",
                    "resolution": "640x427",
                    "size": 112525,
                    "file_path": "storage/6f1c/original.jpg",
                    "created_at": "2026-11-02T18:10:16.510939Z",
                    "updated_at": "2026-11-02T18:10:16.914210Z",
                    "user_id": 1,
                    "status": "ready",
                    "error": None,
                    "content_type": "image/jpeg",
                    "visibility": "shared",
                    "url": "https://bucket.s3.eu-west-1.amazonaws.com/storage/6f1c/original.jpg?...",
                    "thumbnail_url": "https://bucket.s3.eu-west-1.amazonaws.com/storage/6f1c/...",
                }
            ]
        }
    )

    id: int
    title: str
    resolution: Annotated[
        str, Field(description="WxH in pixels, measured", pattern="^[0-9]+x[0-9]+$")
    ]
    size: Annotated[int, Field(description="Bytes, measured")]
    file_path: str
    created_at: str
    updated_at: str
    user_id: int
    status: Status
    error: Annotated[str | None, Field(description="Why it failed")]
    content_type: str
    visibility: Visibility
    url: Annotated[
        str | None,
        Field(description="Signed, expires; null until the image was ready for the first time"),
    ]
    thumbnail_url: Annotated[
        str | None,
        Field(
            description="Signed, expires; a WebP of at most 320 pixels, of an animation a still; "
            "null until the image was ready for the first time"
        ),
    ]


class Accepted(BaseModel):
    """A change was accepted and will be processed."""

    detail: str
    id: int


class UploadAccepted(Accepted):
    status: Literal["processing"] = "processing"


class Measured(Protocol):
    """What the stored bytes say of themselves; width and height in pixels, upright."""

    @property
    def content_type(self) -> str: ...
    @property
    def extension(self) -> str: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...


@dataclass(frozen=True, slots=True)
class NewImage:
    title: str
    visibility: Visibility
    original_key: str
    content_type: str
    size_bytes: int
    width: int
    height: int


class DirectUploadOffer(BaseModel):
    """Where to send a file that is too large for the API: a form POST, straight to the storage."""

    upload_id: str
    url: str
    fields: Annotated[dict[str, str], Field(description="Send these, then the file as `file`")]
    max_bytes: int
    expires_in_seconds: int


class DirectUploadDetails(BaseModel):
    """What a multipart upload carries beside its file."""

    model_config = ConfigDict(extra="forbid")

    filename: Annotated[str | None, Field(max_length=1024)] = None
    title: Annotated[Title | None, Field(description="The file's name unless given")] = None
    visibility: Visibility | None = None


@dataclass(frozen=True, slots=True)
class ListQuery:
    """`before_id` is the last id of the page before, or None for the first page."""

    limit: int = PAGE_DEFAULT
    before_id: int | None = None
    mine_only: bool = False
    status: Status | None = None
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """`images` as the client gets them, newest first; `total` counts all that match."""

    images: list[dict[str, Any]]
    total: int
    next_cursor: str | None


class ImageRecords(Protocol):
    """Each method raises Unauthenticated when the user is gone."""

    def require_user(self, user_id: int) -> None: ...

    def accept_upload(self, user_id: int, image: NewImage, correlation_id: str) -> Event: ...

    def accept_update(
        self, user_id: int, image_id: int, changes: Mapping[str, str], correlation_id: str
    ) -> Event | None: ...

    def accept_delete(self, user_id: int, image_id: int, correlation_id: str) -> Event | None: ...

    def find(self, user_id: int, image_id: int) -> dict[str, Any] | None:
        """The image's fields, with object keys under `url` and `thumbnail_url`."""

    def page(self, user_id: int, query: ListQuery) -> tuple[list[dict[str, Any]], int]:
        """One image more than the limit where there is a next page, and the total."""


class ObjectStorage(Protocol):
    def put(self, key: str, data: bytes, content_type: str) -> None: ...

    def delete(self, keys: list[str]) -> None: ...


class IncomingStorage(ObjectStorage, Protocol):
    """Where files arrive that clients send straight to the storage."""

    def presigned_post(
        self, key: str, max_bytes: int, ttl_seconds: int
    ) -> tuple[str, dict[str, str]]:
        """The form's URL and fields; the storage itself refuses a larger file."""

    def get_if_present(self, key: str) -> bytes | None: ...


class Links(Protocol):
    def signed(self, key: str) -> str: ...


class EventDelivery(Protocol):
    def deliver(self, event: Event) -> None:
        """Publishes an accepted event, or leaves it to the relay; never raises for a broker."""


def check_upload_size(size_bytes: int) -> None:
    if size_bytes > MAX_UPLOAD_BYTES:
        raise FileTooLarge(
            f"The file has {math.ceil(size_bytes / 1e5) / 10} MB; an upload through the API may "
            f"have at most {MAX_UPLOAD_BYTES / 1e6:.1f} MB. Send it with the direct upload: "
            "POST /image/direct_upload"
        )


def check_upload_request_size(size_bytes: int) -> None:
    """For the whole form, which is a little larger than its file."""
    check_upload_size(max(0, size_bytes - _FORM_OVERHEAD_BYTES))


def upload(
    records: ImageRecords,
    storage: ObjectStorage,
    delivery: EventDelivery,
    *,
    user_id: int,
    data: bytes,
    measured: Measured,
    title: str,
    visibility: Visibility,
    correlation_id: str,
) -> UploadAccepted:
    """Stores the bytes, then row and event in one transaction."""
    records.require_user(user_id)
    image = NewImage(
        title=title,
        visibility=visibility,
        original_key=f"storage/{uuid4().hex}/original.{measured.extension}",
        content_type=measured.content_type,
        size_bytes=len(data),
        width=measured.width,
        height=measured.height,
    )
    return _accept(records, storage, delivery, user_id, image, data, correlation_id)


def offer_direct_upload(
    records: ImageRecords, storage: IncomingStorage, *, user_id: int
) -> DirectUploadOffer:
    records.require_user(user_id)
    upload_id = uuid4().hex
    url, fields = storage.presigned_post(
        _incoming_key(user_id, upload_id), MAX_DIRECT_UPLOAD_BYTES, DIRECT_UPLOAD_TTL_SECONDS
    )
    return DirectUploadOffer(
        upload_id=upload_id,
        url=url,
        fields=fields,
        max_bytes=MAX_DIRECT_UPLOAD_BYTES,
        expires_in_seconds=DIRECT_UPLOAD_TTL_SECONDS,
    )


def complete_direct_upload(
    records: ImageRecords,
    storage: IncomingStorage,
    delivery: EventDelivery,
    *,
    user_id: int,
    upload_id: str,
    measure: Callable[[bytes], Measured],
    details: DirectUploadDetails,
    default_visibility: Visibility,
    correlation_id: str,
) -> UploadAccepted:
    """Raises UploadNotFound, or what `measure` says of the bytes; then nothing is kept of them.

    The bytes move to a key that clients cannot write to. It follows from the upload's id and the
    bytes: a second completion collides with the first, and another file, sent with the same form
    while that is still valid, touches nothing of the first one.
    """
    records.require_user(user_id)
    incoming_key = _incoming_key(user_id, upload_id)
    data = storage.get_if_present(incoming_key)
    if data is None:
        raise UploadNotFound
    try:
        measured = measure(data)
    except InvalidImage:
        storage.delete([incoming_key])
        raise
    folder = hashlib.sha256(upload_id.encode() + data).hexdigest()[:32]
    image = NewImage(
        title=details.title or title_from_filename(details.filename, measured.extension),
        visibility=details.visibility or default_visibility,
        original_key=f"storage/{folder}/original.{measured.extension}",
        content_type=measured.content_type,
        size_bytes=len(data),
        width=measured.width,
        height=measured.height,
    )
    accepted = _accept(records, storage, delivery, user_id, image, data, correlation_id)
    # The upload is accepted; what stays behind here the bucket's life cycle removes.
    with suppress(ServiceUnavailable):
        storage.delete([incoming_key])
    return accepted


def _accept(
    records: ImageRecords,
    storage: ObjectStorage,
    delivery: EventDelivery,
    user_id: int,
    image: NewImage,
    data: bytes,
    correlation_id: str,
) -> UploadAccepted:
    """The object first: a row never speaks of one that is not there."""
    storage.put(image.original_key, data, image.content_type)
    try:
        event = records.accept_upload(user_id, image, correlation_id)
    except Unauthenticated:
        # The account was deleted meanwhile: no row will ever name this file.
        storage.delete([image.original_key])
        raise
    delivery.deliver(event)
    return UploadAccepted(
        detail="Image upload request sent to the processing service", id=event.image_id
    )


def _incoming_key(user_id: int, upload_id: str) -> str:
    return f"incoming/{user_id}/{upload_id}"


def update(
    records: ImageRecords,
    delivery: EventDelivery,
    *,
    user_id: int,
    image_id: int,
    changes: Changes,
    correlation_id: str,
) -> Accepted:
    """Raises ImageNotFound for a missing image and for somebody else's."""
    wanted: dict[str, str] = changes.model_dump(exclude_none=True)
    event = records.accept_update(user_id, image_id, wanted, correlation_id)
    if event is None:
        raise ImageNotFound
    delivery.deliver(event)
    return Accepted(detail="Image update request sent to the processing service", id=image_id)


def delete(
    records: ImageRecords,
    delivery: EventDelivery,
    *,
    user_id: int,
    image_id: int,
    correlation_id: str,
) -> Accepted:
    """Raises ImageNotFound for a missing image and for somebody else's."""
    event = records.accept_delete(user_id, image_id, correlation_id)
    if event is None:
        raise ImageNotFound
    delivery.deliver(event)
    return Accepted(detail="Image deletion request sent to the processing service", id=image_id)


def get(records: ImageRecords, links: Links, user_id: int, image_id: int) -> dict[str, Any]:
    """Raises ImageNotFound for a missing image and for somebody else's private one."""
    image = records.find(user_id, image_id)
    if image is None:
        raise ImageNotFound
    return _with_links(image, links)


def list_page(records: ImageRecords, links: Links, user_id: int, query: ListQuery) -> Page:
    found, total = records.page(user_id, query)
    images = found[: query.limit]
    more = len(found) > query.limit
    return Page(
        images=[_with_links(image, links) for image in images],
        total=total,
        next_cursor=encode_cursor(images[-1]["id"]) if more else None,
    )


def encode_cursor(image_id: int) -> str:
    return base64.urlsafe_b64encode(f"i{image_id}".encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> int:
    """The id that a cursor stands for; raises InvalidRequest."""
    try:
        text = base64.b64decode(
            cursor.encode() + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True
        ).decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest("cursor", "This is no cursor of this list") from error
    if re.fullmatch(r"i[1-9][0-9]{0,17}", text, re.ASCII) is None:
        raise InvalidRequest("cursor", "This is no cursor of this list")
    return int(text[1:])


def _with_links(image: dict[str, Any], links: Links) -> dict[str, Any]:
    if image["url"] is not None:
        image["url"] = links.signed(image["url"])
    if image["thumbnail_url"] is not None:
        image["thumbnail_url"] = links.signed(image["thumbnail_url"])
    return image
