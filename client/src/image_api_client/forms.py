"""Files and the multipart forms that carry them, streamed: no file is held in memory whole."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import httpx
from anyio import to_thread

_CHUNK_BYTES = 64 * 1024

# Told how many bytes of a form's file have been sent; it starts anew when the form is sent again.
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Source:
    """A file to upload, which can be opened again as often as it has to be sent."""

    filename: str
    size_bytes: int
    open: Callable[[], BinaryIO] = field(repr=False)

    @classmethod
    def of_path(cls, path: str | os.PathLike[str]) -> Source:
        found = Path(path)
        return cls(found.name, found.stat().st_size, lambda: found.open("rb"))

    @classmethod
    def of_bytes(cls, data: bytes, filename: str) -> Source:
        return cls(filename, len(data), lambda: BytesIO(data))


class Form(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The body of a multipart form: text fields first, then the file (RFC 7578)."""

    def __init__(
        self,
        fields: Sequence[tuple[str, str]],
        file_field: str,
        source: Source,
        on_progress: Progress | None = None,
    ) -> None:
        boundary = uuid4().hex
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._source = source
        self._on_progress = on_progress
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"\r\n\r\n'
            f"{value}\r\n"
            for name, value in fields
        ]
        parts.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(file_field)}"; '
            f'filename="{_quoted(source.filename)}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        self._head = "".join(parts).encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()

    @property
    def length_bytes(self) -> int:
        return len(self._head) + self._source.size_bytes + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        sent_bytes = 0
        with self._source.open() as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
                sent_bytes += len(chunk)
                self._tell(sent_bytes)
        yield self._tail

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = iter(self)
        while (chunk := await to_thread.run_sync(next, chunks, None)) is not None:
            yield chunk

    def _tell(self, sent_bytes: int) -> None:
        if self._on_progress is not None:
            self._on_progress(sent_bytes)


def _quoted(name: str) -> str:
    """As browsers write a name into a header of a part (WHATWG, multipart/form-data)."""
    return name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")
