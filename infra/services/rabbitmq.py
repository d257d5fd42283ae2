"""RabbitMQ from the system's package, as a node of our own.

The package's scripts insist on its account, its folders in /etc and /var/lib and Erlang's port
mapper (epmd) on 4369. The node here is started on Erlang itself with every path of its own, and
without distribution: it is alone, so it listens on its AMQP port and on nothing else, and neither
needs nor disturbs a broker of the system.
"""

import asyncio
import base64
import hashlib
import os
import re
import shutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pika
import pika.exceptions
from pika.adapters.utils.connection_workflow import AMQPConnectorException

from infra.services.ports import port_of
from infra.services.processes import STOP_PATIENCE_SECONDS, Service, ServiceFailed, ServiceProcess
from infra.services.records import credentials, read_record, write_record

_INSTALLATIONS = Path("/usr/lib/rabbitmq/lib")
# The database carries the node's name, so the name never changes. Nothing outside hears it.
_NODE = "rabbit@localhost"
_DEFINITIONS = "definitions.json"
_USER = "images"
# A node that is still starting obeys only once it is up.
_STARTING_STOP_PATIENCE_SECONDS = 1.0

_ERLANG_ARGUMENTS = [
    "-noinput",
    *("-s", "rabbit", "boot"),
    *("-boot", "start_sasl"),
    *("-sname", _NODE),
    # No port mapper and no distribution port. RabbitMQ asks for a number all the same.
    *("-start_epmd", "false"),
    *("-dist_listen", "false"),
    *("-erl_epmd_port", "1"),
    # The package's own allocator settings.
    *("+W", "w"),
    *("+MBas", "ageffcbf", "+MHas", "ageffcbf", "+MBlmbcs", "512", "+MHlmbcs", "512"),
    *("+MMmcs", "30"),
    # Two schedulers keep the memory the same on machines with many cores, and none of them spins
    # while there is nothing to do.
    *("+S", "2:2"),
    *("+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"),
    *("-syslog", "logger", "[]"),
    *("-syslog", "syslog_error_logger", "false"),
    *("-kernel", "prevent_overlapping_partitions", "false"),
]


# Of one user in the only virtual host, as RabbitMQ calls them: regular expressions of names.
Permissions = Mapping[str, str]


class RabbitMQService(Service):
    """One RabbitMQ node with an administrator, whose `url` is, and one user for each purpose, whose
    `api_url` names `{purpose}`. There is no guest.
    """

    def __init__(
        self,
        data_folder: Path,
        log_folder: Path,
        port: int | None = None,
        *,
        management_port: int | None = None,
        users: Mapping[str, Permissions] | None = None,
    ) -> None:
        """`port`: None keeps last time's port while it is free; 0 takes any free one.
        `management_port`: of the management API, which takes longer to start; None: without it.
        `users`: what each may do, by purpose.
        """
        self._users = users or {}
        self.api_url = ""
        self._management_port = management_port
        self._folder = data_folder.absolute() / "rabbitmq"
        self._port = port
        self._log_folder = log_folder.absolute()
        log_path = self._log_folder / "rabbitmq.log"
        super().__init__(ServiceProcess("RabbitMQ", self._folder, log_path, signal.SIGTERM))

    async def start(self) -> None:
        """Return when the node lets its user in. Raises `ServiceFailed`."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        await self._process.stop_leftover()
        installation = self._installation()
        erlang = shutil.which("erl")
        if erlang is None:
            raise self._process.failed(f"{installation} is there, but no Erlang to run it")
        user, password = credentials(self._folder / "credentials.json", user=_USER)
        api_user, api_password = credentials(self._folder / "api.json", user=_USER)
        with ExitStack() as held:
            port = port_of(
                held.enter_context(self._process.hold_port(self._port, variable="RABBITMQ_URL"))
            )
            self._write_configuration(user, password, port)
            if self._users:
                self._write_definitions((user, password), (api_user, api_password))
            plugins = self._link_plugins(installation)
            held.enter_context(self._explaining_another_version(installation))
            await self._process.start(
                [erlang, *_ERLANG_ARGUMENTS], self._environment(installation, plugins)
            )
            url = f"amqp://{user}:{password}@127.0.0.1:{port}/%2F"

            async def is_ready() -> bool:
                return await self._lets_in(url, port)

            await self._process.wait_until(is_ready)
        self.url = url
        self.api_url = f"amqp://{api_user}_{{purpose}}:{api_password}@127.0.0.1:{port}/%2F"

    async def stop(self) -> None:
        # Nobody uses a node that is not up yet, and it recovers from being killed.
        patience_seconds = STOP_PATIENCE_SECONDS if self.url else _STARTING_STOP_PATIENCE_SECONDS
        await self._process.stop(patience_seconds)
        self.url = ""

    def _installation(self) -> Path:
        found = [path.parent for path in _INSTALLATIONS.glob("rabbitmq_server-*/plugins")]
        if not found:
            raise self._process.failed(
                "is not installed. Run `make setup`, or install the package rabbitmq-server, or "
                "set RABBITMQ_URL to a broker that runs"
            )
        return max(found, key=lambda path: [int(part) for part in re.findall(r"\d+", path.name)])

    @contextmanager
    def _explaining_another_version(self, installation: Path) -> Iterator[None]:
        """A node often cannot read what one of another version has left, and would say so in
        Erlang's words alone."""
        record_path = self._folder / "version.json"
        had_database = any(self._folder.glob("var/lib/rabbitmq/mnesia/*"))
        record = read_record(record_path) or {"version": "another version"}
        version = installation.name.removeprefix("rabbitmq_server-")
        try:
            yield
        except ServiceFailed as failure:
            was_up = isinstance(failure.__cause__, pika.exceptions.AMQPError)
            if was_up or not had_database or record["version"] == version:
                raise
            aside = self._folder.with_name(f"{self._folder.name}-before-{version}")
            raise self._process.failed(
                f"{version} does not start from the data of {record['version']} "
                f"({failure.reason}). Move it aside and start again: mv {self._folder} {aside}. "
                "What was waiting there the image API's relay publishes again; what other projects "
                "sent, only RabbitMQ of that version delivers, with the data where it is now"
            ) from failure
        write_record(record_path, {"version": version})

    def _write_configuration(self, user: str, password: str, port: int) -> None:
        folder = self._folder / "etc" / "rabbitmq"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lines = [
            f"listeners.tcp.local = 127.0.0.1:{port}",
            # Only a new database takes these: the user of an old one stays.
            f"default_user = {user}",
            f"default_pass = {password}",
            "vm_memory_high_watermark.absolute = 512MB",
            # Quorum queues keep their log in memory up to this size; the default is 512 MB.
            "raft.wal_max_size_bytes = 33554432",
        ]
        if self._users:
            # Read at each start, before anybody is let in: also into a database that has none of
            # these users yet, or where they might do something else.
            lines.append(f"load_definitions = {folder / _DEFINITIONS}")
        if self._management_port is not None:
            lines += [
                "management.tcp.ip = 127.0.0.1",
                f"management.tcp.port = {self._management_port}",
            ]
        configuration = folder / "rabbitmq.conf"
        configuration.touch(mode=0o600)
        configuration.write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / "enabled_plugins").write_text(
            f"[{','.join(self._plugins())}].\n", encoding="utf-8"
        )

    def _write_definitions(self, owner: tuple[str, str], api: tuple[str, str]) -> None:
        """With its administrator, whom a node that reads definitions does not make by itself."""
        everything = dict.fromkeys(("configure", "write", "read"), ".*")
        user, password = api
        logins = [
            (owner, "administrator", everything),
            *(
                ((f"{user}_{purpose}", password), "", dict(permissions))
                for purpose, permissions in self._users.items()
            ),
        ]
        write_record(
            self._folder / "etc" / "rabbitmq" / _DEFINITIONS,
            {
                "vhosts": [{"name": "/"}],
                "users": [
                    {
                        "name": name,
                        "password_hash": _hashed(secret),
                        "hashing_algorithm": "rabbit_password_hashing_sha256",
                        "tags": tags,
                    }
                    for (name, secret), tags, _ in logins
                ],
                "permissions": [
                    {"user": name, "vhost": "/", **permissions}
                    for (name, _), _, permissions in logins
                ],
            },
        )

    def _plugins(self) -> list[str]:
        return [] if self._management_port is None else ["rabbitmq_management"]

    def _link_plugins(self, installation: Path) -> Path:
        """A folder with what this node needs of the installation's plugins, and no more.

        Erlang looks for every module in each of the package's seventy folders, and RabbitMQ
        reads all of them at start: with a third of them it is up in half the time.
        """
        folder = self._folder / "plugins"
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(mode=0o700)
        available = {path.name.rpartition("-")[0]: path for path in _plugins_of(installation)}
        wanted = ["rabbit", "cuttlefish", *self._plugins()]
        linked: set[str] = set()
        while wanted:
            name = wanted.pop()
            if name in linked or name not in available:
                continue
            linked.add(name)
            source = available[name]
            (folder / source.name).symlink_to(source)
            wanted += _applications_needed_by(source, name)
        return folder

    def _environment(self, installation: Path, plugins: Path) -> dict[str, str]:
        home = self._folder / "home"
        home.mkdir(mode=0o700, exist_ok=True)
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(home),
            "ERL_LIBS": str(plugins),
            "ERL_MAX_PORTS": "65536",
            "ERL_MAX_ETS_TABLES": "50000",
            "ERL_CRASH_DUMP": str(self._log_folder / "rabbitmq-crash.dump"),
            # Makes /etc/rabbitmq, /var/lib/rabbitmq and /var/log/rabbitmq sub-folders of ours.
            "SYS_PREFIX": str(self._folder),
            "RABBITMQ_HOME": str(installation),
            "RABBITMQ_NODENAME": _NODE,
            "RABBITMQ_PLUGINS_DIR": str(plugins),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_LOGS": "-",
        }

    async def _lets_in(self, url: str, port: int) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        try:
            await asyncio.to_thread(_sign_in, url)
        except pika.exceptions.ProbableAuthenticationError as refused:
            await self.stop()
            raise self._process.failed(
                f"its database in {self._folder} has another user than credentials.json there. "
                "Wipe both with `make reset`"
            ) from refused
        except (pika.exceptions.AMQPError, AMQPConnectorException, OSError):
            return False
        return True


def _hashed(password: str) -> str:
    """As RabbitMQ keeps it."""
    salt = os.urandom(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _plugins_of(installation: Path) -> list[Path]:
    return [path for path in (installation / "plugins").iterdir() if (path / "ebin").is_dir()]


def _applications_needed_by(plugin: Path, name: str) -> list[str]:
    """What an Erlang application's resource file says must be there for it."""
    resource = (plugin / "ebin" / f"{name}.app").read_text(encoding="utf-8", errors="replace")
    found = re.search(r"\{\s*applications\s*,\s*\[([^\]]*)\]", resource)
    return re.findall(r"\w+", found[1]) if found else []


def _sign_in(url: str) -> None:
    pika.BlockingConnection(pika.URLParameters(url)).close()
