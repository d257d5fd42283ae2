"""Renditions on demand: a size, a ratio and a format of what is served, made at the first request
for it, once, and kept.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple, NoReturn, Protocol
from uuid import uuid4

from pydantic import BaseModel, Field

from image_api.core import object_keys
from image_api.core.change_log.changes import StoredRendition
from image_api.core.renditions.downloads import filename
from image_api.core.renditions.links import LinkToken
from image_api.core.renditions.render_requests import (
    RENDERER_TIMEOUT_SECONDS,
    Picture,
    RendererBusy,
    RendererFailed,
    RendererLost,
    Renderings,
    StillRendering,
)
from image_api.core.tracing import NO_ORIGIN, Origin
from image_api.errors import (
    ImageFailed,
    ImageNotFound,
    ImageNotReady,
    InvalidImage,
    ObjectMissing,
    RenditionUnderWay,
    ServiceUnavailable,
)
from image_api.imaging.model import AVIF, JPEG, PNG, WEBP, Format, Wanted
from image_api.observability import logger

WIDTHS = (64, 128, 256, 320, 480, 640, 960, 1280, 1600, 2048, 2560, 3840)
DEFAULT_WIDTH = 1600
Ratio = Literal["1:1", "4:3", "3:4", "3:2", "2:3", "16:9", "9:16"]
Choice = Literal["auto", "jpeg", "png", "webp", "avif"]

# A public link is asked again after five minutes. Of all others the URL behind them is good for
# three quarters of an hour at least, from when it was handed out.
PUBLIC_MAX_AGE_SECONDS = 300
PRIVATE_MAX_AGE_SECONDS = 1200

# Shorter than the function's time-out, and that is shorter than the gateway's.
PATIENCE_SECONDS = 10.0
LEASE_SECONDS = RENDERER_TIMEOUT_SECONDS + 5
# Whoever makes it does not wait longer, and is gone if the row still says so after this.
_MAKER_GRACE_SECONDS = 3.0
MAX_FAILURES = 3
FAILED_FOR_SECONDS = 3600
_FIRST_LOOK_SECONDS, _LAST_LOOK_SECONDS = 0.05, 0.5

_FORMATS: dict[str, tuple[Format, ...]] = {
    "jpeg": (JPEG,),
    "png": (PNG,),
    "webp": (WEBP,),
    "avif": (AVIF,),
    # Where neither WebP nor AVIF is taken: what JPEG cannot show is a PNG.
    "plain": (JPEG, PNG),
}
_MEDIA_RANGE = re.compile(r"\s*([\w!#$&^.+-]+/[\w!#$&^.+*-]+)\s*(?:;(.*))?", re.ASCII)
_REFUSED = re.compile(r"\bq\s*=\s*0(\.0*)?\s*(;|$)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Asked:
    """`formats`: what is to be made of a still and of what moves, as the table has their names."""

    width: int
    ratio: Ratio | None
    formats: tuple[str, str]
    download: bool = False

    @property
    def proportions(self) -> tuple[int, int] | None:
        if self.ratio is None:
            return None
        across, _, down = self.ratio.partition(":")
        return int(across), int(down)


@dataclass(frozen=True, slots=True)
class Viewer:
    """A signed-in user, or the holder of a link, known by an address."""

    address: str
    user_id: int | None = None
    link: LinkToken | None = None
    origin: Origin = NO_ORIGIN


class RenditionKey(NamedTuple):
    image_id: int
    width: int
    ratio: str
    format: str


class Making(NamedTuple):
    """`age_seconds`: since it was begun; `seconds_left`: until it must have ended."""

    claim_id: str
    age_seconds: float
    seconds_left: float


@dataclass(frozen=True, slots=True)
class FoundRendition:
    """An image that the viewer may see, and what there is of the rendition."""

    key: RenditionKey
    title: str
    status: str
    is_rendered: bool
    is_public: bool
    source_key: str
    object_key: str | None = None
    making: Making | None = None
    failures: int = 0
    failed_seconds_ago: float = 0.0
    is_long_unused: bool = False
    """So that it has to be written down that it is asked for."""


class RenditionRecords(Protocol):
    """Everything raises ServiceUnavailable."""

    def find(self, viewer: Viewer, image_id: int, asked: Asked) -> FoundRendition | None:
        """None unless the viewer may see it. Raises Unauthenticated when the user is gone."""

    def touch(self, key: RenditionKey) -> None:
        """It was asked for just now."""

    def claim(self, viewer: Viewer, found: FoundRendition, claim_id: str) -> bool:
        """Whether it is this claim's to make; counted for the viewer then. Raises
        TooManyRenditions.
        """

    def release(self, key: RenditionKey, claim_id: str) -> None:
        """There was no attempt."""

    def fail(self, key: RenditionKey, claim_id: str, reason: str, *, is_final: bool) -> None: ...

    def finish(self, key: RenditionKey, claim_id: str, made: StoredRendition) -> bool:
        """False if the image is gone, or served from elsewhere, by now; True also if another has
        done the same. What was not asked for for longest goes, where there are more than an image
        may have.
        """


class RenditionLinks(Protocol):
    def signed(self, key: str) -> str: ...

    def signed_download(self, key: str, filename: str) -> str: ...


class RenditionStore(Protocol):
    def delete_folder(self, prefix: str) -> None: ...


class RenditionUrl(BaseModel):
    url: Annotated[str, Field(description="Signed, expires")]


@dataclass(frozen=True, slots=True)
class Answer:
    url: str
    is_public: bool

    @property
    def cache_control(self) -> str:
        if self.is_public:
            return f"public, max-age={PUBLIC_MAX_AGE_SECONDS}"
        return f"private, max-age={PRIVATE_MAX_AGE_SECONDS}"


def asked_for(
    width: int, ratio: Ratio | None, choice: Choice, accept: str | None, *, download: bool = False
) -> Asked:
    step = next(step for step in WIDTHS if step >= width)
    if choice != "auto":
        return Asked(step, ratio, (choice, choice), download)
    taken = _taken(accept or "")
    # WebP moves everywhere where it is shown at all, and is made sooner.
    still = next((name for name in ("avif", "webp") if f"image/{name}" in taken), "plain")
    moving = next((name for name in ("webp", "avif") if f"image/{name}" in taken), "plain")
    return Asked(step, ratio, (still, moving), download)


def wants_json(accept: str | None) -> bool:
    return "application/json" in _taken(accept or "")


def _taken(accept: str) -> set[str]:
    """The media types that a client names, and does not refuse: `*/*` promises no decoder."""
    found = (_MEDIA_RANGE.fullmatch(part) for part in accept.split(","))
    return {match[1].lower() for match in found if match and not _REFUSED.search(match[2] or "")}


class RenditionsOnDemand:
    def __init__(
        self,
        records: RenditionRecords,
        links: RenditionLinks,
        renderings: Renderings,
        storage: RenditionStore,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._records = records
        self._links = links
        self._renderings = renderings
        self._storage = storage
        self._monotonic = monotonic
        self._sleep = sleep

    def answer(self, viewer: Viewer, image_id: int, asked: Asked) -> Answer:
        """Raises ImageNotFound, ImageNotReady, ImageFailed, TooManyRenditions, RenditionUnderWay,
        and ServiceUnavailable.

        Whether the viewer may see it is asked again after each wait.
        """
        ends_at = self._monotonic() + PATIENCE_SECONDS
        pause = _FIRST_LOOK_SECONDS
        while True:
            found = self._find(viewer, image_id, asked)
            if found.object_key is not None:
                return self._answer(found, asked)
            if found.making is None or found.making.seconds_left <= 0:
                if self._monotonic() >= ends_at:
                    raise RenditionUnderWay
                self._make(viewer, found, asked, ends_at - self._monotonic())
                continue
            if self._monotonic() >= ends_at:
                raise RenditionUnderWay
            if found.making.age_seconds > PATIENCE_SECONDS + _MAKER_GRACE_SECONDS:
                if not self._take_up(found, found.making, asked):
                    raise RenditionUnderWay
                continue
            self._sleep(pause)
            pause = min(2 * pause, _LAST_LOOK_SECONDS)

    def _find(self, viewer: Viewer, image_id: int, asked: Asked) -> FoundRendition:
        found = self._records.find(viewer, image_id, asked)
        if found is None:
            raise ImageNotFound
        if not found.is_rendered:
            raise ImageNotReady if found.status == "processing" else ImageFailed
        if found.failures >= MAX_FAILURES and found.failed_seconds_ago < FAILED_FOR_SECONDS:
            raise ImageFailed("This rendition cannot be made; try another size or format")
        return found

    def _answer(self, found: FoundRendition, asked: Asked) -> Answer:
        key = found.object_key
        assert key is not None
        if found.is_long_unused:
            self._records.touch(found.key)
        if not asked.download:
            return Answer(self._links.signed(key), found.is_public)
        name = filename(found.title, key.rpartition(".")[2])
        return Answer(self._links.signed_download(key, name), found.is_public)

    def _make(
        self, viewer: Viewer, found: FoundRendition, asked: Asked, patience_seconds: float
    ) -> None:
        """Unless somebody else does already."""
        claim_id = str(uuid4())
        if not self._records.claim(viewer, found, claim_id):
            return
        picture = _picture(found, claim_id, asked, viewer.origin)
        try:
            (made,) = self._renderings.render(picture, patience_seconds)
        except StillRendering as error:
            # It goes on, and whoever asks next takes up what it has made.
            raise RenditionUnderWay from error
        except RendererBusy as error:
            self._records.release(found.key, claim_id)
            raise RenditionUnderWay from error
        except RendererLost:
            # As long as it may go on, a removal of the image has to know of it.
            raise
        except ServiceUnavailable:
            self._records.release(found.key, claim_id)
            raise
        except (RendererFailed, InvalidImage, ObjectMissing) as error:
            self._raise_failed(found, claim_id, error)
        self._keep(found, claim_id, picture, made)

    def _take_up(self, found: FoundRendition, making: Making, asked: Asked) -> bool:
        """What a renderer made that was not waited for; False if it has not ended."""
        picture = _picture(found, making.claim_id, asked)
        try:
            renditions = self._renderings.look_for(picture)
        except (RendererFailed, InvalidImage, ObjectMissing) as error:
            self._raise_failed(found, making.claim_id, error)
        if renditions is None:
            return False
        self._keep(found, making.claim_id, picture, renditions[0])
        return True

    def _keep(
        self, found: FoundRendition, claim_id: str, picture: Picture, made: StoredRendition
    ) -> None:
        if not self._records.finish(found.key, claim_id, made):
            self._storage.delete_folder(f"{picture.folder}/")

    def _raise_failed(self, found: FoundRendition, claim_id: str, error: Exception) -> NoReturn:
        is_final = isinstance(error, InvalidImage)
        logger.warning(
            "a rendition was not made",
            image_id=found.key.image_id,
            reason=str(error) or type(error).__name__,
        )
        self._records.fail(found.key, claim_id, str(error), is_final=is_final)
        if is_final:
            raise ImageFailed(
                "This rendition cannot be made; try another size or format"
            ) from error
        raise RenditionUnderWay from error


def _picture(
    found: FoundRendition, claim_id: str, asked: Asked, origin: Origin = NO_ORIGIN
) -> Picture:
    wanted = Wanted(found.key.width, asked.proportions, _FORMATS[found.key.format])
    return Picture(
        found.source_key,
        object_keys.on_demand(found.source_key, claim_id),
        wanted=wanted,
        origin=origin,
    )
