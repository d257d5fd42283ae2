"""One picture, from a URL to forms: what the renderer does, which has no rights of its own."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from image_api.core.renditions.render_requests import REPORT, RESULTS_OF_A_PICTURE, wanted_of_json
from image_api.core.tracing import trace_id_of
from image_api.errors import InvalidImage, ObjectMissing, ServiceUnavailable
from image_api.imaging.model import RENDERER_VERSION, Rendition
from image_api.imaging.pixels.rendering import one_by_one
from image_api.imaging.pixels.requested_renditions import render_wanted
from image_api.observability import logger


class Transfers(Protocol):
    """Threads may share it."""

    def get(self, url: str) -> bytes:
        """Raises ObjectMissing or ServiceUnavailable."""

    def post(self, url: str, fields: Mapping[str, str], data: bytes) -> None:
        """Sends a form with a file. Raises ServiceUnavailable."""


# With less time than that left a report that cannot be stored is given up.
_TOO_LATE_SECONDS = 2.0
_PAUSE_SECONDS = 0.5


def run(
    task: Mapping[str, Any],
    transfers: Transfers,
    seconds_left: Callable[[], float],
    now_seconds: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Renders what `render_requests` asks for, and reports what it made, or why nothing.

    Whoever asked may have gone on by the time of `report_after`: then the report is stored as well,
    for as long as it takes. One that is missing is taken for a crash, and three of these for the
    picture's fault.
    """
    _say_what_for(task)
    report = _report(task, transfers)
    if now_seconds() < task["report_after"]:
        return report
    while True:
        try:
            _store(task, transfers, REPORT, json.dumps(report).encode())
        except ServiceUnavailable:
            if seconds_left() < _TOO_LATE_SECONDS:
                raise
            sleep(_PAUSE_SECONDS)
        else:
            return report


def _say_what_for(task: Mapping[str, Any]) -> None:
    """The line by which what becomes of this picture is found, should it end the process. A version
    of before asks without.
    """
    logger.append_keys(
        correlation_id=task.get("correlation_id"),
        trace_id=trace_id_of(task.get("traceparent") or ""),
    )
    logger.info("a picture is rendered")


def _report(task: Mapping[str, Any], transfers: Transfers) -> dict[str, Any]:
    try:
        return {
            "renderer_version": RENDERER_VERSION,
            "renditions": _render(task, transfers),
        }
    except InvalidImage as error:
        return {"refused": error.detail}
    except ObjectMissing:
        return {"missing": True}
    except ServiceUnavailable as error:
        logger.warning("the storage does not answer", reason=error.detail)
        return {"unavailable": error.detail}


def _render(task: Mapping[str, Any], transfers: Transfers) -> list[dict[str, Any]]:
    source = transfers.get(task["source"])
    made = []
    # Each is sent while the next is made.
    with ThreadPoolExecutor(RESULTS_OF_A_PICTURE, thread_name_prefix="storing") as threads:
        sendings = []
        for rendition in _made(source, task):
            # A rendition on demand goes again, and must not take what is served along.
            is_original = rendition.name != "rendition" and rendition.data == source
            if not is_original:
                name = f"{rendition.name}.{rendition.extension}"
                sendings.append(threads.submit(_store, task, transfers, name, rendition.data))
            made.append(
                {
                    "name": rendition.name,
                    # What is not stored is the original itself.
                    "extension": None if is_original else rendition.extension,
                    "size_bytes": len(rendition.data),
                    "width": rendition.width,
                    "height": rendition.height,
                    "placeholder": _base64(rendition.placeholder),
                }
            )
    for sending in sendings:
        sending.result()
    return made


def _made(source: bytes, task: Mapping[str, Any]) -> Iterator[Rendition]:
    if task.get("wanted") is not None:
        return iter([render_wanted(source, wanted_of_json(task["wanted"]))])
    size = None if task["size"] is None else (task["size"][0], task["size"][1])
    return one_by_one(source, size=size, fit=task["fit"])


def _base64(placeholder: bytes | None) -> str | None:
    return None if placeholder is None else b64encode(placeholder).decode()


def _store(task: Mapping[str, Any], transfers: Transfers, name: str, data: bytes) -> None:
    form = task["form"]
    transfers.post(form["url"], {**form["fields"], **task["results"][name]}, data)
