"""One deployment for all tests, and what it takes to deploy to it once more."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.deploy_local.stack import Stack
from infra.deploy_local.target import Target
from tests.deployment.deployed_stack import DeployedStack, deployed_stack


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeployedStack]:
    with deployed_stack(tmp_path_factory.mktemp("deployment") / "data") as stack:
        yield stack


@pytest.fixture(scope="session")
def target(deployed: DeployedStack) -> Target:
    return Target(**deployed.target)


@pytest.fixture
def stack(deployed: DeployedStack, target: Target) -> Stack:
    return Stack(target, deployed.stack_name)


@pytest.fixture(scope="session")
def work_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where tests build what they changed."""
    return tmp_path_factory.mktemp("work")
