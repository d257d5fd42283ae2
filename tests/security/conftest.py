"""A local cloud that logs all it can, for tests that mean harm."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

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
    database_url = f"DATABASE_URL={cloud.environment['DATABASE_URL']}".encode()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0")
            environment = (folder / "environ").read_bytes().split(b"\0")
        except (OSError, ProcessLookupError):
            continue  # it ended meanwhile, or is somebody else's
        if (
            command[1:3] == [b"-m", b"awslambdaric"]
            and b"AWS_LAMBDA_FUNCTION_NAME=ConsumerFunction" in environment
            and database_url in environment
        ):
            return int(folder.name)
    return None
