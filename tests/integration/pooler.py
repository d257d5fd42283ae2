"""PgBouncer before Postgres, as RDS Proxy is: TLS, SCRAM, and a connection of the server's for as
long as a transaction takes.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import pytest

from infra.services.ports import hold_free_port, port_of
from tests.certificates import self_issued
from tests.integration.real_services import RealServices
from tests.waiting import eventually

# Of the server's, for each role: fewer than the tests' clients, so that they share.
CONNECTIONS = 2
_SETTINGS = """
[databases]
* = host={host} port={port} auth_user={user}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
pool_mode = transaction
default_pool_size = {connections}
max_prepared_statements = 200
max_client_conn = 200
auth_type = scram-sha-256
auth_file = {folder}/users.txt
auth_query = SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1
client_tls_sslmode = require
client_tls_key_file = {folder}/key.pem
client_tls_cert_file = {folder}/certificate.pem
server_tls_sslmode = disable
server_idle_timeout = 60
client_idle_timeout = 60
admin_users = {user}
"""


@dataclass(frozen=True)
class Pooler:
    port: int

    def before(self, database_url: str) -> str:
        """The same role and database, by way of this."""
        parts = urlsplit(database_url)
        login = parts.netloc.rpartition("@")[0]
        netloc = f"{login}@localhost:{self.port}"
        return urlunsplit(parts._replace(netloc=netloc, query="sslmode=verify-full"))


@contextmanager
def running_pooler(folder: Path, services: RealServices) -> Iterator[Pooler]:
    """What POOLER names; it is trusted as an issuer's certificate of the system's is."""
    folder.mkdir()
    self_issued(folder)
    administrator = urlsplit(services.administrator_url)
    user, password = unquote(administrator.username or ""), unquote(administrator.password or "")
    held = hold_free_port()
    own_port = port_of(held)
    (folder / "users.txt").write_text(f'"{user}" "{password}"\n')
    (folder / "pgbouncer.ini").write_text(
        _SETTINGS.format(
            host=administrator.hostname,
            port=administrator.port,
            user=user,
            own_port=own_port,
            connections=CONNECTIONS,
            folder=folder,
        )
    )
    # It refuses to be root.
    as_user = ["-u", "nobody"] if os.geteuid() == 0 else []
    if as_user:
        folder.chmod(0o755)
        for path in folder.iterdir():
            path.chmod(0o644)
    log_path = folder / "pgbouncer.log"

    def runs() -> None:
        assert process.poll() is None, log_path.read_text()

    with (
        held,
        log_path.open("wb") as log,
        subprocess.Popen(
            [os.environ["POOLER"], *as_user, folder / "pgbouncer.ini"], stdout=log, stderr=log
        ) as process,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("SSL_CERT_FILE", str(folder / "certificate.pem"))
        try:
            eventually(
                lambda: b"process up" in log_path.read_bytes(), "PgBouncer listens", watch=runs
            )
            yield Pooler(own_port)
        finally:
            process.terminate()
