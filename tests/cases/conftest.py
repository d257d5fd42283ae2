"""A local cloud for the cases, as `make run` starts it."""

from __future__ import annotations

from tests.e2e.conftest import ada, bob, bucket, cloud, database, new_client, new_user, visitor

__all__ = ["ada", "bob", "bucket", "cloud", "database", "new_client", "new_user", "visitor"]
