"""What can be done with images."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, BinaryIO, Literal
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx

from image_api_client import errors
from image_api_client.accounts import Api
from image_api_client.flows import Call, Flow, Pause
from image_api_client.forms import Form, Progress, Source
from image_api_client.models import (
    BatchResult,
    Change,
    Image,
    ImageChanges,
    Page,
    RenditionFormat,
    Sort,
    Status,
    TagCount,
    Visibility,
)

# What the API takes in one request; larger files go straight to the storage.
LARGEST_THROUGH_API_BYTES = 4_500_000
BATCH_MAX = 100
# The server answers sooner when the image is ready; a proxy in between may allow no more.
_LONGEST_WAIT_SECONDS = 15
_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class UploadDetails:
    """What an upload says beside its file; what is None is up to the server."""

    title: str | None = None
    visibility: Visibility | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Each is one condition, and all must hold. `owner`: `me`, or the id of a user."""

    q: str | None = None
    title: str | None = None
    tag: tuple[str, ...] = ()
    owner: Literal["me"] | int | None = None
    status: Status | None = None
    visibility: Visibility | None = None
    content_type: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    ids: tuple[int, ...] = ()
    trashed: bool | None = None
    sort: Sort | None = None

    def as_sent(self) -> tuple[tuple[str, str], ...]:
        given = ((each.name, getattr(self, each.name)) for each in fields(self))
        return tuple(pair for name, value in given for pair in _parameters(name, value))


EVERYTHING = ListQuery()
NO_DETAILS = UploadDetails()


def upload(
    api: Api,
    source: Source,
    details: UploadDetails,
    *,
    key: str | None = None,
    on_progress: Progress | None = None,
) -> Flow[int]:
    """The id of the image, which is processed after this. The same `key` with the same file and
    details gives the same image, for 24 hours.
    """
    key = key or new_key()
    if source.size_bytes <= LARGEST_THROUGH_API_BYTES:
        return (yield from _upload_through_api(api, source, details, key, on_progress))
    return (yield from _upload_to_storage(api, source, details, key, on_progress))


def new_key() -> str:
    return uuid4().hex


def get(api: Api, image_id: int) -> Flow[Image]:
    answer = yield from api.fetch(Call("GET", f"/image/{image_id}"))
    return Image.model_validate(answer)


def wait(
    api: Api,
    image_id: int,
    timeout_seconds: float,
    now: Callable[[], float] = time.monotonic,
) -> Flow[Image]:
    """The image, once it is ready; raises ProcessingFailed or StillProcessing."""
    deadline, pause_seconds = now() + timeout_seconds, _FIRST_PAUSE_SECONDS
    while True:
        wait_seconds = int(max(0, min(_LONGEST_WAIT_SECONDS, deadline - now())))
        params = (("wait", str(wait_seconds)),) if wait_seconds else ()
        asked_at = now()
        answer = yield from api.fetch(Call("GET", f"/image/{image_id}", params=params))
        image = Image.model_validate(answer)
        if image.status == "ready":
            return image
        if image.status == "failed":
            raise errors.ProcessingFailed(image.error or "The image could not be processed")
        if now() >= deadline:
            raise errors.StillProcessing(f"Image {image_id} is still being processed")
        # Where too many wait, the server answers at once.
        if now() - asked_at < pause_seconds:
            yield Pause(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)


def page(api: Api, query: ListQuery, limit: int, cursor: str | None) -> Flow[Page]:
    params = (*query.as_sent(), ("limit", str(limit)), *_parameters("cursor", cursor))
    response = yield from api.send(Call("GET", "/image/get_all_images", params=params))
    images = [Image.model_validate(image) for image in response.json()]
    return Page(
        images=tuple(images),
        total=int(response.headers.get("X-Total-Count", len(images))),
        is_total_exact=response.headers.get("X-Total-Count-Relation") != "at-least",
        next_cursor=_next_cursor(response),
    )


def tags(api: Api, owner: Literal["me"] | int | None, limit: int) -> Flow[list[TagCount]]:
    params = (*_parameters("owner", owner), ("limit", str(limit)))
    answer = yield from api.fetch(Call("GET", "/image/tags", params=params))
    return [TagCount.model_validate(each) for each in answer]


def update(api: Api, image_id: int, changes: ImageChanges, version: int | None) -> Flow[int | None]:
    """The version that the image has with this change."""
    answer = yield from api.fetch(
        Call(
            "PUT",
            f"/image/update/{image_id}",
            json=changes.as_sent(),
            headers=_conditions(version),
        )
    )
    accepted_version: int | None = answer.get("version")
    return accepted_version


def delete(api: Api, image_id: int, version: int | None) -> Flow[None]:
    yield from api.send(Call("DELETE", f"/image/delete/{image_id}", headers=_conditions(version)))


def batch(
    api: Api, ids: Sequence[int], changes: ImageChanges | Literal["delete"]
) -> Flow[list[BatchResult]]:
    """Of any number of images, a hundred at a time; each is accepted or refused by itself."""
    wish: dict[str, Any]
    wish = {"delete": True} if changes == "delete" else {"changes": changes.as_sent()}
    results = []
    for start in range(0, len(ids), BATCH_MAX):
        answer = yield from api.fetch(
            Call(
                "POST",
                "/image/batch",
                json={"ids": list(ids[start : start + BATCH_MAX]), **wish},
                headers=_conditions(None),
            )
        )
        results += [BatchResult.model_validate(each) for each in answer["results"]]
    return results


def history(api: Api, image_id: int) -> Flow[list[Change]]:
    answer = yield from api.fetch(Call("GET", f"/image/{image_id}/history"))
    return [Change.model_validate(each) for each in answer]


def rendition_url(
    api: Api,
    image_id: int,
    *,
    width: int | None = None,
    ratio: str | None = None,
    format: RenditionFormat | None = None,
    download: bool = False,
) -> Flow[str]:
    """A signed URL of the picture at this size, which is made if it was never asked for."""
    params = (
        *_parameters("width", width),
        *_parameters("ratio", ratio),
        *_parameters("format", format),
        *_parameters("download", download or None),
    )
    answer = yield from api.fetch(
        Call(
            "GET",
            f"/image/{image_id}/rendition",
            params=params,
            headers={"Accept": "application/json"},
        )
    )
    url: str = answer["url"]
    return url


def original_url(api: Api, image_id: int) -> Flow[str]:
    """A signed URL of the bytes as they were uploaded, good for five minutes."""
    response = yield from api.send(Call("GET", f"/image/{image_id}/original"))
    return str(response.headers["Location"])


def download(api: Api, url: str, sink: BinaryIO, on_progress: Progress | None = None) -> Flow[int]:
    """How many bytes of a signed URL were written to `sink`, which must be seekable."""
    yield from api.send(Call("GET", url, is_signed_in=False, sink=sink, on_progress=on_progress))
    return sink.tell()


def _upload_through_api(
    api: Api,
    source: Source,
    details: UploadDetails,
    key: str,
    on_progress: Progress | None,
) -> Flow[int]:
    parts = [pair for each in fields(details) for pair in _form_fields(details, each.name)]
    answer = yield from api.fetch(
        Call(
            "POST",
            "/image/upload_image",
            form=Form(parts, "image", source, on_progress),
            headers={"Idempotency-Key": key},
        )
    )
    return int(answer["id"])


def _upload_to_storage(
    api: Api,
    source: Source,
    details: UploadDetails,
    key: str,
    on_progress: Progress | None,
) -> Flow[int]:
    offer = yield from api.fetch(Call("POST", "/image/direct_upload"))
    form = Form(list(offer["fields"].items()), "file", source, on_progress)
    yield from api.send(Call("POST", offer["url"], form=form, is_signed_in=False))
    sent: dict[str, Any] = {
        each.name: value for each in fields(details) if (value := getattr(details, each.name))
    }
    answer = yield from api.fetch(
        Call(
            "POST",
            f"/image/direct_upload/{offer['upload_id']}",
            json={"filename": source.filename, **sent},
            headers={"Idempotency-Key": key},
        )
    )
    return int(answer["id"])


def _form_fields(details: UploadDetails, name: str) -> Iterable[tuple[str, str]]:
    value = getattr(details, name)
    if isinstance(value, tuple):
        return [(name, each) for each in value]
    return [(name, value)] if value is not None else []


def _parameters(name: str, value: Any) -> Iterable[tuple[str, str]]:
    match value:
        case None | ():
            return ()
        case bool():
            return ((name, "true" if value else "false"),)
        case datetime():
            return ((name, value.astimezone().isoformat()),)
        case tuple() if name == "ids":
            return ((name, ",".join(str(each) for each in value)),)
        case tuple():
            return tuple((name, str(each)) for each in value)
        case _:
            return ((name, str(value)),)


def _conditions(version: int | None) -> dict[str, str]:
    """So that a change that is sent twice is made once, and only to the version that was seen."""
    headers = {"Idempotency-Key": new_key()}
    if version is not None:
        headers["If-Match"] = f'"{version}"'
    return headers


def _next_cursor(response: httpx.Response) -> str | None:
    found = re.search(r'<([^>]*)>\s*;\s*rel="?next"?', response.headers.get("Link", ""))
    if found is None:
        return None
    cursors = parse_qs(urlsplit(found[1]).query).get("cursor")
    return cursors[0] if cursors else None
