"""What the image API promises of its gateway, asked of the deployed one."""

import pytest

from tests.conformance.exchange import Endpoint, observe
from tests.conformance.image_api_pairs import IMAGE_API_PAIRS
from tests.conformance.pairs import Pair
from tests.deployment.deployed_stack import DeployedStack

# MiniStack has no limit of a request's size, and decodes paths before it looks for a route.
BEYOND_MINISTACK = {
    "The image API: a request that Lambda would not take is 413, and says what to do",
    "The image API: a request over 10 MB is 413, in the gateway's own words",
    "The image API: an encoded slash is not a slash",
}


@pytest.mark.parametrize(
    "pair",
    [pair for pair in IMAGE_API_PAIRS if pair.says not in BEYOND_MINISTACK],
    ids=lambda pair: pair.says,
)
def test_the_deployed_api_keeps_what_it_promises(deployed: DeployedStack, pair: Pair) -> None:
    response = Endpoint.of_url(deployed.api_url).send(pair.request)
    assert observe(response, pair.expected) == pair.expected, response.body[:500]
