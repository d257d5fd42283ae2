"""Breaks a running system for many rounds and counts what it cost: `make chaos`.

Every round takes one kind of fault, has users upload, update and delete meanwhile, ends the fault,
waits until nothing is left to do, and compares everything with a model. The same seed brings the
same requests and the same faults; which of them meet is up to the machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from random import Random, SystemRandom

from pika.adapters.blocking_connection import BlockingChannel

from image_api.core.change_log import events
from tests.bad_messages import bad_bodies
from tests.faults import batches
from tests.faults.audit import Audit
from tests.faults.breakable_cloud import BreakableCloud, Part, breakable_cloud
from tests.faults.injecting import Repeatedly, failing_storage
from tests.faults.queue_operations import delete_everything, delete_queue, purge_queue
from tests.faults.storage_proxy import Fault as StorageFault
from tests.faults.workload import Workload
from tests.waiting import eventually

_CONFIRMS_LOST = 3
_LOSSES = 3
_SLOWNESS_SECONDS = 0.3
_MIN_FAULTS = 5
_API_FUNCTIONS = ("upload", "update", "delete", "batch")
# Shorter than a request waits for an answer of the database.
_LOCK_SECONDS = 3.0

# Gets the load that runs meanwhile and an event that is set when it has sent enough; returns how
# many faults it caused.
Fault = Callable[[BreakableCloud, Workload, Random, threading.Event], int]


@dataclass
class Row:
    """What one kind of fault cost."""

    requests: int = 0
    accepted: int = 0
    refused: int = 0
    key_in_use: int = 0
    other_answers: int = 0
    faults: int = 0
    lost_or_wrong: int = 0
    done_twice: int = 0
    miscounted: int = 0
    orphans_swept: int = 0
    orphans_left: int = 0
    rows_without_file: int = 0
    stuck: int = 0

    @property
    def has_failed(self) -> bool:
        return any(
            (
                self.other_answers,
                self.lost_or_wrong,
                self.done_twice,
                self.miscounted,
                self.orphans_left,
                self.rows_without_file,
                self.stuck,
            )
        )

    def add(self, other: Row) -> None:
        for name in (item.name for item in fields(Row)):
            setattr(self, name, getattr(self, name) + getattr(other, name))


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="of an earlier run, to repeat it")
    parser.add_argument(
        "--rounds", type=int, default=2 * len(FAULTS), help="how many (%(default)s)"
    )
    parser.add_argument("--changes", type=int, default=150, help="in a round (%(default)s)")
    parser.add_argument(
        "--fault", action="append", choices=list(FAULTS), help="this kind alone, or these"
    )
    options = parser.parse_args()
    seed = SystemRandom().randrange(2**32) if options.seed is None else options.seed
    print(
        f"seed {seed}, {options.rounds} rounds of at least {options.changes} accepted changes",
        flush=True,
    )
    rows, started_at = {name: Row() for name in FAULTS}, time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="chaos-") as folder,
        # Users have as much under way as the faults hold back.
        breakable_cloud(
            Path(folder),
            LIMIT_UNFINISHED_CHANGES="0",
            LIMIT_OPEN_DIRECT_UPLOADS="0",
        ) as system,
    ):
        try:
            _run(system, options, Random(seed), rows)
        finally:
            # Also what was found before a part failed for good.
            seconds = time.monotonic() - started_at
            print(f"\nseed {seed}, {seconds:.0f} s\n\n{table(rows)}", flush=True)
    return 1 if any(row.has_failed for row in rows.values()) else 0


def _run(
    system: BreakableCloud, options: argparse.Namespace, random: Random, rows: dict[str, Row]
) -> None:
    """Every kind in turn, in an order of the seed's own."""
    kinds: list[str] = []
    for number in range(1, options.rounds + 1):
        system.keep_the_janitor_waiting()
        chosen = options.fault or list(FAULTS)
        kinds = kinds or random.sample(chosen, len(chosen))
        kind = kinds.pop()
        row = _round(system, FAULTS[kind], random.randrange(2**32), options.changes)
        rows[kind].add(row)
        print(f"round {number}: {kind}: {row}", flush=True)


def table(rows: dict[str, Row]) -> str:
    """In Markdown, with a line for the sum."""
    total = Row()
    for row in rows.values():
        total.add(row)
    names = [item.name for item in fields(Row)]
    lines = [["fault", *(name.replace("_", " ") for name in names)]]
    lines += [
        [kind, *(str(getattr(row, name)) for name in names)]
        for kind, row in {**rows, "all": total}.items()
        if row.requests
    ]
    rule = ["---", *("---:" for _ in names)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]])


def _round(system: BreakableCloud, fault: Fault, seed: int, changes: int) -> Row:
    audit, random = Audit(system), Random(seed)
    audit.listen()
    enough, ended = threading.Event(), threading.Event()

    with Workload(system.cloud.api_url, seed) as workload:

        def is_enough(_count: int) -> bool:
            if workload.accepted >= changes:
                enough.set()
            return enough.is_set() and ended.is_set()

        with ThreadPoolExecutor(1) as threads:
            load = threads.submit(workload.run, is_enough)
            try:
                faults = fault(system, workload, random, enough)
            except BaseException:
                # A part that does not come back would be waited for.
                enough.set()
                raise
            finally:
                system.heal()
                ended.set()
            load.result()
        audit.make_overdue()
        audit.wait_until_settled()
        swept = audit.sweep()
        outcomes, miscounted = audit.hear(), audit.miscounted()
        told = {image_id: len(outcomes.of_image(image_id)) for image_id in workload.image_ids}
        differences = [*workload.differences(), *workload.untold(told)]
        twice = [*outcomes.duplicated, *workload.told_too_often(told)]
        for problem in [*differences, *twice, *miscounted, *workload.unexpected]:
            print(f"  {problem}", flush=True)
        return Row(
            requests=workload.asked,
            accepted=workload.accepted,
            refused=workload.answers[503],
            key_in_use=workload.answers[409],
            other_answers=len(workload.unexpected),
            faults=faults,
            lost_or_wrong=len(differences),
            done_twice=len(twice),
            miscounted=len(miscounted),
            orphans_swept=swept,
            orphans_left=len(audit.orphans()),
            rows_without_file=len(audit.missing()),
            stuck=len(audit.stuck()),
        )


def _restart(part: Part, *, in_order: bool) -> Fault:
    def restart(
        system: BreakableCloud, workload: Workload, random: Random, _enough: threading.Event
    ) -> int:
        _wait_for(workload, random.randint(10, 60))
        if in_order:
            system.stop(part)
        else:
            system.crash(part)
        _wait_for(workload, random.randint(5, 30))
        system.start(part)
        _wait_for(workload, 20)
        return 1

    return restart


def _killing(system: BreakableCloud, random: Random) -> Repeatedly:
    return Repeatedly(system.kill_consumer, random, (0.2, 1.5))


def _hanging_up(system: BreakableCloud, random: Random) -> Repeatedly:
    return Repeatedly(system.ways["broker"].drop, random, (0.1, 0.8))


def _killing_functions(system: BreakableCloud, random: Random) -> Repeatedly:
    """As the gateway says of a process that ended: 503, and nobody knows what came of it."""
    return Repeatedly(lambda: system.kill(random.choice(_API_FUNCTIONS)), random, (0.1, 0.6))


def _again_and_again(begin: Callable[[BreakableCloud, Random], Repeatedly]) -> Fault:
    def break_repeatedly(
        system: BreakableCloud, _workload: Workload, random: Random, enough: threading.Event
    ) -> int:
        with begin(system, random) as faults:
            _until(faults, enough)
        return faults.count

    return break_repeatedly


_kill_functions = _again_and_again(_killing_functions)


def _lose_confirms(
    system: BreakableCloud, workload: Workload, random: Random, _enough: threading.Event
) -> int:
    for _ in range(_CONFIRMS_LOST):
        _wait_for(workload, random.randint(10, 30))
        system.ways["broker"].swallow_answers()
        _wait_for(workload, random.randint(4, 12))
        system.ways["broker"].restore()
    return _CONFIRMS_LOST


def _lose(what: Callable[[BlockingChannel, str], None]) -> Fault:
    """Messages are lost while another service takes them all, so that the broker confirms them."""

    def lose(
        system: BreakableCloud, workload: Workload, random: Random, _enough: threading.Event
    ) -> int:
        with system.broker() as channel:
            listener = channel.queue_declare("", exclusive=True).method.queue
            for _ in range(_LOSSES):
                channel.exchange_declare(events.EXCHANGE, "topic", durable=True)
                channel.queue_bind(listener, events.EXCHANGE, "#")
                _wait_for(workload, random.randint(10, 40))
                if what is delete_everything:
                    # What is told to an exchange that has no binding yet is told to nobody.
                    workload.is_heard_whole = False
                what(channel, system.queue)
                # Those whose binding went with the exchange bind anew.
                Audit(system).bind()
                _wait_for(workload, random.randint(10, 40))
                system.relay()
        return _LOSSES

    return lose


def _send_anything(
    system: BreakableCloud, _workload: Workload, random: Random, enough: threading.Event
) -> int:
    """Messages of forty kinds, about changes that are in the log."""
    count = 0
    while not enough.is_set() or count < _MIN_FAULTS:
        with closing(system.database()) as database:
            accepted = batches.latest_event(database)
        if accepted is None:
            continue
        bodies = bad_bodies(accepted, random.randint(1, accepted.image_id))
        kind = random.choice(list(bodies))
        with system.broker() as channel:
            channel.basic_publish("", system.queue, bodies[kind])
        count += 1
    return count


def _slow_down(
    system: BreakableCloud, _workload: Workload, _random: Random, enough: threading.Event
) -> int:
    system.ways["broker"].delay_answers(_SLOWNESS_SECONDS)
    enough.wait()
    return 1


def _sound_the_alarm(
    system: BreakableCloud, workload: Workload, random: Random, _enough: threading.Event
) -> int:
    system.reconfigure_broker("disk_free_limit.absolute = 1000000GB")
    _wait_for(workload, random.randint(20, 60))
    system.reconfigure_broker("")
    _wait_for(workload, 20)
    return 1


def _fill_the_queue(
    system: BreakableCloud, _workload: Workload, _random: Random, enough: threading.Event
) -> int:
    with system.broker_policy(f"^{system.queue}$", {"max-length": 3}):
        enough.wait()
    return 1


def _lock_rows(
    system: BreakableCloud, _workload: Workload, random: Random, enough: threading.Event
) -> int:
    """As an operator's transaction does, on images and on what belongs to their users."""
    count = 0
    while not enough.is_set() or count < _MIN_FAULTS:
        with closing(system.database()) as database:
            rows = database.run("SELECT id, user_id FROM images ORDER BY id DESC LIMIT 20")
            if not rows:
                continue
            image_id, user_id = random.choice(rows)
            database.run("BEGIN")
            if random.random() < 0.5:
                database.run("SELECT FROM images WHERE id = :id FOR UPDATE", id=image_id)
            else:
                database.run("SELECT FROM account_usage WHERE user_id = :id FOR UPDATE", id=user_id)
            enough.wait(random.uniform(0.2, _LOCK_SECONDS))
            database.run("ROLLBACK")
        count += 1
    return count


def _end_processes(
    system: BreakableCloud, _workload: Workload, random: Random, enough: threading.Event
) -> int:
    """Files that end the process which reads them."""
    return _killing_until(system, random, enough, lambda kills: kills >= _MIN_FAULTS)


def _give_up(
    system: BreakableCloud, _workload: Workload, random: Random, enough: threading.Event
) -> int:
    """The broker drops what came back to it, as RabbitMQ 4 does after 20 times."""
    audit = Audit(system)
    with system.broker_policy(f"^{system.queue}$", {"delivery-limit": 1}):
        before = audit.dead()
        _killing_until(system, random, enough, lambda _: audit.dead() - before >= _MIN_FAULTS)
        return audit.dead() - before


def _killing_until(
    system: BreakableCloud, random: Random, enough: threading.Event, ends: Callable[[int], bool]
) -> int:
    kills = Counter[str]()

    def kill(method: str, path: str) -> StorageFault | None:
        # Not so often that the picture is taken for the cause, having been beside another as well.
        if method == "GET" and not kills[path] and random.random() < 0.2:
            kills[path] += 1
            system.kill_consumer()
            return "cut before"
        return None

    system.storage.break_with(kill)
    enough.wait()
    eventually(lambda: ends(kills.total()), "it was killed often enough")
    system.storage.heal()
    return kills.total()


def _send_again(
    system: BreakableCloud, workload: Workload, random: Random, enough: threading.Event
) -> int:
    """Each change with its key, again and again, while functions are killed."""

    def release(key: str) -> None:
        with closing(system.database()) as database:
            database.run(
                "UPDATE idempotency_keys SET leased_until = now() - interval '1 second' "
                "WHERE key = :key AND image_id IS NULL",
                key=key,
            )

    with workload.paused():
        workload.send_again(release)
    return _kill_functions(system, workload, random, enough)


def _restore_database(
    system: BreakableCloud, workload: Workload, random: Random, _enough: threading.Event
) -> int:
    """It is as it was some changes ago; files, messages and clients are not."""
    with tempfile.TemporaryDirectory(prefix="backup-") as folder:
        backup = Path(folder) / "cluster"
        _wait_for(workload, random.randint(20, 60))
        with workload.paused():
            remembered = workload.remembered()
            system.back_up_database(backup)
        _wait_for(workload, random.randint(20, 60))
        with workload.paused():
            system.restore_database(backup)
            workload.go_back_to(remembered)
            # What was heard until now is of a past that has not happened.
            Audit(system).listen()
        _wait_for(workload, 20)
    return 1


def _break_storage(
    system: BreakableCloud, _workload: Workload, random: Random, enough: threading.Event
) -> int:
    before = system.storage.injected.total()
    system.storage.break_with(failing_storage(random))
    enough.wait()
    return system.storage.injected.total() - before


def _break_everything(
    system: BreakableCloud, workload: Workload, random: Random, enough: threading.Event
) -> int:
    seeds = [random.randrange(2**32) for _ in range(3)]
    before = system.storage.injected.total()
    system.storage.break_with(failing_storage(Random(seeds[0]), share=0.3))
    with (
        _killing(system, Random(seeds[1])) as kills,
        _hanging_up(system, Random(seeds[2])) as drops,
    ):
        restarts = _restart("database", in_order=False)(system, workload, random, enough)
        _until(kills, enough)
    return restarts + kills.count + drops.count + system.storage.injected.total() - before


def _until(faults: Repeatedly, enough: threading.Event) -> None:
    enough.wait()
    eventually(lambda: faults.count >= _MIN_FAULTS, "it was broken often enough")


def _wait_for(workload: Workload, requests: int) -> None:
    """Until so many more were answered."""
    goal = workload.asked + requests
    eventually(lambda: workload.asked >= goal, f"{requests} requests")


FAULTS: dict[str, Fault] = {
    "broker stopped": _restart("broker", in_order=True),
    "broker killed": _restart("broker", in_order=False),
    "broker hangs up": _again_and_again(_hanging_up),
    "confirms lost": _lose_confirms,
    "database stopped": _restart("database", in_order=True),
    "database killed": _restart("database", in_order=False),
    "queue deleted": _lose(delete_queue),
    "queue purged": _lose(purge_queue),
    "topology deleted": _lose(delete_everything),
    "queue full": _fill_the_queue,
    "any message": _send_anything,
    "broker slow": _slow_down,
    "alarm": _sound_the_alarm,
    "rows locked": _lock_rows,
    "killers": _end_processes,
    "broker gives up": _give_up,
    "storage fails": _break_storage,
    "consumer killed": _again_and_again(_killing),
    "functions killed": _kill_functions,
    "sent again": _send_again,
    "database restored": _restore_database,
    "all of it": _break_everything,
}


if __name__ == "__main__":
    sys.exit(main())
