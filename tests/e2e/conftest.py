"""One local cloud for the whole session, and clients of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import localstack_client.session
import pytest
from pg8000.native import Connection

from tests.e2e.api_client import ApiClient
from tests.e2e.holding import Processing
from tests.e2e.running_cloud import RunningCloud
from tests.integration.real_services import connect

NewClient = Callable[[], ApiClient]


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    yield from running_cloud(tmp_path_factory.mktemp("cloud"))


def running_cloud(folder: Path, **variables: str) -> Iterator[RunningCloud]:
    """As a fixture has it; `variables` are settings of the functions."""
    running = RunningCloud(folder / "data", "--no-watch", variables=variables)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def new_client(cloud: RunningCloud) -> Iterator[NewClient]:
    """Makes clients that nobody knows yet."""
    with ExitStack() as clients:
        yield lambda: clients.enter_context(ApiClient(cloud.api_url))


@pytest.fixture
def new_user(new_client: NewClient) -> NewClient:
    """Makes clients with an account, signed in."""

    return lambda: new_client().sign_up()


@pytest.fixture
def visitor(new_client: NewClient) -> ApiClient:
    return new_client()


@pytest.fixture
def ada(new_user: NewClient) -> ApiClient:
    return new_user()


@pytest.fixture
def bob(new_user: NewClient) -> ApiClient:
    return new_user()


@pytest.fixture
def database(cloud: RunningCloud) -> Iterator[Connection]:
    with closing(connect(cloud.environment["DATABASE_ADMIN_URL"])) as connection:
        yield connection


@pytest.fixture
def processing(cloud: RunningCloud, database: Connection) -> Processing:
    return Processing(cloud, database)


@pytest.fixture(scope="session")
def bucket(cloud: RunningCloud) -> Iterator[Any]:
    """The bucket of the images, with boto3's names."""
    environment = cloud.environment
    resource = localstack_client.session.Session(
        localstack_host=urlsplit(environment["AWS_ENDPOINT_URL"]).netloc,
        region_name=environment["AWS_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    ).resource("s3")
    yield resource.Bucket(environment["IMAGES_BUCKET"])
    resource.meta.client.close()
