"""The table `waiting_requests`: a row for each request that waits for an image."""

from __future__ import annotations

from uuid import uuid4

from image_api.core.library.long_polling import MAX_WAIT_SECONDS
from image_api.postgres.database import RELAXED, Database
from image_api.settings import WaiterLimits

# Longer than a request waits and then looks once more: whoever has not given it back is gone.
_LEASE_SECONDS = MAX_WAIT_SECONDS + 15

# Requests of one user take turns here, so that each sees what those before have taken.
_LOCK_USER = "SELECT pg_advisory_xact_lock(731420198, hashint8(:user_id::bigint))"

# Any place that is free: two that come at once seldom choose the same one, and then the second is
# told that too many wait.
_TAKE = f"""
INSERT INTO waiting_requests AS w (place, user_id, lease_id, leased_until)
SELECT p.place, :user_id::bigint, :lease_id::uuid,
       now() + interval '{_LEASE_SECONDS} seconds'
FROM generate_series(1, :at_once::integer) AS p (place), {RELAXED}
WHERE NOT EXISTS (SELECT FROM waiting_requests AS t
                  WHERE t.place = p.place AND t.leased_until > now())
  AND (SELECT count(*) FROM waiting_requests AS o
       WHERE o.user_id = :user_id::bigint AND o.leased_until > now()) < :per_account::integer
ORDER BY random()
LIMIT 1
ON CONFLICT (place) DO UPDATE
SET user_id = excluded.user_id, lease_id = excluded.lease_id, leased_until = excluded.leased_until
WHERE w.leased_until <= now()
RETURNING w.lease_id
"""

_GIVE_BACK = f"""
DELETE FROM waiting_requests USING {RELAXED} WHERE lease_id = :lease_id::uuid
"""


class PostgresWaitingPlaces:
    def __init__(self, database: Database, limits: WaiterLimits) -> None:
        self._database = database
        self._limits = limits

    def take(self, user_id: int) -> str | None:
        lease_id = str(uuid4())
        with self._database.transaction():
            self._database.rows(_LOCK_USER, user_id=user_id)
            row = self._database.row(
                _TAKE,
                user_id=user_id,
                lease_id=lease_id,
                at_once=self._limits.at_once,
                per_account=self._limits.per_account,
            )
        return lease_id if row is not None else None

    def give_back(self, place: str) -> None:
        self._database.rows(_GIVE_BACK, lease_id=place)

    def disconnect(self) -> None:
        self._database.close()
