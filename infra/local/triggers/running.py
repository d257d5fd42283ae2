"""The triggers that run: a poller for each queue, a clock for each schedule."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from infra.local.invocation import Event, Invoke
from infra.local.logs.stream import LogStream
from infra.local.template.model import Template
from infra.local.triggers import schedules
from infra.local.triggers.event_source import QueuePoller, url_of_poller


class RunningTriggers:
    """`apply` a template, `stop` in the end.

    Messages are invoked with and waited for, schedules only fired. `supervise` makes a task of
    work that is to run as long as the cloud.
    """

    def __init__(
        self,
        broker_url: str,
        invoke: Invoke,
        invoke_later: Callable[[str, Event], None],
        logs: LogStream,
        supervise: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self._broker_url = broker_url
        self._invoke = invoke
        self._invoke_later = invoke_later
        self._logs = logs
        self._supervise = supervise
        self._pollers: dict[str, tuple[QueuePoller, asyncio.Task[None]]] = {}
        self._clocks: list[asyncio.Task[None]] = []

    def apply(self, template: Template) -> None:
        """A queue's mapping that did not change goes on; every schedule starts anew."""
        wanted = {str(mapping): mapping for mapping in template.queue_mappings if mapping.enabled}
        for key in self._pollers.keys() - wanted.keys():
            self._pollers.pop(key)[0].stop()
        for key, mapping in wanted.items():
            if key not in self._pollers:
                url = url_of_poller(self._broker_url, template, mapping)
                poller = QueuePoller(mapping, url, self._invoke, self._logs)
                self._pollers[key] = poller, self._supervise(poller.run())
        for clock in self._clocks:
            clock.cancel()
        self._clocks = [
            self._supervise(schedules.run(schedule, template.region, self._invoke_later))
            for schedule in template.schedules
            if schedule.enabled
        ]

    async def stop(self, patience_seconds: float) -> None:
        """Lets the batches in flight be settled."""
        for clock in self._clocks:
            clock.cancel()
        for poller, _ in self._pollers.values():
            poller.stop()
        running = [task for _, task in self._pollers.values()]
        if running:
            _, unfinished = await asyncio.wait(running, timeout=patience_seconds)
            for task in unfinished:
                task.cancel()
