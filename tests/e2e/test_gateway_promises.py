"""What the gateway has to do for the image API itself."""

from __future__ import annotations

import pytest

from tests.conformance.exchange import Endpoint, observe
from tests.conformance.image_api_pairs import IMAGE_API_PAIRS
from tests.conformance.pairs import Pair
from tests.e2e.running_cloud import RunningCloud


@pytest.mark.parametrize("pair", IMAGE_API_PAIRS, ids=lambda pair: pair.says)
def test_the_local_cloud_keeps_what_the_image_api_promises(cloud: RunningCloud, pair: Pair) -> None:
    response = Endpoint.of_url(cloud.api_url).send(pair.request)
    assert observe(response, pair.expected) == pair.expected, response.body[:500]
