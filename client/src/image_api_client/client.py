"""The client for scripts and threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, Literal, Self, TypeVar

import httpx

from image_api_client import accounts, errors, images
from image_api_client.accounts import Api
from image_api_client.flows import TIMEOUT, Call, Flow, Pause, request
from image_api_client.forms import Progress, Source
from image_api_client.images import EVERYTHING, NO_DETAILS, ListQuery, UploadDetails
from image_api_client.models import (
    Account,
    BatchResult,
    Change,
    Image,
    ImageChanges,
    Page,
    RenditionFormat,
    TagCount,
)
from image_api_client.retries import Patience
from image_api_client.sessions import MemoryTokenStore, Session, TokenStore

T = TypeVar("T")


class Client:
    """One account of one API. It may be shared by threads; close it, or use it in a `with`.

    `http` brings other time-outs, proxies or certificates. `sleep` is how long it waits before it
    sends something again: what it raises ends the waiting.
    """

    def __init__(
        self,
        base_url: str,
        *,
        tokens: TokenStore | None = None,
        patience: Patience | None = None,
        http: httpx.Client | None = None,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._sleep = sleep or time.sleep
        self._api = Api(Session(tokens or MemoryTokenStore()), patience or Patience())
        self._http = http or httpx.Client(timeout=TIMEOUT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    @property
    def is_signed_in(self) -> bool:
        return self._api.session.tokens is not None

    def register(self, username: str, password: str) -> None:
        self._run(accounts.register(self._api, username, password))

    def sign_in(self, username: str, password: str) -> None:
        self._run(accounts.sign_in(self._api, username, password))

    def sign_out(self) -> None:
        self._run(accounts.sign_out(self._api))

    def account(self) -> Account:
        return self._run(accounts.account(self._api))

    def change_password(self, current_password: str, new_password: str) -> None:
        self._run(accounts.change_password(self._api, current_password, new_password))

    def delete_account(self, password: str) -> None:
        self._run(accounts.delete_account(self._api, password))

    def upload(
        self,
        source: Source,
        details: UploadDetails = NO_DETAILS,
        *,
        key: str | None = None,
        on_progress: Progress | None = None,
    ) -> int:
        """The id of the image, which is processed after this: see `wait`.

        `key` (any text of yours): the same one with the same file and details gives the same
        image, for 24 hours.
        """
        return self._run(
            images.upload(self._api, source, details, key=key, on_progress=on_progress)
        )

    def get(self, image_id: int) -> Image:
        return self._run(images.get(self._api, image_id))

    def wait(self, image_id: int, timeout_seconds: float = 300.0) -> Image:
        """The image, once it is ready; raises ProcessingFailed or StillProcessing."""
        return self._run(images.wait(self._api, image_id, timeout_seconds))

    def page(
        self, query: ListQuery = EVERYTHING, *, limit: int = 100, cursor: str | None = None
    ) -> Page:
        return self._run(images.page(self._api, query, limit, cursor))

    def images(self, query: ListQuery = EVERYTHING) -> Iterator[Image]:
        """Every image that matches, page after page."""
        cursor: str | None = None
        while True:
            page = self.page(query, cursor=cursor)
            yield from page.images
            cursor = page.next_cursor
            if cursor is None:
                return

    def tags(self, owner: Literal["me"] | int | None = None, limit: int = 100) -> list[TagCount]:
        return self._run(images.tags(self._api, owner, limit))

    def update(
        self, image_id: int, changes: ImageChanges, *, version: int | None = None
    ) -> int | None:
        """The version that the image has with this change. `version`: raises PreconditionFailed
        where the image has another one meanwhile.
        """
        return self._run(images.update(self._api, image_id, changes, version))

    def delete(self, image_id: int, *, version: int | None = None) -> None:
        """For good, at once."""
        self._run(images.delete(self._api, image_id, version))

    def update_all(self, ids: Sequence[int], changes: ImageChanges) -> list[BatchResult]:
        return self._run(images.batch(self._api, ids, changes))

    def delete_all(self, ids: Sequence[int]) -> list[BatchResult]:
        return self._run(images.batch(self._api, ids, "delete"))

    def history(self, image_id: int) -> list[Change]:
        return self._run(images.history(self._api, image_id))

    def rendition_url(
        self,
        image_id: int,
        *,
        width: int | None = None,
        ratio: str | None = None,
        format: RenditionFormat | None = None,
        download: bool = False,
    ) -> str:
        """A signed URL of the picture at this size, which is made if it was never asked for."""
        return self._run(
            images.rendition_url(
                self._api, image_id, width=width, ratio=ratio, format=format, download=download
            )
        )

    def original_url(self, image_id: int) -> str:
        """A signed URL of the bytes as they were uploaded, good for five minutes."""
        return self._run(images.original_url(self._api, image_id))

    def download(self, url: str, sink: BinaryIO, *, on_progress: Progress | None = None) -> int:
        """How many bytes of a signed URL were written to `sink`, which must be seekable."""
        return self._run(images.download(self._api, url, sink, on_progress))

    def _run(self, flow: Flow[T]) -> T:
        try:
            step = next(flow)
            while True:
                if isinstance(step, Pause):
                    self._sleep(step.seconds)
                    step = flow.send(None)
                    continue
                outcome = self._outcome(step)
                if isinstance(outcome, errors.Unreachable):
                    step = flow.throw(outcome)
                else:
                    step = flow.send(outcome)
        except StopIteration as end:
            result: T = end.value
            return result

    def _outcome(self, call: Call) -> httpx.Response | errors.Unreachable:
        try:
            return self._answered(call)
        except httpx.TransportError as error:
            return errors.unreachable(self.base_url, error)

    def _answered(self, call: Call) -> httpx.Response:
        made = request(self._http, self.base_url, call)
        response = self._http.send(made, stream=True)
        try:
            if call.sink is None or response.status_code != 200:
                response.read()
                return response
            call.sink.seek(0)
            call.sink.truncate()
            for chunk in response.iter_bytes():
                call.sink.write(chunk)
                if call.on_progress is not None:
                    call.on_progress(call.sink.tell())
            return response
        finally:
            response.close()
