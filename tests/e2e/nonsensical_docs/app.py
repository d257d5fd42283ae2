"""Pages of which no gateway can make an answer.

Only a template of the tests names this folder.
"""

from __future__ import annotations

from typing import Any


def lambda_handler(event: dict[str, Any], context: Any) -> Any:
    return ["nonsense"]
