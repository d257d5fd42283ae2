"""The tables `users`, `sign_in_failures` and `sign_in_networks`."""

from __future__ import annotations

import hashlib

from image_api.core.accounts.profile import Usage
from image_api.core.accounts.users import SignInAttempt
from image_api.errors import Unauthenticated, UsernameTaken
from image_api.postgres.closed_accounts import CLOSE
from image_api.postgres.database import RELAXED, Database, Row, UniqueViolation
from image_api.postgres.token_checks import NO_LONGER_SIGNED_IN
from image_api.settings import RegistrationThrottle, SignInThrottle

_INSERT = """
WITH added AS (
    INSERT INTO users (username, username_key, password_hash)
    VALUES (:username, :username_key, :password_hash)
    RETURNING id
), known AS (
    INSERT INTO sign_in_networks (user_id, network)
    SELECT a.id, :network::bytea FROM added AS a WHERE :network::bytea IS NOT NULL
)
SELECT a.id FROM added AS a
"""

# Nothing is counted while the address has to wait, so that its wait ends with the window.
_BEGIN_REGISTRATION = """
WITH counted AS (
    INSERT INTO sign_in_failures AS f
        (key, allowed, failures, window_started_at, blocked_until)
    VALUES (:address_key::bytea, :allowed::integer, 1, now(), '-infinity')
    ON CONFLICT (key) DO UPDATE SET
        (allowed, failures, window_started_at) = (
            SELECT excluded.allowed,
                   CASE WHEN w.is_over THEN 1 ELSE f.failures + 1 END,
                   CASE WHEN w.is_over THEN now() ELSE f.window_started_at END
            FROM (SELECT f.window_started_at
                         <= now() - make_interval(secs => :window_seconds::integer)) AS w (is_over))
    WHERE f.failures < excluded.allowed
       OR f.window_started_at <= now() - make_interval(secs => :window_seconds::integer)
    RETURNING f.key
)
SELECT (SELECT count(*) FROM counted),
       (SELECT ceil(extract(epoch FROM f.window_started_at - now()))::integer
               + :window_seconds::integer
        FROM sign_in_failures AS f
        WHERE f.key = :address_key::bytea)
"""

# Each failure beyond the allowed ones doubles the wait, up to an hour.
_DOUBLING = "2 ^ least(n.failures - excluded.allowed, 6)"


def _counted(what: str, condition: str, factor: str = _DOUBLING) -> str:
    """One attempt more, unless it has to wait: then nothing comes back.

    The last allowed failure starts a wait, from which on nothing is counted until it is over.
    """
    return f"""
    INSERT INTO sign_in_failures AS f
        (key, allowed, failures, window_started_at, blocked_until)
    SELECT :{what}_key::bytea, :per_{what}::integer, 1, now(),
           CASE WHEN :per_{what}::integer = 1 THEN now() + interval '1 minute'
                ELSE '-infinity' END
    WHERE {condition}
    ON CONFLICT (key) DO UPDATE SET
        (allowed, failures, window_started_at, blocked_until) = (
            SELECT excluded.allowed, n.failures,
                   CASE WHEN n.failures = 1 THEN now() ELSE f.window_started_at END,
                   CASE WHEN n.failures < excluded.allowed THEN '-infinity'
                        ELSE now() + least(interval '1 hour', interval '1 minute' * {factor}) END
            FROM (SELECT CASE
                WHEN greatest(f.window_started_at, f.blocked_until)
                     < now() - make_interval(secs => :window_seconds::integer) THEN 1
                ELSE f.failures + 1 END AS failures) AS n)
    WHERE f.blocked_until <= now()
    RETURNING f.key
"""


# An attempt is counted before the password is looked at, so that guesses sent side by side cannot
# slip past: for this name from this network, then for this network, then for this name from
# wherever its user has never signed in. Each is counted only where the one before let it pass, and
# none while any has to wait, so that nobody prolongs somebody else's wait; and all lock their rows
# in this order, so that no two attempts wait for each other.
_BEGIN_SIGN_IN = f"""
WITH account AS (
    SELECT u.id, u.password_hash, u.token_generation, u.locked_at FROM users AS u
    WHERE u.username_key IN (:username_key, :typed_key)
    ORDER BY u.username_key = :typed_key DESC LIMIT 1
), known AS (
    SELECT n.user_id FROM account AS a JOIN sign_in_networks AS n ON n.user_id = a.id
    WHERE n.network = :network::bytea
), keys (key) AS (
    VALUES (:pair_key::bytea), (:network_key::bytea)
    UNION ALL SELECT :name_key::bytea WHERE NOT EXISTS (SELECT FROM known)
), blocked AS (
    SELECT f.key FROM sign_in_failures AS f
    WHERE f.key IN (SELECT k.key FROM keys AS k) AND f.blocked_until > now()
), of_pair AS ({_counted("pair", "NOT EXISTS (SELECT FROM blocked)")}
), of_network AS ({_counted("network", "EXISTS (SELECT FROM of_pair)")}
), of_name AS ({
    _counted(
        "name", "EXISTS (SELECT FROM of_network) AND NOT EXISTS (SELECT FROM known)", factor="1"
    )
})
SELECT u.id, u.password_hash, u.token_generation, u.locked_at IS NOT NULL,
       EXISTS (SELECT FROM of_network)
       AND (EXISTS (SELECT FROM of_name) OR EXISTS (SELECT FROM known)),
       (SELECT ceil(extract(epoch FROM max(f.blocked_until) - now()))::integer
        FROM sign_in_failures AS f
        WHERE f.key IN (SELECT k.key FROM keys AS k) AND f.blocked_until > now())
FROM (SELECT 1) AS always
LEFT JOIN account AS u ON true
"""

# Takes off what this name's own attempts from here have added, and nobody else's: otherwise
# whoever has an account would wipe out their guesses at others by signing in now and then. What a
# crash of the server takes with it counts against who has signed in, and is no attempt forgotten.
_SUCCEED = f"""
WITH own AS (
    DELETE FROM sign_in_failures AS f WHERE f.key = :pair_key::bytea RETURNING f.failures
), of_network AS (
    UPDATE sign_in_failures AS f
    SET failures = greatest(f.failures - o.failures, 0), blocked_until = '-infinity'
    FROM own AS o WHERE f.key = :network_key::bytea
    RETURNING f.key
), of_name AS (
    UPDATE sign_in_failures AS f SET failures = greatest(f.failures - o.failures, 0)
    -- Which is always so, and brings the locks into the order of an attempt's.
    FROM own AS o WHERE f.key = :name_key::bytea AND (SELECT count(*) FROM of_network) >= 0
)
INSERT INTO sign_in_networks AS n (user_id, network)
SELECT u.id, :network::bytea FROM users AS u, {RELAXED} WHERE u.id = :user_id
ON CONFLICT (user_id, network) DO UPDATE SET signed_in_at = now()
WHERE n.signed_in_at < now() - interval '1 day'
"""

# Between these and what was verified somebody may have changed the password.
_REPLACE_HASH = """
UPDATE users SET password_hash = :new_hash WHERE id = :user_id AND password_hash = :old_hash
RETURNING id
"""

_RENEW = """
UPDATE users SET password_hash = :new_hash, token_generation = token_generation + 1
WHERE id = :user_id AND token_generation = :token_generation AND password_hash = :old_hash
RETURNING token_generation
"""

_USERNAME_KEY = """
SELECT u.username_key FROM users AS u
WHERE u.id = :user_id AND u.token_generation = :token_generation
"""

_PROFILE = """
SELECT u.username, rfc3339(u.created_at), coalesce(a.images, 0), coalesce(a.bytes, 0)
FROM users AS u LEFT JOIN account_usage AS a ON a.user_id = u.id
WHERE u.id = :user_id AND u.token_generation = :token_generation
"""

_FORGET_FAILURES = "DELETE FROM sign_in_failures WHERE key = :name_key::bytea"

_FORGET_OLD_FAILURES = """
WITH forgotten AS (
    DELETE FROM sign_in_failures
    WHERE key = ANY(ARRAY(
        SELECT f.key FROM sign_in_failures AS f
        WHERE greatest(f.window_started_at, f.blocked_until) < now() - interval '1 day'
        ORDER BY greatest(f.window_started_at, f.blocked_until) LIMIT :batch_size))
      AND greatest(window_started_at, blocked_until) < now() - interval '1 day'
    RETURNING key
)
SELECT count(*) FROM forgotten
"""

_FORGET_OLD_NETWORKS = """
WITH forgotten AS (
    DELETE FROM sign_in_networks WHERE (user_id, network) IN (
        SELECT n.user_id, n.network FROM sign_in_networks AS n
        WHERE n.signed_in_at < now() - interval '90 days'
        ORDER BY n.signed_in_at LIMIT :batch_size FOR UPDATE SKIP LOCKED)
    RETURNING user_id
)
SELECT count(*) FROM forgotten
"""

_FIRST_WAIT_SECONDS = 60
# More than one network comes to within the window, what with its waits.
_NETWORKS_PER_NAME = 4
_MAX_COUNT = 2**31 - 1


class PostgresUserRecords:
    def __init__(
        self,
        database: Database,
        sign_in_throttle: SignInThrottle,
        registration_throttle: RegistrationThrottle,
    ) -> None:
        self._database = database
        self._sign_in_throttle = sign_in_throttle
        self._registration_throttle = registration_throttle

    def begin_registration(self, network: str) -> int:
        limit = self._registration_throttle
        counted, wait_seconds = self._database.only_row(
            _BEGIN_REGISTRATION,
            address_key=_digest("registration", network),
            allowed=limit.per_address,
            window_seconds=limit.window_seconds,
        )
        # Without a row the window has begun this very moment, by requests side by side.
        return 0 if counted else max(1, wait_seconds or limit.window_seconds)

    def add(
        self, username: str, username_key: str, password_hash: str, network: str | None = None
    ) -> int:
        try:
            return self._database.number(
                _INSERT,
                username=username,
                username_key=username_key,
                password_hash=password_hash,
                network=_digest("network", network) if network is not None else None,
            )
        except UniqueViolation as error:
            raise UsernameTaken from error

    def begin_sign_in(self, username_key: str, network: str, typed_key: str) -> SignInAttempt:
        limits = self._sign_in_throttle
        row = self._database.only_row(
            _BEGIN_SIGN_IN,
            username_key=username_key,
            typed_key=typed_key,
            per_pair=limits.failures_per_name,
            per_network=limits.failures_per_address,
            per_name=min(limits.failures_per_name * _NETWORKS_PER_NAME, _MAX_COUNT),
            window_seconds=limits.window_seconds,
            **_keys(username_key, network),
        )
        user_id, password_hash, generation, is_locked, is_admitted, wait_seconds = row
        return SignInAttempt(
            user_id=user_id,
            password_hash=password_hash,
            retry_after_seconds=0 if is_admitted else (wait_seconds or _FIRST_WAIT_SECONDS),
            generation=generation or 0,
            is_locked=is_locked,
        )

    def sign_in_succeeded(self, username_key: str, network: str, user_id: int) -> None:
        self._database.rows(_SUCCEED, user_id=user_id, **_keys(username_key, network))

    def replace_hash(self, user_id: int, old_hash: str, new_hash: str) -> bool:
        row = self._database.row(
            _REPLACE_HASH, user_id=user_id, old_hash=old_hash, new_hash=new_hash
        )
        return row is not None

    def username_key(self, user_id: int) -> str:
        return str(self._of_signed_in(_USERNAME_KEY, user_id)[0])

    def change_password(self, user_id: int, old_hash: str, new_hash: str) -> int | None:
        row = self._database.row(_RENEW, user_id=user_id, old_hash=old_hash, new_hash=new_hash)
        return int(row[0]) if row is not None else None

    def close(self, user_id: int, password_hash: str, correlation_id: str) -> bool:
        closed = self._database.number(
            CLOSE, user_id=user_id, password_hash=password_hash, correlation_id=correlation_id
        )
        return bool(closed)

    def forget_failures(self, username_key: str) -> None:
        forget_failures(self._database, username_key)

    def profile(self, user_id: int) -> tuple[str, str, Usage]:
        username, created_at, images, stored_bytes = self._of_signed_in(_PROFILE, user_id)
        return username, created_at, Usage(images=images, bytes=stored_bytes)

    def _of_signed_in(self, statement: str, user_id: int) -> Row:
        row = self._database.row(statement, user_id=user_id)
        if row is None:
            raise Unauthenticated(NO_LONGER_SIGNED_IN)
        return row

    def forget_old_failures(self, batch_size: int) -> int:
        """How many rows left."""
        return self._database.number(_FORGET_OLD_FAILURES, batch_size=batch_size)

    def forget_old_networks(self, batch_size: int) -> int:
        """Those from which nobody has signed in for long; how many rows left."""
        return self._database.number(_FORGET_OLD_NETWORKS, batch_size=batch_size)


def forget_failures(database: Database, username_key: str) -> None:
    """Those to sign in with this name, from wherever."""
    database.rows(_FORGET_FAILURES, name_key=_digest("name", username_key))


def _keys(username_key: str, network: str) -> dict[str, bytes]:
    return {
        "pair_key": _digest("name and network", f"{username_key} {network}"),
        "network_key": _digest("address", network),
        "name_key": _digest("name", username_key),
        "network": _digest("network", network),
    }


def _digest(kind: str, value: str) -> bytes:
    """Keeps what people type into the name field (now and then a password) out of the table."""
    return hashlib.sha256(f"{kind}:{value}".encode("utf-8", "surrogatepass")).digest()
