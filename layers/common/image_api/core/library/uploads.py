"""How a file becomes an image: through the API, or straight to the storage and then completed."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Protocol
from uuid import uuid4

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from image_api.core import metrics, object_keys
from image_api.core.change_log.events import Event
from image_api.core.library.fields import Description, Tags, Title, each_once, title_from_filename
from image_api.core.library.idempotency import Answer, KeyRecords, fingerprint, once
from image_api.core.library.images import Accepted, Caller, EventSink, Visibility
from image_api.errors import (
    FileTooLarge,
    InvalidImage,
    QuotaExceeded,
    RequestInProgress,
    ServiceUnavailable,
    TooMuchUnderWay,
    Unauthenticated,
    UploadNotFound,
)
from image_api.imaging.headers.formats import identify

# What Lambda's 6 MB leave after base64 and the rest of the event.
MAX_UPLOAD_BYTES = 4_500_000
_FORM_OVERHEAD_BYTES = 16 * 1024
# What the direct upload takes, which the consumer can still hold in memory.
MAX_DIRECT_UPLOAD_BYTES = 50_000_000
DIRECT_UPLOAD_TTL_SECONDS = 15 * 60
# Longer than the bucket keeps a file that was sent, which the form may replace while it is valid.
_COMPLETION_KEPT_SECONDS = 7 * 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class UploadDetails:
    """What a client says of its file; `title` wins over the name of the file."""

    filename: str | None
    title: str | None
    visibility: Visibility
    description: str = ""
    tags: list[str] = field(default_factory=list)


class UploadAccepted(Accepted):
    status: Literal["processing"] = "processing"


class DirectUploadOffer(BaseModel):
    """Where to send a file that is too large for the API: a form POST, straight to the storage."""

    upload_id: str
    url: str
    fields: Annotated[dict[str, str], Field(description="Send these, then the file as `file`")]
    max_bytes: int
    expires_in_seconds: int


def _given(value: object) -> object:
    """None for an optional field that is blank: a form sends what nobody filled in."""
    return None if isinstance(value, str) and not value.strip() else value


def _or_blank(schema: dict[str, Any]) -> None:
    """What `_given` takes for nothing is sent by right."""
    for choice in schema["anyOf"]:
        choice.pop("minLength", None)
        choice.pop("pattern", None)
        if "enum" in choice:
            choice["enum"] = [*choice["enum"], ""]


class DirectUploadDetails(BaseModel):
    """What a multipart upload carries beside its file."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"filename": "rocket.jpg", "visibility": "private"}]},
    )

    filename: Annotated[str | None, Field(max_length=1024)] = None
    title: Annotated[
        Title | None,
        BeforeValidator(_given),
        Field(description="The file's name unless given", json_schema_extra=_or_blank),
    ] = None
    visibility: Annotated[
        Visibility | None, BeforeValidator(_given), Field(json_schema_extra=_or_blank)
    ] = None
    description: Annotated[Description | None, Field(description="At most 2,000 characters")] = None
    tags: Annotated[Tags | None, Field(description="At most 32, each of 1 to 64 characters")] = None


@dataclass(frozen=True, slots=True)
class NewImage:
    """A row to be; what the client does not say is measured."""

    title: str
    visibility: Visibility
    original_key: str
    content_type: str
    size_bytes: int
    width: int
    height: int
    frames: int = 1
    taken_at: str | None = None
    description: str = ""
    tags: list[str] = field(default_factory=list)


class UploadRecords(KeyRecords, Protocol):
    """Each method raises Unauthenticated when the user is gone, and each but `require_user`
    QuotaExceeded or TooMuchUnderWay when a limit of the account is reached.
    """

    def require_user(self, user_id: int) -> None: ...

    def require_room(self, user_id: int, size_bytes: int) -> None:
        """As of now; what counts is the answer when the upload is accepted."""

    def offer_direct_upload(self, user_id: int, upload_id: str, ttl_seconds: int) -> None:
        """It is open until it is completed or its time is over."""

    def accept_upload(self, caller: Caller, image: NewImage, upload_id: str | None = None) -> Event:
        """`upload_id`: of the direct upload that this completes."""


class UploadStore(Protocol):
    def put(self, key: str, data: bytes, content_type: str) -> None: ...

    def delete_all_versions(self, key: str) -> None:
        """For good: nobody has accepted it, or it has moved."""


class DirectUploadStore(UploadStore, Protocol):
    """Where files arrive that clients send straight to the storage."""

    def presigned_post(
        self, key: str, max_bytes: int, ttl_seconds: int
    ) -> tuple[str, dict[str, str]]:
        """The form's URL and fields; the storage itself refuses a larger file."""

    def get_if_present(self, key: str) -> bytes | None: ...


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
    records: UploadRecords,
    storage: UploadStore,
    sink: EventSink,
    caller: Caller,
    data: bytes,
    details: UploadDetails,
) -> UploadAccepted:
    """Raises FileTooLarge, or what `identify` says of the bytes, before anything is kept."""
    check_upload_size(len(data))
    image = _measured(data, details)

    def accept(claiming: Caller) -> Answer:
        records.require_room(caller.user_id, len(data))
        return _accept(records, storage, sink, claiming, image, data)

    return _accepted(once(records, caller, lambda: _fingerprint("upload", details, data), accept))


def offer_direct_upload(
    records: UploadRecords, storage: DirectUploadStore, user_id: int
) -> DirectUploadOffer:
    upload_id = uuid4().hex
    records.offer_direct_upload(user_id, upload_id, DIRECT_UPLOAD_TTL_SECONDS)
    url, fields = storage.presigned_post(
        object_keys.incoming(user_id, upload_id), MAX_DIRECT_UPLOAD_BYTES, DIRECT_UPLOAD_TTL_SECONDS
    )
    return DirectUploadOffer(
        upload_id=upload_id,
        url=url,
        fields=fields,
        max_bytes=MAX_DIRECT_UPLOAD_BYTES,
        expires_in_seconds=DIRECT_UPLOAD_TTL_SECONDS,
    )


def complete_direct_upload(
    records: UploadRecords,
    storage: DirectUploadStore,
    sink: EventSink,
    caller: Caller,
    upload_id: str,
    details: UploadDetails,
) -> UploadAccepted:
    """Raises UploadNotFound, or what `identify` says of the bytes; then nothing is kept of them.

    A second completion is answered as the first one was, for as long as there may be a file to
    complete. The bytes move to a key that clients cannot write to, and that no other attempt has:
    one that is refused, or was overtaken, takes nothing away from the image that was accepted.
    """

    def accept(claiming: Caller) -> Answer:
        return _complete(records, storage, sink, claiming, upload_id, details)

    def accept_once(claiming: Caller) -> Answer:
        # No client's key has a space.
        key = f"direct upload {upload_id}"
        return once(
            records, claiming, bytes, accept, key=key, kept_seconds=_COMPLETION_KEPT_SECONDS
        )

    def request_hash() -> bytes:
        return _fingerprint(f"complete {upload_id}", details)

    records.require_user(caller.user_id)
    return _accepted(once(records, caller, request_hash, accept_once))


def _complete(
    records: UploadRecords,
    storage: DirectUploadStore,
    sink: EventSink,
    caller: Caller,
    upload_id: str,
    details: UploadDetails,
) -> Answer:
    incoming_key = object_keys.incoming(caller.user_id, upload_id)
    data = storage.get_if_present(incoming_key)
    if data is None:
        raise UploadNotFound
    try:
        image = _measured(data, details)
    except InvalidImage:
        storage.delete_all_versions(incoming_key)
        raise
    accepted = _accept(records, storage, sink, caller, image, data, upload_id)
    # The upload is accepted; what stays behind here the bucket's life cycle removes.
    with suppress(ServiceUnavailable):
        storage.delete_all_versions(incoming_key)
    return accepted


def _measured(data: bytes, details: UploadDetails) -> NewImage:
    header = identify(data)
    return NewImage(
        title=details.title or title_from_filename(details.filename, header.extension),
        visibility=details.visibility,
        original_key=object_keys.new_original(header.extension),
        content_type=header.content_type,
        size_bytes=len(data),
        width=header.width,
        height=header.height,
        frames=header.frames,
        taken_at=header.taken_at,
        description=details.description,
        tags=each_once(details.tags),
    )


def _accept(
    records: UploadRecords,
    storage: UploadStore,
    sink: EventSink,
    caller: Caller,
    image: NewImage,
    data: bytes,
    upload_id: str | None = None,
) -> Answer:
    """The object first: a row never speaks of one that is not there."""
    storage.put(image.original_key, data, image.content_type)
    try:
        event = records.accept_upload(caller, image, upload_id)
    except (Unauthenticated, RequestInProgress, QuotaExceeded, TooMuchUnderWay):
        # The account was deleted or filled meanwhile, or the claim taken over: no row names this.
        storage.delete_all_versions(image.original_key)
        raise
    sink.publish(event)
    metrics.upload_accepted(image.size_bytes)
    return Answer(event.image_id, event.sequence)


def _accepted(answer: Answer) -> UploadAccepted:
    return UploadAccepted(
        detail="Image upload request sent to the processing service", id=answer.image_id
    )


def _fingerprint(operation: str, details: UploadDetails, data: bytes = b"") -> bytes:
    fields: list[object] = [details.filename, details.title, details.visibility]
    # Only where they are given: a key of the release before is answered after a deployment.
    if details.description or details.tags:
        fields += [details.description, details.tags]
    return fingerprint(operation, *fields, data=data)
