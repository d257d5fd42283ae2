"""A local cloud whose database, broker and storage can be broken one by one while it runs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pg8000.native import Connection
from pika.adapters.blocking_connection import BlockingChannel

from infra import entry_point
from tests.amqp import open_channel
from tests.commands import output_of
from tests.e2e.cuttable_proxy import CuttableProxy
from tests.e2e.running_cloud import RunningCloud
from tests.faults.storage_proxy import StorageProxy
from tests.integration.real_services import connect
from tests.processes import is_running, is_runtime_of
from tests.waiting import eventually

Part = Literal["database", "broker"]

_VARIABLES = {
    "storage": "AWS_ENDPOINT_URL",
    "database": "DATABASE_URL",
    "broker": "RABBITMQ_URL",
}
# What stands for a service that is not to be started.
_NONE = {
    "storage": "http://127.0.0.1:1",
    "database": "postgresql://nobody@127.0.0.1:1/none",
    "broker": "amqp://127.0.0.1:1/%2F",
}
# Of the hour after which the cloud's clock first invokes the janitor.
_LONGEST_RUN_SECONDS = 30 * 60.0
# Of the minute after which it invokes the relay, and of what that takes with a broker that is away.
_CLOCKS_PATIENCE_SECONDS = 180.0
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


class OwnService:
    """One service in a process of its own, so that its end is not the cloud's."""

    def __init__(self, part: str, folder: Path, storage: Mapping[str, str]) -> None:
        self._part = part
        others = {_VARIABLES[other]: url for other, url in _NONE.items() if other != part}
        self.process = RunningCloud(
            folder / part / "data", command="services", variables={**others, **storage}
        )

    def start(self) -> None:
        self.process.data_folder.parent.mkdir(parents=True, exist_ok=True)
        self.process.start()

    @property
    def url(self) -> str:
        return self.process.environment[_VARIABLES[self._part]]

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        assert port is not None
        return port

    def stop(self) -> None:
        """In order: clients are told goodbye."""
        self.process.stop()

    def crash(self) -> None:
        """As a power cut: no process of it has a last word."""
        pids = self.process.service_pids
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # It collects its children and then gives up by itself: killed before them, it would leave
        # a zombie where process 1 collects none, which Postgres takes for a server that runs.
        self.process.wait_for_failure()
        eventually(lambda: not any(map(is_running, pids)), f"the {self._part} has ended")


@dataclass
class BreakableCloud:
    """The way to each service leads through a proxy; whoever checks goes straight to it."""

    cloud: RunningCloud
    services: dict[str, OwnService]
    ways: dict[Part, CuttableProxy]
    storage: StorageProxy
    queue: str
    begun_at: float = field(default_factory=time.monotonic)

    def keep_the_janitor_waiting(self) -> None:
        """It takes everything here as old enough, also what is under way, and the cloud's clock
        invokes it every hour. Long before that the cloud begins anew, and its hour with it.
        """
        if time.monotonic() - self.begun_at > _LONGEST_RUN_SECONDS:
            self.cloud.stop()
            self.cloud.start()
            self.begun_at = time.monotonic()

    def stop(self, part: Part) -> None:
        """The service itself ends, in order."""
        self.services[part].stop()

    def crash(self, part: Part) -> None:
        """The service itself is killed."""
        self.services[part].crash()

    def start(self, part: Part) -> None:
        """Starts it again, with the data it had."""
        self.services[part].start()
        self.ways[part].target_port = self.services[part].port

    def reconfigure_broker(self, configuration: str) -> None:
        """It starts anew with these lines, or, where there are none, as it was."""
        self.stop("broker")
        folder = self.services["broker"].process.data_folder / "rabbitmq" / "etc" / "rabbitmq"
        path = folder / "conf.d" / "90-fault.conf"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{configuration}\n", encoding="utf-8")
        self.start("broker")

    @contextmanager
    def broker_policy(self, pattern: str, definition: dict[str, int]) -> Iterator[None]:
        """The node has a policy for the queues whose names match, as an operator may set one."""
        try:
            self._set_policy(pattern, definition)
            yield
        finally:
            self._set_policy("^of no queue$", definition)

    def _set_policy(self, pattern: str, definition: dict[str, int]) -> None:
        path = self.services["broker"].process.data_folder / "policies.json"
        policy = {"vhost": "/", "name": "fault", "pattern": pattern, "apply-to": "queues"}
        policies = [{**policy, "priority": 1, "definition": definition}]
        path.write_text(json.dumps({"policies": policies}), encoding="utf-8")
        self.reconfigure_broker(f"load_definitions = {path}")

    def heal(self) -> None:
        """Ends every fault that a proxy causes."""
        self.storage.heal()
        for way in self.ways.values():
            way.restore()

    def cloud_variables(self) -> dict[str, str]:
        """With which another cloud uses the same services, past the proxies."""
        environment = self.services["storage"].process.environment
        return {
            **{_VARIABLES[part]: service.url for part, service in self.services.items()},
            **{name: environment[name] for name in _KEYS},
        }

    def database(self) -> Connection:
        """What a test looks at, holds or waits for may take longer than the application's own."""
        connection = connect(self.services["database"].url)
        connection.run(
            "SET statement_timeout = 0; SET lock_timeout = 0;"
            "SET idle_in_transaction_session_timeout = 0"
        )
        return connection

    def broker(self) -> AbstractContextManager[BlockingChannel]:
        return open_channel(self.services["broker"].url)

    def back_up_database(self, folder: Path) -> None:
        """Its files, as they are between a stop and a start."""
        self._copied(self._cluster, folder)

    def restore_database(self, folder: Path) -> None:
        """As it was when it was backed up there."""
        self._copied(folder, self._cluster)

    @property
    def _cluster(self) -> Path:
        return self.services["database"].process.data_folder / "postgres" / "cluster"

    def _copied(self, source: Path, target: Path) -> None:
        self.stop("database")
        if target.exists():
            shutil.rmtree(target)
        # Whoever runs these tests may not be whom the files belong to.
        output_of("cp", "--archive", "--no-target-directory", str(source), str(target))
        self.start("database")

    def kill_consumer(self) -> bool:
        """SIGKILL to the consumer's runtime; whether there was one."""
        return self.kill("consumer") > 0

    def kill(self, folder_name: str) -> int:
        """SIGKILL to all runtimes of a function; how many there were."""
        name = self.cloud.function_name(folder_name)
        killed = 0
        for pid in self.cloud.environment_pids:
            if is_runtime_of(pid, name):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
        return killed

    def await_the_clocks_relay(self) -> None:
        """Until the cloud's clock has invoked it, as it does every minute."""
        told = len(self.cloud.log())
        eventually(
            lambda: '"kind": "invocation", "function": "relay"' in self.cloud.log()[told:],
            "the relay has run by itself",
            watch=self.cloud.assert_alive,
            patience_seconds=_CLOCKS_PATIENCE_SECONDS,
        )

    def relay(self) -> int:
        """What the schedule does every minute; how many events waited, none where it failed."""
        answer = self.cloud.invoke("relay", {})
        return int(answer.get("published", 0))


@contextmanager
def breakable_cloud(folder: Path, **variables: str) -> Iterator[BreakableCloud]:
    """Everything up; `variables` are settings of the functions."""
    # Those that pass by the proxies are two of this process each.
    entry_point.allow_many_connections()
    with ExitStack() as stack:
        services: dict[str, OwnService] = {}
        storage_variables: dict[str, str] = {}
        for part in _VARIABLES:
            service = services[part] = OwnService(part, folder, storage_variables)
            service.start()
            stack.callback(_end, service.process)
            if part == "storage":
                environment = service.process.environment
                storage_variables = {
                    name: environment[name] for name in ("AWS_ENDPOINT_URL", *_KEYS)
                }
        ways: dict[Part, CuttableProxy] = {
            "database": stack.enter_context(CuttableProxy(services["database"].port)),
            "broker": stack.enter_context(CuttableProxy(services["broker"].port)),
        }
        storage = stack.enter_context(StorageProxy(services["storage"].port))
        ports = {
            "database": ways["database"].port,
            "broker": ways["broker"].port,
            "storage": storage.port,
        }
        cloud = RunningCloud(
            folder / "cloud",
            "--no-watch",
            variables={
                **{
                    _VARIABLES[part]: service.url.replace(f":{service.port}", f":{ports[part]}")
                    for part, service in services.items()
                },
                **{name: storage_variables[name] for name in _KEYS},
                # So that no test waits for a day.
                "JANITOR_MIN_AGE_SECONDS": "0",
                "JANITOR_MAX_PERCENT": "100",
                **variables,
            },
        )
        cloud.start()
        stack.callback(_end, cloud)
        yield BreakableCloud(cloud, services, ways, storage, cloud.environment["RABBITMQ_QUEUE"])


def _end(process: RunningCloud) -> None:
    if process.is_running:
        process.stop()
