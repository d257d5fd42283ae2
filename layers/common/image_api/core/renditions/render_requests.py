"""What is asked of the renderer, the function that alone decodes pixels, and what it answers.

Its word is not taken: what it stored is measured here, before a row speaks of it.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn, Protocol

from image_api.core.change_log.changes import StoredRendition
from image_api.core.tracing import NO_ORIGIN, Origin
from image_api.errors import InvalidImage, ObjectMissing, ServiceUnavailable
from image_api.imaging import MAX_PIXELS, Fit
from image_api.imaging.headers import formats
from image_api.imaging.model import (
    AVIF,
    GIF,
    JPEG,
    PNG,
    PREVIEW_PIXELS,
    RENDERER_VERSION,
    THUMBNAIL_PIXELS,
    WEBP,
    Format,
    StoredPicture,
    Wanted,
)

# As template.yaml has it. What is signed for a renderer is good for so long and a little more.
RENDERER_TIMEOUT_SECONDS = 90
# A picture that takes longer is left to its renderer, and looked for later.
PATIENCE_SECONDS = 5.0
# A renderer that ends later than so long before that stores its report as well.
_REPORT_MARGIN_SECONDS = 1.5
# What took less than this left no report, by whoever's clock.
NO_REPORT_SECONDS = PATIENCE_SECONDS - _REPORT_MARGIN_SECONDS - 0.5
_MAX_REASON_CHARACTERS = 300
MAX_REPORT_BYTES = 16_384

# Four bytes a pixel, and something for what a file is beside its pixels.
_OVERHEAD_BYTES = 1 << 20
_MAX_IMAGE_BYTES = 4 * MAX_PIXELS + _OVERHEAD_BYTES
_MAX_PREVIEW_BYTES = 4 * PREVIEW_PIXELS**2 + _OVERHEAD_BYTES
_MAX_THUMBNAIL_BYTES = 4 * THUMBNAIL_PIXELS**2 + _OVERHEAD_BYTES

# Of what is larger one result is read at a time, however many pictures are in work: ten of the
# largest at once are two gigabytes, which the consumer does not have.
_LARGE_BYTES = 8_000_000

# Base64 of the 25 bytes that a ThumbHash has at most.
_PLACEHOLDER = re.compile(r"[A-Za-z0-9+/]{8,35}={0,2}", re.ASCII)

REPORT = "report.json"
_JSON = "application/json"


class RendererFailed(Exception):
    """It crashed, was ended, or what it answered or stored is wrong: this attempt failed."""


class RendererBusy(Exception):
    """No renderer is free: there was no attempt."""


class RendererLost(ServiceUnavailable):
    """The connection to it broke: there was no attempt, or it goes on and nobody hears of it."""


class StillRendering(Exception):
    """It has not ended within the time that somebody waits for it."""


class _Kind(NamedTuple):
    """Of a rendition: the formats it may be in, and what bounds it."""

    formats: tuple[Format, ...]
    longest_side: int | None
    max_bytes: int


_KINDS = {
    "image": _Kind((JPEG, PNG, GIF, WEBP, AVIF), None, _MAX_IMAGE_BYTES),
    "preview": _Kind((WEBP,), PREVIEW_PIXELS, _MAX_PREVIEW_BYTES),
    "thumbnail": _Kind((WEBP,), THUMBNAIL_PIXELS, _MAX_THUMBNAIL_BYTES),
}
RESULTS_OF_A_PICTURE = len(_KINDS)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture to make, and the folder for what is made of it, without a slash at the end.

    Either the image with its preview and thumbnail, of the original; or, `wanted`, one rendition of
    what is served.
    """

    source_key: str
    folder: str
    size: tuple[int, int] | None = None
    fit: Fit = "cover"
    wanted: Wanted | None = None
    origin: Origin = NO_ORIGIN

    @property
    def kinds(self) -> dict[str, _Kind]:
        """What is to be made, by name."""
        if self.wanted is None:
            return _KINDS
        return {"rendition": _Kind(self.wanted.formats, None, _MAX_IMAGE_BYTES)}


@dataclass(frozen=True, slots=True)
class Upload:
    """An object that a form lets anybody store."""

    key: str
    content_type: str
    max_bytes: int


class RendererFunction(Protocol):
    def invoke(self, payload: bytes, wait_seconds: float) -> bytes:
        """Its answer. Raises StillRendering after `wait_seconds`, RendererBusy, RendererFailed,
        RendererLost, and ServiceUnavailable when it was not reached.
        """


class TransferSigner(Protocol):
    """For somebody without rights of their own; what it signs is good for the renderer's time."""

    def signed(self, key: str) -> str:
        """A URL to read an object."""

    def forms(self, uploads: Iterable[Upload]) -> tuple[str, dict[str, str], list[dict[str, str]]]:
        """Where to send forms, the fields that all of them share, and those of each."""


class ResultStore(Protocol):
    """Threads may share it."""

    def get_up_to(self, key: str, max_bytes: int) -> bytes:
        """All of it, or one byte more than `max_bytes`. Raises ObjectMissing or
        ServiceUnavailable.
        """

    def get_if_present(self, key: str) -> bytes | None: ...


def render_request(
    picture: Picture, signer: TransferSigner, report_after: float
) -> dict[str, object]:
    """What the renderer is invoked with. After `report_after`, in seconds since 1970, nobody waits
    for its answer, and it stores that.
    """
    uploads = {REPORT: Upload(f"{picture.folder}/{REPORT}", _JSON, MAX_REPORT_BYTES)}
    for kind_name, kind in picture.kinds.items():
        for made in kind.formats:
            name = f"{kind_name}.{made.extension}"
            uploads[name] = Upload(f"{picture.folder}/{name}", made.content_type, kind.max_bytes)
    url, shared, forms = signer.forms(uploads.values())
    return {
        "source": signer.signed(picture.source_key),
        "size": picture.size,
        "fit": picture.fit,
        "wanted": _wanted_in_json(picture.wanted),
        "report_after": report_after,
        # For its log.
        "correlation_id": picture.origin.correlation_id,
        "traceparent": picture.origin.traceparent,
        "form": {"url": url, "fields": shared},
        "results": dict(zip(uploads, forms, strict=True)),
    }


class Renderings:
    """Has pictures made. Threads may share it."""

    def __init__(
        self,
        function: RendererFunction,
        signer: TransferSigner,
        storage: ResultStore,
        *,
        at_once: int = 1,
        now_seconds: Callable[[], float] = time.time,
    ) -> None:
        """`at_once`: of how many pictures all results are read side by side."""
        self._function = function
        self._signer = signer
        self._storage = storage
        self._now_seconds = now_seconds
        self._readers = ThreadPoolExecutor(
            RESULTS_OF_A_PICTURE * at_once, thread_name_prefix="reading"
        )
        self._large = threading.Lock()

    def render(
        self, picture: Picture, patience_seconds: float | None = None
    ) -> list[StoredRendition]:
        """Raises StillRendering, RendererBusy, RendererFailed, RendererLost, InvalidImage,
        ObjectMissing or ServiceUnavailable.
        """
        patience_seconds = patience_seconds or PATIENCE_SECONDS
        report_after = self._now_seconds() + patience_seconds - _REPORT_MARGIN_SECONDS
        request = render_request(picture, self._signer, report_after)
        answer = self._function.invoke(json.dumps(request).encode(), patience_seconds)
        return self._accepted(picture, answer)

    def look_for(self, picture: Picture) -> list[StoredRendition] | None:
        """What a renderer made that was left alone, or None if it has not ended; raises as
        `render` does.
        """
        answer = self._storage.get_if_present(f"{picture.folder}/{REPORT}")
        return None if answer is None else self._accepted(picture, answer)

    def _accepted(self, picture: Picture, answer: bytes) -> list[StoredRendition]:
        report = _parsed(answer)
        if "renditions" not in report:
            _raise_reported(report)
        try:
            claims = {str(claim["name"]): claim for claim in report["renditions"]}
        except (KeyError, TypeError) as error:
            raise RendererFailed("The renderer's answer has an unexpected format") from error
        if claims.keys() != picture.kinds.keys() or len(claims) != len(report["renditions"]):
            raise RendererFailed("The renderer made something other than requested")
        # While a deployment replaces both, the two may be of different versions.
        version = min(_version(report), RENDERER_VERSION)
        readings = [
            self._readers.submit(self._measured, picture, name, claims[name], version)
            for name in picture.kinds
        ]
        return [reading.result() for reading in readings]

    def _measured(
        self, picture: Picture, name: str, claim: dict[str, Any], version: int
    ) -> StoredRendition:
        """Reads the object, and believes nothing else."""
        kind, extension = picture.kinds[name], claim.get("extension")
        key = f"{picture.folder}/{name}.{extension}"
        if extension is None and name == "image":
            key = picture.source_key
        elif extension not in [made.extension for made in kind.formats]:
            raise RendererFailed(f"The renderer names no format that a {name} may have")
        size_bytes = claim.get("size_bytes")
        if not isinstance(size_bytes, int) or not 0 < size_bytes <= kind.max_bytes:
            raise _unlike_its_claim(name)
        try:
            with self._large if size_bytes > _LARGE_BYTES else nullcontext():
                stored = self._header(name, key, size_bytes)
        except ObjectMissing as error:
            raise RendererFailed(f"The renderer stored no {name}") from error
        except InvalidImage as error:
            raise RendererFailed(f"The {name} that the renderer stored is not valid") from error
        measured = StoredRendition(
            name=name,
            object_key=key,
            content_type=stored.format.content_type,
            size_bytes=size_bytes,
            width=stored.upright_size[0],
            height=stored.upright_size[1],
            animated=stored.frames > 1,
            renderer_version=version,
            placeholder=_placeholder(claim),
        )
        _check(measured, kind, claim, picture)
        return measured

    def _header(self, name: str, key: str, size_bytes: int) -> StoredPicture:
        """No more is read than the renderer has spoken of, and nothing is kept of the bytes."""
        data = self._storage.get_up_to(key, size_bytes)
        if len(data) != size_bytes:
            raise _unlike_its_claim(name)
        return formats.header(data)


def _is_as_asked(made: tuple[int, int], kind: _Kind, picture: Picture) -> bool:
    if picture.wanted is None:
        return kind.longest_side is not None or picture.size is None or made == picture.size
    width, height = made
    across, down = picture.wanted.ratio or made
    # As near to the ratio as whole pixels come.
    return width <= picture.wanted.width and abs(width * down - height * across) <= max(
        across, down
    )


def _check(measured: StoredRendition, kind: _Kind, claim: dict[str, Any], picture: Picture) -> None:
    made = (measured.width, measured.height)
    if (
        measured.content_type not in [allowed.content_type for allowed in kind.formats]
        or (claim.get("width"), claim.get("height")) != made
        or max(made) > (kind.longest_side or MAX_PIXELS)
        or not _is_as_asked(made, kind, picture)
    ):
        raise _unlike_its_claim(measured.name)


def _unlike_its_claim(name: str) -> RendererFailed:
    return RendererFailed(f"The {name} that the renderer stored is not what it says")


def _wanted_in_json(wanted: Wanted | None) -> dict[str, Any] | None:
    if wanted is None:
        return None
    return {
        "width": wanted.width,
        "ratio": wanted.ratio,
        "formats": [made.extension for made in wanted.formats],
    }


def wanted_of_json(sent: dict[str, Any]) -> Wanted:
    """As `render_request` wrote it."""
    by_extension = {made.extension: made for made in (JPEG, PNG, WEBP, AVIF)}
    return Wanted(
        width=sent["width"],
        ratio=None if sent["ratio"] is None else (sent["ratio"][0], sent["ratio"][1]),
        formats=tuple(by_extension[extension] for extension in sent["formats"]),
    )


def _placeholder(claim: dict[str, Any]) -> str | None:
    """It describes a picture and holds none: what is not true of it harms nobody."""
    placeholder = claim.get("placeholder")
    if placeholder is None:
        return None
    if not isinstance(placeholder, str) or _PLACEHOLDER.fullmatch(placeholder) is None:
        raise RendererFailed("The renderer's placeholder is not valid")
    return placeholder


def _version(report: dict[str, Any]) -> int:
    version = report.get("renderer_version")
    if not isinstance(version, int) or version < 0:
        raise RendererFailed("The renderer does not say its version")
    return version


def _parsed(answer: bytes) -> dict[str, Any]:
    if len(answer) > MAX_REPORT_BYTES:
        raise RendererFailed("The renderer's answer is too long")
    try:
        report = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise RendererFailed("The renderer's answer is not JSON") from error
    if not isinstance(report, dict):
        raise RendererFailed("The renderer's answer has an unexpected format")
    return report


def _raise_reported(report: dict[str, Any]) -> NoReturn:
    match report:
        case {"refused": str(reason)}:
            # Shown to the image's owner.
            shown = "".join(character for character in reason if character.isprintable())
            raise InvalidImage(shown[:_MAX_REASON_CHARACTERS] or "The image is damaged")
        case {"missing": True}:
            raise ObjectMissing
        case {"unavailable": str()}:
            raise ServiceUnavailable("The renderer could not reach the storage")
    raise RendererFailed("The renderer's answer has an unexpected format")
