"""What the tests of the consumer share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.core.consumer_bench import Bench, use_fake_pixels


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    use_fake_pixels(monkeypatch)
    made = Bench()
    yield made
    made.consumer.close()
