"""Which gateway is asked: the local one, or AWS's that the options name."""

import os
from collections.abc import Iterator

import pytest

from tests.conformance.exchange import Endpoint
from tests.conformance.local_target import local_gateways
from tests.conformance.pairs import TEMPLATES

Endpoints = dict[str, Endpoint]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--gateway-url",
        action="append",
        default=[],
        metavar="NAME=URL",
        help="ask an API that is deployed on AWS, instead of the gateways on this machine: "
        "plain=https://ID.execute-api.REGION.amazonaws.com/v1, and customised=... "
        "($CONFORMANCE_GATEWAY_URLS, separated by spaces)",
    )


def deployed(config: pytest.Config) -> Endpoints:
    """The APIs that the options, or the environment, name."""
    given = config.getoption("--gateway-url") or (
        os.environ.get("CONFORMANCE_GATEWAY_URLS", "").split()
    )
    named = dict(item.split("=", 1) for item in given)
    return {name: Endpoint.of_url(url) for name, url in named.items()}


@pytest.fixture(scope="session")
def local_gateway() -> Iterator[Endpoints]:
    with local_gateways(TEMPLATES) as endpoints:
        yield endpoints


@pytest.fixture(scope="session")
def aws(pytestconfig: pytest.Config) -> Endpoints:
    return deployed(pytestconfig)
