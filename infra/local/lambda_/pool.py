"""The execution environments of one function: as many as the load needs, one when it rests."""

import asyncio
import contextlib
import functools
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

from infra.local.invocation import Event, Result, Throttled, error_summary, failure
from infra.local.lambda_.environment import Environment, InitFailed, RuntimeGone
from infra.local.lambda_.self_writes import BusyTimes
from infra.local.logs.stream import LogStream

# Up to one environment per core starts at once; a further one only for a request that waited.
_GROWTH_DELAY_SECONDS = 0.05
_MAX_WAITING = 1000


class ColdStarts:
    """Bounds how many environments start at the same time, over all pools.

    A start that a request waits for goes before one that is made ahead of time.
    """

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._queue: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    @asynccontextmanager
    async def turn(self, is_awaited: Callable[[], bool]) -> AsyncIterator[None]:
        """Waits for its turn; `is_awaited` is asked again whenever a place becomes free."""
        if self._free:
            self._free -= 1
        else:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._queue.append((is_awaited, turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._pass_on()
                raise
        try:
            yield
        finally:
            self._pass_on()

    def _pass_on(self) -> None:
        self._queue = [entry for entry in self._queue if not entry[1].done()]
        chosen = next((entry for entry in self._queue if entry[0]()), None)
        if chosen is None and self._queue:
            chosen = self._queue[0]
        if chosen is None:
            self._free += 1
        else:
            chosen[1].set_result(None)


class FunctionPool:
    """Runs the invocations of one function.

    `limit` bounds the environments; requests beyond it wait, as they would for a cold start.
    `reserved_concurrency` bounds the invocations, and beyond it Throttled is raised, as on AWS.
    `cold_starts` is shared by all pools of a cloud.
    """

    def __init__(
        self,
        name: str,
        make_environment: Callable[[], Environment],
        logs: LogStream,
        *,
        cold_starts: ColdStarts,
        limit: int,
        reserved_concurrency: int | None = None,
        idle_seconds: float = 300.0,
        keeps_one: bool = True,
    ) -> None:
        self._name = name
        self._make_environment = make_environment
        self._logs = logs
        self._cold_starts = cold_starts
        self._limit = limit
        self._reserved_concurrency = reserved_concurrency
        self._idle_seconds = idle_seconds
        self._keeps_one = keeps_one
        self._eager_limit = min(limit, os.cpu_count() or 1)
        self._environments: set[Environment] = set()
        self._idle: list[Environment] = []
        self._waiting: deque[asyncio.Future[Environment]] = deque()
        self._starting = 0
        self._in_flight = 0
        self._generation = 0
        self._starts: set[asyncio.Task[None]] = set()
        self._stops: set[asyncio.Task[None]] = set()
        self._growth: asyncio.TimerHandle | None = None
        self._drained = asyncio.Event()
        self._drained.set()
        self._is_stopping = False
        self.busy_times = BusyTimes()

    async def invoke(self, event: Event) -> Result:
        """Runs the function, on an idle environment or the next one. Raises Throttled."""
        if (
            self._reserved_concurrency is not None and self._in_flight >= self._reserved_concurrency
        ) or len(self._waiting) >= _MAX_WAITING:
            raise Throttled(self._name)
        self._in_flight += 1
        self._drained.clear()
        try:
            return await self._invoke_on_one(event)
        except InitFailed as error:
            return Result(error.payload, is_error=True)
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._drained.set()

    async def _invoke_on_one(self, event: Event) -> Result:
        """What ended at rest fails nobody: as Lambda hands out nothing that is no longer there."""
        # However many there are, one more was started since: a function whose environments end as
        # soon as they have started must not start them for ever.
        tries_left = self._limit
        while True:
            environment = self._take_idle() or await self._wait_for_one()
            self.busy_times.begin()
            try:
                return await environment.invoke(event)
            except RuntimeGone as gone:
                if not tries_left or self._is_stopping:
                    return gone.result
                tries_left -= 1
            finally:
                self.busy_times.end()
                self._give_back(environment)

    def warm_up(self) -> None:
        """Starts an environment ahead of the first request."""
        if not self._environments and not self._starting:
            self._start_one()

    def replace(self, make_environment: Callable[[], Environment]) -> None:
        """The next invocation runs on an environment from here; a running one ends in peace."""
        self._make_environment = make_environment
        self._generation += 1
        was_in_use = bool(self._environments) or self._starting
        while self._idle:
            self._discard(self._idle.pop())
        if was_in_use:
            self._start_one()

    def shrink(self) -> None:
        """Stops what was idle for too long. Called from time to time."""
        now = time.monotonic()
        keep = 1 if self._keeps_one else 0
        # The front of the list has been idle longest: the last one used is the next one used.
        while (
            self._idle
            and len(self._environments) > keep
            and now - self._idle[0].idle_since > self._idle_seconds
        ):
            self._discard(self._idle.pop(0))

    async def stop(self, patience_seconds: float) -> None:
        """Lets running invocations finish, then ends everything."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_seconds):
                await self._drained.wait()
        self._is_stopping = True
        if self._growth is not None:
            self._growth.cancel()
        for waiter in self._waiting:
            waiter.cancel()
        for task in self._starts:
            task.cancel()
        await asyncio.gather(*self._starts, return_exceptions=True)
        self._idle.clear()
        for environment in list(self._environments):
            self._discard(environment)
        await asyncio.gather(*self._stops)

    @property
    def pids(self) -> list[int]:
        return [pid for environment in self._environments for pid in environment.pids]

    @property
    def size(self) -> int:
        """How many environments run or start."""
        return len(self._environments) + self._starting

    def _take_idle(self) -> Environment | None:
        while self._idle:
            environment = self._idle.pop()
            if environment.is_alive:
                return environment
            self._discard(environment)
        return None

    async def _wait_for_one(self) -> Environment:
        waiter: asyncio.Future[Environment] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._grow()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._give_back(waiter.result())
            raise

    def _grow(self) -> None:
        if not self._waiting or self._starting >= len(self._waiting) or self.size >= self._limit:
            return
        if self.size < self._eager_limit:
            self._start_one()
        elif self._growth is None:
            self._growth = asyncio.get_running_loop().call_later(
                _GROWTH_DELAY_SECONDS, self._grow_for_the_patient, self._waiting[0]
            )

    def _grow_for_the_patient(self, waiter: asyncio.Future[Environment]) -> None:
        self._growth = None
        if not waiter.done() and self.size < self._limit and not self._is_stopping:
            self._start_one()
        self._grow()

    def _start_one(self) -> None:
        self._starting += 1
        _track(self._start(self._generation), self._starts)

    async def _start(self, generation: int) -> None:
        refusal: InitFailed | None = None
        try:
            async with self._cold_starts.turn(lambda: bool(self._waiting)):
                environment = self._make_environment()
                environment.generation = generation
                self.busy_times.begin()
                try:
                    await environment.start()
                finally:
                    self.busy_times.end()
        except InitFailed as error:
            refusal = error
        except Exception as error:
            # Whoever waits for an environment is told: nothing else would.
            words = f"The environment did not start: {error!r}"
            refusal = InitFailed(failure("Runtime.ExitError", words).payload)
        finally:
            self._starting -= 1
        if refusal is not None:
            self._refuse_one(refusal)
            return
        environment.on_idle_end = functools.partial(self._forget, environment)
        self._environments.add(environment)
        self._give_back(environment)

    def _refuse_one(self, refusal: InitFailed) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(refusal)
                break
        self._logs.event(
            self._name, f"did not start: {error_summary(refusal.payload)}", is_problem=True
        )
        self._grow()

    def _give_back(self, environment: Environment) -> None:
        if not environment.is_alive or environment.generation != self._generation:
            self._discard(environment)
            self._grow()
            if self._keeps_one and not self.size and not self._is_stopping:
                # One that crashed: the next invocation finds another.
                self._start_one()
            return
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(environment)
                return
        environment.idle_since = time.monotonic()
        self._idle.append(environment)

    def _forget(self, environment: Environment) -> None:
        """It ended while it was idle: the next invocation initialises another.

        One that somebody was just given is found out, and given back, by them.
        """
        if environment in self._idle:
            self._idle.remove(environment)
            self._discard(environment)

    def _discard(self, environment: Environment) -> None:
        self._environments.discard(environment)
        _track(environment.stop(), self._stops)


def _track(work: Coroutine[None, None, None], tasks: set[asyncio.Task[None]]) -> None:
    task = asyncio.get_running_loop().create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
