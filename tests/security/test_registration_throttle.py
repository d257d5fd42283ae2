"""POST /auth/register from one address again and again."""

from __future__ import annotations

import pytest

from tests.e2e.api_client import ApiClient
from tests.e2e.conftest import NewClient

ALLOWED = 100


@pytest.fixture
def crowd(new_client: NewClient) -> ApiClient:
    return new_client()


def test_after_a_hundred_registrations_an_address_has_to_wait(
    crowd: ApiClient, visitor: ApiClient
) -> None:
    """Names that are taken count as well, but bodies that break a rule do not."""
    assert crowd.register(password="x").status_code == 400
    statuses = [crowd.register().status_code for _ in range(ALLOWED)]
    assert statuses == [200] + [400] * (ALLOWED - 1)

    answer = crowd.register(f"{crowd.username}-2")

    assert answer.status_code == 429
    assert answer.json().keys() == {"detail", "code"}
    assert "registrations from this address" in answer.json()["detail"]
    assert 0 < int(answer.headers["Retry-After"]) <= 15 * 60
    assert crowd.sign_in().status_code == 200
    assert visitor.register(f"{crowd.username}-2").status_code == 200
