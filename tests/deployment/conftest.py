"""One deployment for all tests, and what it takes to deploy to it once more."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

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
def formation(target: Target) -> Any:
    """A client of its CloudFormation."""
    return target.client("cloudformation")


@pytest.fixture(scope="session")
def work_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where tests build what they changed."""
    return tmp_path_factory.mktemp("work")
