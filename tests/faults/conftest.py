"""One breakable cloud for all fault tests, whole again after each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.api_client import ApiClient
from tests.faults.audit import Audit
from tests.faults.breakable_cloud import BreakableCloud, breakable_cloud
from tests.faults.workload import Workload

SEED = 20_261_123


@pytest.fixture(scope="session")
def running_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BreakableCloud]:
    with breakable_cloud(tmp_path_factory.mktemp("breakable")) as system:
        yield system


@pytest.fixture
def system(running_system: BreakableCloud) -> Iterator[BreakableCloud]:
    running_system.keep_the_janitor_waiting()
    yield running_system
    running_system.heal()


@pytest.fixture
def audit(system: BreakableCloud) -> Audit:
    made = Audit(system)
    made.listen()
    return made


@pytest.fixture
def workload(system: BreakableCloud) -> Iterator[Workload]:
    with Workload(system.cloud.api_url, SEED) as made:
        yield made


@pytest.fixture
def user(system: BreakableCloud) -> Iterator[ApiClient]:
    with ApiClient(system.cloud.api_url) as client:
        yield client.sign_up()
