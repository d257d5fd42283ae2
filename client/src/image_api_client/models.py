"""What the API answers. Fields that a newer API adds are ignored."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Status = Literal["processing", "ready", "failed"]
# In the order of the API: typing takes two literals of the same words for one.
Visibility = Literal["shared", "private", "public"]
Fit = Literal["cover", "contain", "stretch"]
RenditionFormat = Literal["auto", "jpeg", "png", "webp", "avif"]
Sort = Literal["-created_at", "created_at", "title", "-title", "size", "-size", "-taken_at"]


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Image(Model):
    """An image as its viewer sees it; URLs are signed and expire."""

    id: int
    title: str
    resolution: str
    size: int
    created_at: datetime
    updated_at: datetime
    user_id: int
    status: Status
    error: str | None
    content_type: str
    visibility: Visibility
    url: str | None
    thumbnail_url: str | None
    preview_url: str | None = None
    rendition_url: str | None = None
    username: str | None = None
    width: int | None = None
    height: int | None = None
    description: str = ""
    tags: tuple[str, ...] = ()
    animated: bool = False
    placeholder: str | None = None
    taken_at: datetime | None = None
    trashed_at: datetime | None = None
    version: int | None = None


class Page(Model):
    """`total` is a lower bound where `is_total_exact` is false."""

    images: tuple[Image, ...]
    total: int
    is_total_exact: bool
    next_cursor: str | None


class ImageChanges(Model):
    """What is to change; what is None stays as it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str | None = None
    resolution: str | None = None
    fit: Fit | None = None
    visibility: Visibility | None = None
    description: str | None = None
    tags: tuple[str, ...] | None = None
    trashed: bool | None = None

    def as_sent(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_none=True)


class Account(Model):
    """Who is signed in; a limit of 0 is none."""

    id: int
    username: str
    created_at: datetime
    usage: dict[str, int]
    limits: dict[str, int]


class TagCount(Model):
    tag: str
    images: int


class BatchResult(Model):
    """What became of one image of a batch; `code` and `detail` say why one was refused."""

    id: int
    status_code: int
    code: str | None = None
    detail: str | None = None

    @property
    def is_accepted(self) -> bool:
        return self.status_code == 200


class Change(Model):
    """One accepted change of an image's history; `outcome` is None while it is under way."""

    version: int
    change: Literal["upload", "update", "delete"]
    changes: dict[str, Any]
    accepted_at: datetime
    settled_at: datetime | None
    outcome: Literal["applied", "failed"] | None
    attempts: int
    reason: str | None
