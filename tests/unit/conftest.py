"""Every unit test has settings of its own and leaves none behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from tests import application

# Reproducible, and without a folder of examples: a failure prints the example that caused it.
hypothesis_settings.register_profile(
    "suite",
    derandomize=True,
    database=None,
    # How long an example takes is the machine's affair.
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
hypothesis_settings.load_profile("suite")


@pytest.fixture(autouse=True)
def environment() -> Iterator[pytest.MonkeyPatch]:
    """The settings of a deployment that nothing answers at; a test may change them first."""
    with pytest.MonkeyPatch.context() as patch:
        application.use_environment(patch, application.ENVIRONMENT)
        yield patch
    application.forget()
