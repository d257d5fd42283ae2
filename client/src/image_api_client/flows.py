"""What an operation wants done, step by step, without knowing whether it is awaited.

A flow is a generator: it yields a step, and its runner sends back what came of it. `Client` and
`AsyncClient` are two runners of the same flows.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urljoin

import httpx

from image_api_client.forms import Form, Progress


@dataclass(frozen=True, slots=True)
class Call:
    """A request; `path` is below the API's address, or a whole URL of somewhere else."""

    method: str
    path: str
    params: tuple[tuple[str, str], ...] = ()
    json: Any = None
    form: Form | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    is_signed_in: bool = True
    # Whether sending it twice does what sending it once does.
    may_repeat: bool = True
    # Where the body of a 200 goes, instead of into memory.
    sink: BinaryIO | None = None
    on_progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


TIMEOUT = httpx.Timeout(60.0, connect=10.0)

T = TypeVar("T")
Step = Call | Pause
# A runner sends a response for a call, and nothing for a pause. It throws Unreachable.
Flow = Generator[Step, Any, T]


def sent(call: Call) -> Flow[httpx.Response]:
    """One call, sent once."""
    response: httpx.Response = yield call
    return response


def request(http: httpx.Client | httpx.AsyncClient, base_url: str, call: Call) -> httpx.Request:
    """The call as httpx sends it."""
    url = call.path if "://" in call.path else urljoin(base_url + "/", call.path.lstrip("/"))
    made = http.build_request(
        call.method,
        url,
        params=call.params or None,
        json=call.json,
        headers=dict(call.headers),
    )
    form = call.form
    if form is None:
        return made
    made.headers["Content-Type"] = form.content_type
    made.headers["Content-Length"] = str(form.length_bytes)
    # Given as content, what can be read both ways would be taken for what cannot be awaited.
    return httpx.Request(
        made.method, made.url, headers=made.headers, stream=form, extensions=made.extensions
    )
