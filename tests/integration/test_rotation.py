"""A password that is changed while functions are warm."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from pg8000.exceptions import DatabaseError

from tests.integration.functions import Api
from tests.integration.real_services import RealServices, connect

ARN = "PlatformStack.Outputs.ImagesDatabaseSecretArn"


def test_a_function_whose_database_password_is_refused_asks_for_the_secret_anew(
    api: Api,
    ada: str,
    services: RealServices,
    secrets: dict[str, dict[str, object]],
    purpose_url: str,
) -> None:
    assert api.list_images(ada)["statusCode"] == 200
    url = purpose_url.format(purpose="images")
    role, before = urlsplit(url).username, urlsplit(url).password

    def change(password: str | None) -> None:
        services.administer(
            f"ALTER ROLE {role} PASSWORD '{password}'",
            # As a database does that fails over: whoever is warm has to sign in again.
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'",
        )

    change("another")
    try:
        with pytest.raises(DatabaseError):
            connect(url)
        assert api.list_images(ada)["statusCode"] == 503, "the secret is still the old one"

        secrets[ARN]["password"] = "another"
        assert api.list_images(ada)["statusCode"] == 200
    finally:
        change(before)
