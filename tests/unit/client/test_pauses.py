"""An interrupted upload waits for no server that may come back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from image_api_client import Unreachable
from image_api_client.cli.uploads import Pauses


def test_whoever_interrupts_ends_every_pause_in_all_threads() -> None:
    pauses = Pauses()
    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(pauses.sleep, 3600.0) for _ in range(2)]
        pauses.end()
        for each in waiting:
            with pytest.raises(Unreachable, match="Interrupted"):
                each.result()
