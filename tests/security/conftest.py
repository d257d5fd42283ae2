"""A local cloud that logs all it can, for tests that mean harm."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import (
    ada,
    bob,
    bucket,
    database,
    new_client,
    new_user,
    processing,
    visitor,
)
from tests.e2e.running_cloud import RunningCloud
from tests.processes import has_variable, runtimes_of

__all__ = ["ada", "bob", "bucket", "database", "new_client", "new_user", "processing", "visitor"]

ORIGIN = "https://gallery.example"


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    running = RunningCloud(
        tmp_path_factory.mktemp("cloud") / "data",
        "--no-watch",
        variables={
            "CORS_ALLOWED_ORIGIN": ORIGIN,
            "POWERTOOLS_LOG_LEVEL": "DEBUG",
            # Or everything that is sent to sign-in would only meet the throttle.
            "LOGIN_FAILURES_PER_ADDRESS": "1000000",
            "LOGIN_FAILURES_PER_NAME": "1000000",
        },
    )
    running.start()
    yield running
    running.stop()


def consumer_pid(cloud: RunningCloud) -> int | None:
    """The process that renders this cloud's images, once it has begun to."""
    database_url = cloud.environment["DATABASE_URL"]
    for pid in runtimes_of("ConsumerFunction"):
        if has_variable(pid, "DATABASE_URL", database_url):
            return pid
    return None
