"""Each pair, asked of each gateway: it answers as AWS does, or exactly as it is known to."""

from collections.abc import Mapping, Sequence

import pytest

from tests.conformance.conftest import Endpoints, deployed
from tests.conformance.differences import (
    IMAGE_API_IN_MINISTACK,
    LOCAL_GATEWAY,
    MINISTACK,
    Difference,
)
from tests.conformance.exchange import observe
from tests.conformance.image_api_pairs import IMAGE_API_PAIRS
from tests.conformance.pairs import PAIRS, Pair

DIFFERENCES: dict[str, Mapping[str, Difference]] = {
    "local_gateway": LOCAL_GATEWAY,
    "ministack": MINISTACK,
    "aws": {},
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "pair" not in metafunc.fixturenames:
        return
    elsewhere = deployed(metafunc.config)
    targets = ["aws"] if elsewhere else ["local_gateway", "ministack"]
    cases = [
        pytest.param(target, pair, id=f"{target}: {pair.says}")
        for target in targets
        for pair in PAIRS
        if not elsewhere or pair.api in elsewhere
    ]
    metafunc.parametrize(("target", "pair"), cases)


def test_a_gateway_answers_as_aws_does_or_as_it_is_known_to(
    request: pytest.FixtureRequest, target: str, pair: Pair
) -> None:
    endpoints: Endpoints = request.getfixturevalue(target)
    difference = DIFFERENCES[target].get(pair.says)
    expected = {**pair.expected, **(difference.observed if difference else {})}
    response = endpoints[pair.api].send(pair.request)
    observed = observe(response, expected)
    if difference and observed != expected and observed == dict(pair.expected):
        pytest.fail(f"{target} now does what AWS does: it no longer belongs in differences.py")
    assert observed == expected, f"{response.status} {response.body[:500]!r}"


@pytest.mark.parametrize(
    ("differences", "asked"),
    [
        (LOCAL_GATEWAY, PAIRS),
        (MINISTACK, PAIRS),
        (IMAGE_API_IN_MINISTACK, IMAGE_API_PAIRS),
    ],
    ids=["local gateway", "ministack", "image API in ministack"],
)
def test_a_known_difference_is_one(
    differences: Mapping[str, Difference], asked: Sequence[Pair]
) -> None:
    pairs = {pair.says: pair for pair in asked}
    assert len(pairs) == len(asked)
    for says, difference in differences.items():
        expected = pairs[says].expected
        assert difference.observed, f"{says}: nothing differs"
        for selector, value in difference.observed.items():
            assert selector in expected, f"{says}: {selector} is not asked for"
            assert value != expected[selector], f"{says}: {selector} does not differ"
