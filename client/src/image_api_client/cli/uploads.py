"""Many files at once: found, uploaded side by side, and reported one by one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import BinaryIO, Literal

from image_api_client import errors
from image_api_client.cli.journal import Journal, digest_of
from image_api_client.client import Client
from image_api_client.forms import Progress, Source
from image_api_client.images import UploadDetails

EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".webp", ".avif"}
    | {".tif", ".tiff", ".bmp", ".dib", ".heic", ".heif"}
)
STANDARD_INPUT = "-"

Outcome = Literal["uploaded", "already there", "failed"]


class Pauses:
    """Those before something is sent again, in all threads; whoever interrupts ends them."""

    def __init__(self) -> None:
        self._ended = Event()

    def sleep(self, seconds: float) -> None:
        if self._ended.wait(seconds):
            raise errors.Unreachable("Interrupted")

    def end(self) -> None:
        self._ended.set()


@dataclass(frozen=True, slots=True)
class Result:
    name: str
    outcome: Outcome
    image_id: int | None = None
    problem: str | None = None


def sources_of(paths: Iterable[str], stdin: BinaryIO | None = None) -> Iterator[tuple[str, Source]]:
    """Each file with its name as given. Of folders: pictures, by their extensions, at any depth,
    and nothing that is hidden. Raises FileNotFoundError.
    """
    for given in paths:
        if given == STANDARD_INPUT:
            yield "standard input", Source.of_bytes((stdin or sys.stdin.buffer).read(), "image")
            continue
        path = Path(given)
        if not path.is_dir():
            yield given, Source.of_path(path)
            continue
        for found in sorted(path.rglob("*")):
            is_hidden = any(part.startswith(".") for part in found.relative_to(path).parts)
            if not is_hidden and found.suffix.lower() in EXTENSIONS and found.is_file():
                yield str(found), Source.of_path(found)


def upload_all(
    client: Client,
    journal: Journal,
    sources: list[tuple[str, Source]],
    details: UploadDetails,
    *,
    jobs: int,
    again: bool,
    progress_of: Callable[[str, Source], Progress],
    pauses: Pauses,
) -> Generator[Result]:
    """The result of each, as they come. Whoever stops iterating lets those under way finish, begins
    no other, and waits for no server that may come back. `pauses`: the client's.
    """
    pool = ThreadPoolExecutor(jobs)
    try:
        waiting = [
            pool.submit(_uploaded, client, journal, name, source, details, again, progress_of)
            for name, source in sources
        ]
        for future in as_completed(waiting):
            yield future.result()
    finally:
        pauses.end()
        pool.shutdown(cancel_futures=True)


def _uploaded(
    client: Client,
    journal: Journal,
    name: str,
    source: Source,
    details: UploadDetails,
    again: bool,
    progress_of: Callable[[str, Source], Progress],
) -> Result:
    try:
        digest = digest_of(source)
        entry = journal.begin_anew(digest) if again else journal.begin(digest)
        if entry.image_id is not None:
            if _exists(client, entry.image_id):
                return Result(name, "already there", entry.image_id)
            entry = journal.begin_anew(digest)
        on_progress = progress_of(name, source)
        try:
            image_id = client.upload(source, details, key=entry.key, on_progress=on_progress)
        except errors.ApiError as error:
            if error.code != "idempotency_key_reused":
                raise
            # An interrupted run had sent it with other details: this is another request.
            entry = journal.begin_anew(digest)
            image_id = client.upload(source, details, key=entry.key, on_progress=on_progress)
        journal.finish(digest, image_id)
    except (errors.NotSignedIn, errors.Unreachable):
        # No other one would fare better.
        raise
    except (errors.ClientError, OSError) as error:
        return Result(name, "failed", problem=str(error))
    return Result(name, "uploaded", image_id)


def _exists(client: Client, image_id: int) -> bool:
    try:
        client.get(image_id)
    except errors.NotFound:
        return False
    return True
