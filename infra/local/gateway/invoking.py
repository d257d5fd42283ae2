"""How a gateway waits for a function: as long as the integration says, and no longer."""

import asyncio
import uuid
from collections.abc import Sequence

from infra.local.invocation import Event, Invoke, Result


class Invoker:
    """`invoke` runs a function, given by its logical id."""

    def __init__(self, invoke: Invoke) -> None:
        self._invoke = invoke
        self._running: set[asyncio.Future[Result]] = set()

    async def result(self, function_id: str, event: Event, timeout_seconds: float) -> Result | None:
        """None after the time-out: as on AWS the function runs on. Raises Throttled."""
        loop = asyncio.get_running_loop()
        running = asyncio.ensure_future(self._invoke(function_id, event))
        waiter = loop.create_future()
        self._running.add(running)

        def ended(_: asyncio.Future[Result]) -> None:
            self._running.discard(running)
            if not waiter.done():
                waiter.set_result(None)
            elif not running.cancelled():
                # Nobody waits for it any more, nor for what went wrong.
                running.exception()

        # What asyncio.wait would do, in half its time.
        running.add_done_callback(ended)
        timer = loop.call_later(timeout_seconds, _give_up, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
        return running.result() if running.done() else None


def event_of(payload: Sequence[bytes], trace_id: str, qualifier: str | None) -> Event:
    """Of an invocation with an id of its own."""
    # The version that an alias stands for is the one that there is.
    version = "1" if qualifier else "$LATEST"
    return Event(payload, str(uuid.uuid4()), trace_id, qualifier=qualifier, version=version)


def _give_up(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
