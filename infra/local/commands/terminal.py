"""The terminal of `make invoke`, for breakpoints of the function that it invokes."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from infra.services.ports import port_of

_CHUNK_BYTES = 4096


@asynccontextmanager
async def terminal() -> AsyncIterator[int | None]:
    """The loopback port at which this terminal answers; None where nobody sits before it.

    What a debugger writes goes to standard error: standard output is for the function's answer.
    """
    if not sys.stdin.isatty():
        yield None
        return
    server = await asyncio.start_server(_connected, "127.0.0.1", 0)
    async with server:
        yield port_of(server.sockets[0])


async def _connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    loop = asyncio.get_running_loop()

    def type_in() -> None:
        # Until the end of the input, or of this program.
        for line in sys.stdin:
            loop.call_soon_threadsafe(writer.write, line.encode())
        loop.call_soon_threadsafe(writer.close)

    threading.Thread(target=type_in, daemon=True).start()
    while chunk := await reader.read(_CHUNK_BYTES):
        sys.stderr.write(chunk.decode(errors="replace"))
        sys.stderr.flush()
    writer.close()
