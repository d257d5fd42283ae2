"""Postgres: one connection for each execution environment, statements prepared once."""

from __future__ import annotations

import re
import select
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pg8000.exceptions import DatabaseError, InterfaceError
from pg8000.native import Connection, PreparedStatement

from image_api import settings, tls
from image_api.errors import ConfigurationError, ServiceUnavailable

Row = list[Any]

# Shorter than any function's own time-out, so that a silent server ends in an answer; longer than
# what the migrations let a statement of the API's role take, so that none takes effect later.
SOCKET_TIMEOUT_SECONDS = 8.0

# More than any function has, but for those of lists, which may be asked for in thousands of ways.
MAX_PREPARED = 100

# SQLSTATE classes and codes after which the same statement may work later: connection failures,
# resources, operator intervention, serialization failure, deadlock, a lock that did not come free.
_TEMPORARY_CLASSES = ("08", "53", "57")
_TEMPORARY_CODES = ("40001", "40P01", "25006", "55P03")
# Of these the ones after which the connection is as good as before.
_CONNECTION_STAYS = ("40001", "40P01", "55P03", "57014")
_UNIQUE_VIOLATION = "23505"
# A wrong password, or a role that may not come in.
_PASSWORD_REFUSED = ("28P01", "28000")
# Poolers have codes of their own. RDS Proxy: "The password that was provided for the role ... is
# wrong"; PgBouncer: "SASL authentication failed".
_PASSWORD_REFUSED_WORDS = re.compile(r"\b(password|authentication)\b")
_INSUFFICIENT_PRIVILEGE = "42501"

_RDS = re.compile(r"\.rds\.amazonaws\.com(\.cn)?$")

_NOW = "SELECT now()::text"


# A step of a statement whose effect may be lost with the server's last moments: its commit does not
# wait for the disk. It counts for this transaction alone, which a pool of connections needs.
RELAXED = "(SELECT set_config('synchronous_commit', 'off', true)) AS relaxed"


def texts(parameter: str) -> str:
    """The text[] of a parameter that holds a JSON array, or none. The driver takes the text `null`
    in an array for none.
    """
    return f"""(CASE WHEN :{parameter}::json IS NOT NULL THEN ARRAY(
        SELECT t.value FROM json_array_elements_text(:{parameter}::json) WITH ORDINALITY AS t
        ORDER BY t.ordinality) END)"""


class StatementFailed(Exception):
    """Names the rule that was broken and not the row: SQLSTATE, and the constraint if it is one, or
    the table on which a right is missing.
    """

    def __init__(self, sqlstate: str, constraint: str) -> None:
        super().__init__(f"SQLSTATE {sqlstate} {constraint}".rstrip())
        self.sqlstate = sqlstate
        self.constraint = constraint


class UniqueViolation(StatementFailed):
    """A row with this key exists."""


class PasswordRefused(ServiceUnavailable):
    """The database does not let this role in."""


class Database:
    """Runs plain SQL with named parameters. Not for two threads at once: one each.

    A connection that died while the environment was frozen is noticed before it is used and
    replaced once. A statement that fails on the way raises ServiceUnavailable and is not
    repeated: whether it took effect cannot be known.
    """

    def __init__(self, url: str, url_now: Callable[[], str] | None = None) -> None:
        """`url_now` is asked when the password is refused: it may have been changed meanwhile."""
        self._url = url
        self._url_now = url_now
        self._connection: Connection | None = None
        self._statements: dict[str, PreparedStatement] = {}
        self._in_transaction = False
        self._bound: dict[str, Any] = {"token_generation": 0}

    def bind(self, **parameters: Any) -> None:
        """Values of the request under way, for every statement that names them."""
        self._bound.update(parameters)

    def rows(self, statement: str, **parameters: Any) -> list[Row]:
        connection = self._live_connection()
        try:
            bound = {**self._bound, **parameters}
            rows: list[Row] | None = self._prepared(connection, statement).run(**bound)
        except DatabaseError as error:
            # What Postgres says quotes the row, and would stand in the log with the traceback.
            raise self._translated(error) from None
        except (InterfaceError, OSError, struct.error) as error:
            self.close()
            raise ServiceUnavailable("The database did not answer; try again") from error
        return rows or []

    def row(self, statement: str, **parameters: Any) -> Row | None:
        rows = self.rows(statement, **parameters)
        return rows[0] if rows else None

    def only_row(self, statement: str, **parameters: Any) -> Row:
        """Of a statement that yields one whatever it finds."""
        row = self.row(statement, **parameters)
        assert row is not None
        return row

    def now(self) -> str:
        """The server's clock, as a statement takes it again."""
        return str(self.only_row(_NOW)[0])

    def number(self, statement: str, **parameters: Any) -> int:
        """The first column of the only row."""
        return int(self.only_row(statement, **parameters)[0])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commits when the block ends, and rolls back on whatever else happens in it."""
        self.rows("BEGIN")
        self._in_transaction = True
        try:
            yield
            self.rows("COMMIT")
        except BaseException:
            # A connection that cannot roll back is dropped: the server rolls back by itself.
            with suppress(ServiceUnavailable):
                if self._connection is not None:
                    self.rows("ROLLBACK")
            raise
        finally:
            self._in_transaction = False

    def ping(self) -> None:
        """Raises ServiceUnavailable when the database does not answer."""
        self.rows("SELECT 1")

    def renew(self) -> None:
        """Takes the address anew, password included, and connects when it is asked again."""
        self.close()
        if self._url_now is not None:
            self._url = self._url_now()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        self._statements = {}
        if connection is not None:
            with suppress(InterfaceError, OSError):
                connection.close()

    def _prepared(self, connection: Connection, statement: str) -> PreparedStatement:
        """What was not used for longest makes room: the server keeps a plan of each."""
        prepared = self._statements.pop(statement, None) or connection.prepare(statement)
        self._statements[statement] = prepared
        if len(self._statements) > MAX_PREPARED:
            self._statements.pop(next(iter(self._statements))).close()
        return prepared

    def _live_connection(self) -> Connection:
        if self._connection is not None and _has_pending_input(self._connection):
            # Between statements the server speaks only to say goodbye.
            self.close()
        if self._connection is None:
            if self._in_transaction:
                # What came before is rolled back: the rest must not be applied without it.
                raise ServiceUnavailable("The connection to the database was lost; try again")
            self._connection = self._connected()
        return self._connection

    def _connected(self) -> Connection:
        try:
            return _connect(self._url)
        except PasswordRefused:
            if self._url_now is None:
                raise
            # The same one again counts against nobody: roles of a database are not locked out.
            self._url = self._url_now()
            return _connect(self._url)

    def _translated(self, error: DatabaseError) -> Exception:
        fields = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
        code, constraint = str(fields.get("C", "")), str(fields.get("n", ""))
        if code == _INSUFFICIENT_PRIVILEGE:
            # It says on what, and nothing of a row.
            constraint = str(fields.get("M", ""))
        if code.startswith(_TEMPORARY_CLASSES) or code in _TEMPORARY_CODES:
            if code not in _CONNECTION_STAYS:
                self.close()
            return ServiceUnavailable("The database cannot answer just now; try again")
        kind = UniqueViolation if code == _UNIQUE_VIOLATION else StatementFailed
        return kind(code, constraint)


def _has_pending_input(connection: Connection) -> bool:
    # pg8000 tells nobody otherwise which socket it reads from.
    sock = connection._usock
    if sock is None:
        return True
    readable, _, _ = select.select([sock], [], [], 0)
    return bool(readable)


def _connect(url: str) -> Connection:
    parts = urlsplit(url)
    if parts.scheme not in ("postgres", "postgresql") or not parts.hostname:
        raise ConfigurationError("DATABASE_URL must look like postgresql://user:password@host/name")
    host, sslmode = parts.hostname, parse_qs(parts.query).get("sslmode", ["prefer"])[-1]

    def connected(ssl_context: ssl.SSLContext | bool) -> Connection:
        return Connection(
            user=unquote(parts.username or "postgres"),
            password=unquote(parts.password) if parts.password else None,
            host=host,
            port=parts.port or 5432,
            database=unquote(parts.path.lstrip("/")) or None,
            timeout=SOCKET_TIMEOUT_SECONDS,
            ssl_context=ssl_context,
            application_name="image-api",
        )

    try:
        if sslmode.startswith("verify-") and _is_proxy(host):
            return tls.connected(connected, has_own_issuers=settings.has_own_issuers())
        return connected(_ssl_context(sslmode, host))
    except DatabaseError as error:
        fields = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
        is_refused = str(fields.get("C", "")) in _PASSWORD_REFUSED or bool(
            _PASSWORD_REFUSED_WORDS.search(str(fields.get("M", "")))
        )
        kind = PasswordRefused if is_refused else ServiceUnavailable
        raise kind("The database cannot be reached; try again") from error
    except (InterfaceError, OSError, struct.error) as error:
        raise ServiceUnavailable("The database cannot be reached; try again") from error


def _ssl_context(sslmode: str, host: str) -> ssl.SSLContext | bool:
    """libpq's modes; `allow` and `prefer` try once: with TLS, but on loopback in plain text."""
    if sslmode == "disable" or (sslmode in ("allow", "prefer") and _is_loopback(host)):
        return False
    if not sslmode.startswith("verify-"):
        return _encrypting_context()
    # RDS has issuers of its own, which no system knows; a proxy's is Amazon's, which all know.
    is_rds_itself = _RDS.search(host) is not None and not _is_proxy(host)
    return _verifying_context(settings.RDS_ROOTS if is_rds_itself else None)


def _is_proxy(host: str) -> bool:
    """Whether it is RDS's, whose name only AWS gives."""
    return _RDS.search(host) is not None and ".proxy-" in host


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


@cache
def _verifying_context(roots: Path | None) -> ssl.SSLContext:
    """The system's roots, and those in a file."""
    context = ssl.create_default_context()
    if roots is not None:
        context.load_verify_locations(roots)
    return context


@cache
def _encrypting_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
