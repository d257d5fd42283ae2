"""How many environments a function gets, and who waits for one."""

import asyncio
import errno
import io
import json
import os

import pytest

from infra.local.invocation import Event, Result, Throttled
from infra.local.lambda_ import pool as pool_module
from infra.local.lambda_.environment import Environment, InitFailed, RuntimeGone
from infra.local.lambda_.pool import ColdStarts, FunctionPool
from infra.local.logs.stream import LogStream
from tests.waiting import until

EVENT = Event([b"{}"], "request")


class FakeEnvironment(Environment):
    """Answers when it is told to."""

    def __init__(self, *, init_error: bytes | OSError | None = None) -> None:
        self.generation = 0
        self.idle_since = 0.0
        self.is_alive = False
        self.is_stopped = False
        self.is_gone = False
        self.init_error = init_error
        self.answers: list[asyncio.Future[Result]] = []

    async def start(self) -> None:
        await asyncio.sleep(0)
        if isinstance(self.init_error, OSError):
            raise self.init_error
        if self.init_error is not None:
            raise InitFailed(self.init_error)
        self.is_alive = True

    async def invoke(self, event: Event) -> Result:
        if self.is_gone:
            self.is_alive = False
            raise RuntimeGone(event)
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self.answers.append(answer)
        return await answer

    async def stop(self) -> None:
        self.is_alive = False
        self.is_stopped = True

    def answer(self, payload: bytes = b"null") -> None:
        self.answers[-1].set_result(Result(payload))

    @property
    def is_busy(self) -> bool:
        return bool(self.answers) and not self.answers[-1].done()


class Fakes:
    """Every environment that a pool made."""

    def __init__(self) -> None:
        self.made: list[FakeEnvironment] = []
        self.init_error: bytes | OSError | None = None
        self.are_gone = False
        # Before there is an environment at all.
        self.make_error: OSError | None = None

    def make(self) -> FakeEnvironment:
        if self.make_error is not None:
            raise self.make_error
        self.made.append(FakeEnvironment(init_error=self.init_error))
        self.made[-1].is_gone = self.are_gone
        return self.made[-1]

    def pool(
        self,
        *,
        limit: int = 4,
        reserved_concurrency: int | None = None,
        idle_seconds: float = 300.0,
        keeps_one: bool = True,
    ) -> FunctionPool:
        return FunctionPool(
            "probe",
            self.make,
            LogStream(io.StringIO()),
            cold_starts=ColdStarts(2),
            limit=limit,
            reserved_concurrency=reserved_concurrency,
            idle_seconds=idle_seconds,
            keeps_one=keeps_one,
        )

    def busy(self) -> list[FakeEnvironment]:
        return [environment for environment in self.made if environment.is_busy]

    async def answer_one(self) -> None:
        """As soon as one is busy."""
        await until(self.busy)
        self.busy()[0].answer()

    def answer_all(self) -> None:
        for environment in self.busy():
            environment.answer()


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Fakes:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    return Fakes()


def invoke(pool: FunctionPool) -> asyncio.Task[Result]:
    return asyncio.create_task(pool.invoke(EVENT))


async def test_requests_one_after_the_other_share_an_environment(fakes: Fakes) -> None:
    pool = fakes.pool()
    for _ in range(3):
        task = invoke(pool)
        await fakes.answer_one()
        await task
    assert len(fakes.made) == 1


async def test_the_pool_grows_to_its_limit_and_further_requests_wait(fakes: Fakes) -> None:
    pool = fakes.pool(limit=3)
    tasks = [invoke(pool) for _ in range(5)]
    await until(lambda: len(fakes.busy()) == 3)
    assert pool.size == 3
    fakes.busy()[0].answer(b"1")
    await until(lambda: sum(task.done() for task in tasks) == 1 and len(fakes.busy()) == 3)
    while not all(task.done() for task in tasks):
        fakes.answer_all()
        await asyncio.sleep(0)
    assert len(fakes.made) == 3


async def test_beyond_one_environment_a_core_only_a_request_that_waited_starts_another(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The third request is served before it has waited for so long.
    monkeypatch.setattr(pool_module, "_GROWTH_DELAY_SECONDS", 3600.0)
    pool = fakes.pool(limit=4)
    tasks = [invoke(pool) for _ in range(3)]
    await until(lambda: len(fakes.busy()) == 2)
    assert len(fakes.made) == 2
    fakes.busy()[0].answer()
    await until(lambda: len(fakes.busy()) == 2)
    fakes.answer_all()
    await asyncio.gather(*tasks)
    assert len(fakes.made) == 2


async def test_waiting_requests_are_served_in_order(fakes: Fakes) -> None:
    pool = fakes.pool(limit=1)
    finished: list[int] = []

    async def numbered(number: int) -> None:
        await pool.invoke(EVENT)
        finished.append(number)

    tasks = [asyncio.create_task(numbered(number)) for number in range(4)]
    while not all(task.done() for task in tasks):
        fakes.answer_all()
        await asyncio.sleep(0)
    assert finished == [0, 1, 2, 3]


async def test_an_idle_pool_shrinks_to_one(fakes: Fakes) -> None:
    pool = fakes.pool(idle_seconds=-1)
    tasks = [invoke(pool) for _ in range(2)]
    await until(lambda: len(fakes.busy()) == 2)
    fakes.answer_all()
    await asyncio.gather(*tasks)
    pool.shrink()
    assert pool.size == 1
    await until(lambda: sum(environment.is_stopped for environment in fakes.made) == 1)


async def test_an_environment_in_recent_use_is_kept(fakes: Fakes) -> None:
    pool = fakes.pool(idle_seconds=300, keeps_one=False)
    pool.warm_up()
    await until(lambda: fakes.made and fakes.made[0].is_alive)
    pool.shrink()
    assert pool.size == 1


async def test_a_function_that_nothing_triggers_shrinks_to_nothing(fakes: Fakes) -> None:
    pool = fakes.pool(idle_seconds=-1, keeps_one=False)
    pool.warm_up()
    await until(lambda: fakes.made and fakes.made[0].is_alive)
    await asyncio.sleep(0)
    pool.shrink()
    assert pool.size == 0


async def test_reserved_concurrency_throttles_instead_of_waiting(fakes: Fakes) -> None:
    pool = fakes.pool(reserved_concurrency=1)
    first = invoke(pool)
    await until(fakes.busy)
    with pytest.raises(Throttled):
        await pool.invoke(EVENT)
    fakes.busy()[0].answer()
    await first


async def test_a_reserved_concurrency_of_zero_switches_the_function_off(fakes: Fakes) -> None:
    with pytest.raises(Throttled):
        await fakes.pool(reserved_concurrency=0).invoke(EVENT)
    assert fakes.made == []


async def test_a_dead_environment_is_never_used_again(fakes: Fakes) -> None:
    pool = fakes.pool()
    task = invoke(pool)
    await until(fakes.busy)
    fakes.made[0].is_alive = False
    fakes.made[0].answer()
    await task
    second = invoke(pool)
    await until(lambda: len(fakes.made) == 2 and fakes.made[1].is_busy)
    fakes.made[1].answer()
    await second
    assert fakes.made[0].is_stopped


async def test_what_ended_while_it_was_handed_over_is_passed_over(fakes: Fakes) -> None:
    pool = fakes.pool(limit=1)
    first, second = invoke(pool), invoke(pool)
    await until(fakes.busy)
    fakes.made[0].is_gone = True
    fakes.made[0].answer()
    await first
    await until(lambda: len(fakes.made) == 2 and fakes.made[1].is_busy)
    fakes.made[1].answer()
    assert not (await second).is_error
    assert fakes.made[0].is_stopped


async def test_what_ended_while_it_was_idle_is_no_longer_there(fakes: Fakes) -> None:
    pool = fakes.pool()
    task = invoke(pool)
    await fakes.answer_one()
    await task
    fakes.made[0].is_alive = False
    fakes.made[0].on_idle_end()
    assert pool.size == 0
    await until(lambda: fakes.made[0].is_stopped)


async def test_environments_that_end_as_soon_as_they_have_started_fail_their_request(
    fakes: Fakes,
) -> None:
    fakes.are_gone = True
    result = await fakes.pool(limit=3, keeps_one=False).invoke(EVENT)
    assert result.is_error
    assert len(fakes.made) == 4


async def test_replacing_lets_a_running_invocation_finish_on_the_old_environment(
    fakes: Fakes,
) -> None:
    pool = fakes.pool()
    old = invoke(pool)
    await until(fakes.busy)
    pool.replace(fakes.make)
    new = invoke(pool)
    await until(lambda: len(fakes.busy()) == 2)
    assert not fakes.made[0].is_stopped
    fakes.made[0].answer(b"old")
    assert (await old).payload == b"old"
    await until(lambda: fakes.made[0].is_stopped)
    fakes.busy()[0].answer(b"new")
    assert (await new).payload == b"new"


async def test_a_failed_start_fails_one_request_and_the_next_one_tries_again(fakes: Fakes) -> None:
    pool = fakes.pool(limit=1)
    fakes.init_error = b'{"errorType": "Runtime.ImportModuleError"}'
    first, second = invoke(pool), invoke(pool)
    for task in (first, second):
        result = await task
        assert result.is_error
        assert result.payload == fakes.init_error
    assert len(fakes.made) == 2
    fakes.init_error = None
    third = invoke(pool)
    await fakes.answer_one()
    assert not (await third).is_error


@pytest.mark.parametrize("when", ["make_error", "init_error"])
async def test_a_full_disk_fails_a_request_as_lambda_fails_it_and_the_next_one_tries_again(
    fakes: Fakes, when: str
) -> None:
    pool = fakes.pool(limit=1)
    setattr(fakes, when, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    for task in (invoke(pool), invoke(pool)):
        result = await task
        assert result.is_error
        error = json.loads(result.payload)
        assert error["errorType"] == "Runtime.ExitError"
        assert "No space left on device" in error["errorMessage"]
    assert pool.size == 0
    setattr(fakes, when, None)
    third = invoke(pool)
    await fakes.answer_one()
    assert not (await third).is_error


async def test_a_request_that_is_given_up_leaves_its_place_to_the_next(fakes: Fakes) -> None:
    pool = fakes.pool(limit=1)
    first = invoke(pool)
    await until(fakes.busy)
    given_up, third = invoke(pool), invoke(pool)
    await asyncio.sleep(0)
    given_up.cancel()
    fakes.busy()[0].answer()
    await first
    await fakes.answer_one()
    assert not (await third).is_error


async def test_stopping_waits_for_running_invocations_and_stops_everything(fakes: Fakes) -> None:
    pool = fakes.pool()
    task = invoke(pool)
    await until(fakes.busy)
    stopping = asyncio.create_task(pool.stop(patience_seconds=3600))
    await asyncio.sleep(0)
    assert not stopping.done()
    fakes.busy()[0].answer()
    await stopping
    assert not (await task).is_error
    assert all(environment.is_stopped for environment in fakes.made)


async def test_stopping_does_not_wait_for_ever(fakes: Fakes) -> None:
    pool = fakes.pool()
    task = invoke(pool)
    await until(fakes.busy)
    await pool.stop(patience_seconds=0.01)
    assert fakes.made[0].is_stopped
    task.cancel()


async def test_a_start_that_a_request_waits_for_goes_first() -> None:
    cold_starts = ColdStarts(1)
    order: list[str] = []
    awaited = {"second"}

    async def start(name: str) -> None:
        async with cold_starts.turn(lambda: name in awaited):
            order.append(name)
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(start(name)) for name in ("running", "first", "second", "third")]
    await asyncio.sleep(0)
    awaited.add("third")
    await asyncio.gather(*tasks)
    assert order == ["running", "second", "third", "first"]


async def test_a_start_that_is_given_up_does_not_keep_its_turn() -> None:
    cold_starts = ColdStarts(1)
    release = asyncio.Event()

    async def start() -> None:
        async with cold_starts.turn(lambda: False):
            await release.wait()

    running, given_up, waiting = (asyncio.create_task(start()) for _ in range(3))
    await asyncio.sleep(0)
    given_up.cancel()
    release.set()
    await asyncio.gather(running, waiting)
    async with cold_starts.turn(lambda: False):
        pass
