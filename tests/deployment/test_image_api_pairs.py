"""What the image API promises of its gateway, asked of the deployed one."""

import pytest

from tests.conformance.differences import IMAGE_API_IN_MINISTACK
from tests.conformance.exchange import Endpoint, observe
from tests.conformance.image_api_pairs import IMAGE_API_PAIRS
from tests.conformance.pairs import Pair
from tests.deployment.deployed_stack import DeployedStack


@pytest.mark.parametrize("pair", IMAGE_API_PAIRS, ids=lambda pair: pair.says)
def test_the_deployed_api_keeps_its_promises_as_far_as_it_is_known_to(
    deployed: DeployedStack, pair: Pair
) -> None:
    difference = IMAGE_API_IN_MINISTACK.get(pair.says)
    expected = {**pair.expected, **(difference.observed if difference else {})}
    response = Endpoint.of_url(deployed.api_url).send(pair.request)
    assert observe(response, expected) == expected, f"{response.status} {response.body[:500]!r}"
