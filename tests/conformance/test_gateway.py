"""Each pair, asked of the gateway: it answers as AWS does, or exactly as it is known to."""

import pytest

from tests.conformance.all_pairs import ALL_PAIRS
from tests.conformance.conftest import Endpoints, deployed
from tests.conformance.differences import LOCAL_GATEWAY
from tests.conformance.exchange import observe
from tests.conformance.pairs import Pair


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "pair" not in metafunc.fixturenames:
        return
    elsewhere = deployed(metafunc.config)
    target = "aws" if elsewhere else "local_gateway"
    cases = [
        pytest.param(target, pair, id=f"{target}: {pair.says}")
        for pair in ALL_PAIRS
        if not elsewhere or pair.api in elsewhere
    ]
    metafunc.parametrize(("target", "pair"), cases)


def test_a_gateway_answers_as_aws_does_or_as_it_is_known_to(
    request: pytest.FixtureRequest, target: str, pair: Pair
) -> None:
    endpoints: Endpoints = request.getfixturevalue(target)
    difference = LOCAL_GATEWAY.get(pair.says) if target == "local_gateway" else None
    expected = {**pair.expected, **(difference.observed if difference else {})}
    response = endpoints[pair.api].send(pair.request)
    observed = observe(response, expected)
    if difference and observed != expected and observed == dict(pair.expected):
        pytest.fail(f"{target} now does what AWS does: it no longer belongs in differences.py")
    assert observed == expected, f"{response.status} {response.body[:500]!r}"


def test_a_known_difference_is_one() -> None:
    pairs = {pair.says: pair for pair in ALL_PAIRS}
    assert len(pairs) == len(ALL_PAIRS)
    for says, difference in LOCAL_GATEWAY.items():
        expected = pairs[says].expected
        assert difference.observed, f"{says}: nothing differs"
        for selector, value in difference.observed.items():
            assert selector in expected, f"{says}: {selector} is not asked for"
            assert value != expected[selector], f"{says}: {selector} does not differ"
