"""Programs of this machine are served; what a stranger's page sends is not."""

import pytest

from infra.local.network.access import is_of_a_strange_page, is_own_host


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "localhost:8000", "LOCALHOST.", "photos.localhost:8000", "api:8000"),
        *("127.0.0.1:8000", "[::1]:8000", "192.168.1.7", "laptop.local", "host.docker.internal"),
        "Tunnel.example:443",
    ],
)
def test_a_name_that_no_stranger_can_own_is_answered(host: str) -> None:
    assert is_own_host(host, frozenset({"tunnel.example"}))


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "localhost.evil.example:8000", "127.0.0.1.evil.example", "", ":8000"),
        *("evil.example.", "[::1", "xn--localhost-.example", "notlocal.com"),
    ],
)
def test_a_name_that_anybody_may_point_here_is_not(host: str) -> None:
    assert not is_own_host(host, frozenset({"tunnel.example"}))


@pytest.mark.parametrize(
    ("headers", "is_strange"),
    [
        ({}, False),
        ({"Origin": "http://localhost:3000"}, False),
        ({"Origin": "http://[::1]:3000", "Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": "https://evil.example"}, True),
        ({"Origin": "null"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Sec-Fetch-Site": "none"}, False),
    ],
)
def test_a_page_is_known_by_what_the_browser_says_of_it(
    headers: dict[str, str], is_strange: bool
) -> None:
    assert is_of_a_strange_page(headers) == is_strange
