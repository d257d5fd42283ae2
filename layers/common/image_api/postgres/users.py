"""The tables `users` and `sign_in_failures`."""

from __future__ import annotations

import hashlib

from image_api.core.accounts import SignInAttempt
from image_api.errors import UsernameTaken
from image_api.postgres.database import Database, UniqueViolation
from image_api.settings import RegistrationThrottle, SignInThrottle

_INSERT = """
INSERT INTO users (username, username_key, password_hash)
VALUES (:username, :username_key, :password_hash)
RETURNING id
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

# An attempt is counted before the password is looked at, so that guesses sent side by side
# cannot slip past. The last allowed failure starts a wait, and each further one doubles it, up
# to an hour. While it lasts nothing is counted: fewer than two rows come back from `attempted`.
# Rows are locked in the order of their keys, so that two attempts cannot wait for each other.
_BEGIN_SIGN_IN = """
WITH attempted AS (
    INSERT INTO sign_in_failures AS f
        (key, allowed, failures, window_started_at, blocked_until)
    SELECT k.key, k.allowed, 1, now(),
           CASE WHEN k.allowed = 1 THEN now() + interval '1 minute' ELSE '-infinity' END
    FROM (VALUES (:name_key::bytea, :per_name::integer),
                 (:address_key::bytea, :per_address::integer)) AS k (key, allowed)
    ORDER BY k.key
    ON CONFLICT (key) DO UPDATE SET
        (allowed, failures, window_started_at, blocked_until) = (
            SELECT excluded.allowed, n.failures,
                   CASE WHEN n.failures = 1 THEN now() ELSE f.window_started_at END,
                   CASE WHEN n.failures < excluded.allowed THEN '-infinity'
                        ELSE now() + least(interval '1 hour', interval '1 minute'
                             * 2 ^ least(n.failures - excluded.allowed, 6)) END
            FROM (SELECT CASE
                WHEN greatest(f.window_started_at, f.blocked_until)
                     < now() - make_interval(secs => :window_seconds::integer) THEN 1
                ELSE f.failures + 1 END AS failures) AS n)
    WHERE f.blocked_until <= now()
    RETURNING f.key
)
SELECT u.id, u.password_hash,
       (SELECT count(*) FROM attempted),
       (SELECT ceil(extract(epoch FROM max(f.blocked_until) - now()))::integer
        FROM sign_in_failures AS f
        WHERE f.key IN (:name_key::bytea, :address_key::bytea) AND f.blocked_until > now())
FROM (SELECT 1) AS always
LEFT JOIN users AS u ON u.username_key = :username_key
"""

_CLEAR_FAILURES = """
DELETE FROM sign_in_failures WHERE key IN (:name_key::bytea, :address_key::bytea)
"""

_STORE_HASH = """
UPDATE users SET password_hash = :password_hash WHERE id = :user_id
"""

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

_FIRST_WAIT_SECONDS = 60


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

    def begin_registration(self, address: str) -> int:
        limit = self._registration_throttle
        row = self._database.row(
            _BEGIN_REGISTRATION,
            address_key=_digest("registration", address),
            allowed=limit.per_address,
            window_seconds=limit.window_seconds,
        )
        assert row is not None
        counted, wait_seconds = row
        # Without a row the window has begun this very moment, by requests side by side.
        return 0 if counted else max(1, wait_seconds or limit.window_seconds)

    def add(self, username: str, username_key: str, password_hash: str) -> int:
        try:
            row = self._database.row(
                _INSERT, username=username, username_key=username_key, password_hash=password_hash
            )
        except UniqueViolation as error:
            raise UsernameTaken from error
        assert row is not None
        return int(row[0])

    def begin_sign_in(self, username_key: str, address: str) -> SignInAttempt:
        limits = self._sign_in_throttle
        row = self._database.row(
            _BEGIN_SIGN_IN,
            username_key=username_key,
            name_key=_digest("name", username_key),
            address_key=_digest("address", address),
            per_name=limits.failures_per_name,
            per_address=limits.failures_per_address,
            window_seconds=limits.window_seconds,
        )
        assert row is not None
        user_id, password_hash, counted, wait_seconds = row
        blocked = counted < 2
        return SignInAttempt(
            user_id=user_id,
            password_hash=password_hash,
            retry_after_seconds=(wait_seconds or _FIRST_WAIT_SECONDS) if blocked else 0,
        )

    def sign_in_succeeded(
        self, username_key: str, address: str, user_id: int, new_password_hash: str | None
    ) -> None:
        self._database.rows(
            _CLEAR_FAILURES,
            name_key=_digest("name", username_key),
            address_key=_digest("address", address),
        )
        if new_password_hash is not None:
            self._database.rows(_STORE_HASH, user_id=user_id, password_hash=new_password_hash)

    def forget_old_failures(self, batch_size: int) -> int:
        """How many rows left."""
        row = self._database.row(_FORGET_OLD_FAILURES, batch_size=batch_size)
        assert row is not None
        return int(row[0])


def _digest(kind: str, value: str) -> bytes:
    """Keeps what people type into the name field (now and then a password) out of the table."""
    return hashlib.sha256(f"{kind}:{value}".encode("utf-8", "surrogatepass")).digest()
