"""The image, and what a signed-in user can do with images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, model_validator

from image_api.core.change_log.events import Event
from image_api.core.library.fields import Description, Resolution, Tags, Title
from image_api.core.renditions.links import LinkFacts
from image_api.errors import ImageNotFound
from image_api.imaging import Fit

Status = Literal["processing", "ready", "failed"]
Visibility = Literal["shared", "private", "public"]
"""For every signed-in user; for the owner alone; as shared, and with a link for anybody."""


class Changes(BaseModel):
    """What is to change; at least one field. `fit` says how `resolution` is reached."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"title": "Lift-off", "resolution": "320x200"}],
            "minProperties": 1,
        },
    )

    title: Annotated[
        Title | None, Field(description="1 to 255 characters, no control characters")
    ] = None
    description: Annotated[
        Description | None, Field(description="At most 2,000 characters; empty: none")
    ] = None
    tags: Annotated[
        Tags | None,
        Field(
            description="Replaces the image's tags: at most 32, each of 1 to 64 characters, and "
            "once, whatever its case"
        ),
    ] = None
    resolution: Annotated[
        Resolution | None,
        Field(description="WxH: rendered at exactly this size from the original"),
    ] = None
    visibility: Visibility | None = None
    fit: Annotated[
        Fit | None, Field(description="How the new size is reached; cover unless given")
    ] = None
    trashed: Annotated[
        bool | None,
        Field(
            strict=True,
            description="true: into the trash, at once; false: back from it, as it was",
        ),
    ] = None

    @model_validator(mode="after")
    def _something_changes(self) -> Changes:
        if self.fit is not None and self.resolution is None:
            raise ValueError("fit says how a resolution is reached: send both")
        if not self.model_dump(exclude_none=True):
            raise ValueError(
                "Send at least one of title, description, tags, resolution, visibility, trashed"
            )
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
                    "preview_url": "https://bucket.s3.eu-west-1.amazonaws.com/storage/6f1c/...",
                    "rendition_url": "https://api.example.com/image/1/rendition?token=...",
                    "username": "ada",
                    "width": 640,
                    "height": 427,
                    "description": "From the roof",
                    "tags": ["rocket", "night"],
                    "animated": False,
                    "placeholder": "1QcSHQRnh493V4dIh4eXh1h4kJUI",
                    "taken_at": "2026-10-30T07:52:41",
                    "trashed_at": None,
                    "version": 1,
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
    preview_url: Annotated[
        str | None,
        Field(
            description="Signed, expires; a WebP of at most 1600 pixels, of an animation a still; "
            "null until the image was ready for the first time"
        ),
    ]
    rendition_url: Annotated[
        str | None,
        Field(
            description="Any size of it, without signing in: add &width=640, &ratio=1:1 and so on. "
            "Signed, expires; of a public image it is the same as long as that is public; "
            "null until the image was ready for the first time"
        ),
    ]
    username: Annotated[str, Field(description="The owner's")]
    width: Annotated[int, Field(description="Pixels, measured")]
    height: Annotated[int, Field(description="Pixels, measured")]
    description: str
    tags: list[str]
    animated: Annotated[bool, Field(description="Whether it moves")]
    placeholder: Annotated[
        str | None,
        Field(description="To show until the picture is there: a ThumbHash, in base64"),
    ]
    taken_at: Annotated[
        str | None,
        Field(description="When, by the camera's clock, which knows no zone; to the owner alone"),
    ]
    trashed_at: Annotated[
        str | None, Field(description="Since when it is in the trash; only its owner sees it there")
    ]
    version: Annotated[
        int, Field(description="Counts its accepted changes; for If-Match, in double quotes")
    ]


class Accepted(BaseModel):
    """A change was accepted and will be processed."""

    detail: str
    id: int


class UpdateAccepted(Accepted):
    version: Annotated[int, Field(description="Of the image, with this change")]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and what ties everything that comes of it together."""

    user_id: int
    correlation_id: str
    traceparent: str = ""
    client_correlation_id: str = ""
    idempotency_key: str | None = None
    # Of the request's keys; whatever is accepted answers them.
    claim_ids: tuple[str, ...] = ()


class ImageRecords(Protocol):
    def find(self, user_id: int, image_id: int) -> dict[str, Any] | None:
        """The image's fields, with object keys in place of URLs, and what LinkFacts holds in place
        of `rendition_url`.
        """


class Links(Protocol):
    def signed(self, key: str) -> str: ...

    def rendition(self, image_id: int, facts: LinkFacts) -> str: ...


class EventSink(Protocol):
    def publish(self, event: Event) -> None:
        """Publishes an accepted event, or leaves it to the relay; never raises for a broker."""


def get(records: ImageRecords, links: Links, user_id: int, image_id: int) -> dict[str, Any]:
    """Raises ImageNotFound for a missing image and for somebody else's private one."""
    image = records.find(user_id, image_id)
    if image is None:
        raise ImageNotFound
    return with_links(image, links)


def with_links(image: dict[str, Any], links: Links) -> dict[str, Any]:
    for name in ("url", "thumbnail_url", "preview_url"):
        if image[name] is not None:
            image[name] = links.signed(image[name])
    if image["rendition_url"] is not None:
        facts = LinkFacts(*image["rendition_url"])
        image["rendition_url"] = links.rendition(image["id"], facts)
    return image
