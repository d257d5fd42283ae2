"""The places that name settings name the same: the code, .env.example, compose, the README."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import _lru_cache_wrapper

import pytest

from image_api import settings
from tests.application import ENVIRONMENT, use_environment
from tests.variables import ROOT, SETTINGS

EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
NAMED = set(re.findall(r"^(?:# )?([A-Z]+_[A-Z_]+)=", EXAMPLE, re.MULTILINE))
# With the values that nobody need set.
DEFAULTS = dict(re.findall(r"^([A-Z]+_[A-Z_]+)=(.+)$", EXAMPLE, re.MULTILINE))
# What the template alone sets, on AWS: where its secrets are, and where those lead to, and as which
# role of the database and which user of the broker a function works; what Lambda says of an
# environment and lends to it; and what the local cloud sets, where functions invoke functions.
ON_AWS = {name for name in SETTINGS if name.endswith("_SECRET_ARN")} | {
    *("DATABASE_HOST", "POSTGRES_HOST", "RABBITMQ_ENDPOINT"),
    *("AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    *("RENDERER_FUNCTION", "AWS_ENDPOINT_URL_LAMBDA", "DATABASE_PURPOSE", "RABBITMQ_PURPOSE"),
}


def names_in(*paths: str) -> set[str]:
    """The variables that files read, by the form of their names."""
    texts = [(ROOT / path).read_text(encoding="utf-8") for path in paths]
    return set(re.findall(r'(?:"|\$\{)([A-Z]+_[A-Z_]+)', "\n".join(texts)))


def test_every_setting_of_the_code_is_in_the_example() -> None:
    read = SETTINGS | names_in("infra/local/settings.py")
    # The AWS SDK's other name for AWS_REGION.
    assert read - ON_AWS - NAMED == {"AWS_DEFAULT_REGION"}


def test_every_variable_of_compose_is_in_the_example() -> None:
    assert names_in("docker-compose.yml", "infra/compose.env") <= NAMED


def test_everything_in_the_example_is_read() -> None:
    passed_on = set(
        re.findall(r"^ +([A-Z_]+):$", (ROOT / "docker-compose.yml").read_text(), re.MULTILINE)
    )
    read = names_in("infra/local/settings.py", "docker-compose.yml") | SETTINGS | passed_on
    assert not NAMED - read


def test_every_setting_that_the_readme_explains_is_in_the_example() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"^\| Variable \|.*\n((?:\|.*\n)+)", readme, re.MULTILINE)
    explained = set(re.findall(r"`([A-Z]+_[A-Z_]+)`", table))
    assert explained
    assert explained <= NAMED


def test_the_example_shows_the_defaults(environment: pytest.MonkeyPatch) -> None:
    def everything(variables: Mapping[str, str]) -> dict[str, object]:
        use_environment(environment, variables)
        return {
            name: read()
            for name, read in vars(settings).items()
            if isinstance(read, _lru_cache_wrapper) and read.__module__ == settings.__name__
            # Which is a function, and another one each time.
            if not name.startswith("_") and name != "credential_source"
        }

    assert len(everything(ENVIRONMENT)) > 5
    assert everything({**ENVIRONMENT, **DEFAULTS}) == everything(ENVIRONMENT)
    assert DEFAULTS.keys() - {"API_PORT"} <= SETTINGS
