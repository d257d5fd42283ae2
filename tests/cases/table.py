"""cases.json: inputs that once went wrong, each for a whole kind, and what must come of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

Case = dict[str, Any]

_PATH = Path(__file__).with_name("cases.json")
CASES: list[Case] = json.loads(_PATH.read_bytes())["cases"]


def sent_as(*ways: str) -> pytest.MarkDecorator:
    """A test for each case that is sent in one of these ways."""
    return pytest.mark.parametrize(
        "case",
        [
            pytest.param(case, id=case["name"], marks=_marks(case))
            for case in CASES
            if case["sent"] in ways
        ],
    )


def _marks(case: Case) -> list[pytest.MarkDecorator]:
    if reason := case.get("not_yet"):
        return [pytest.mark.xfail(reason=reason, strict=True)]
    return []


class Words:
    """What stands for @NAME@ in a case: values kept from earlier answers, and a word of its own."""

    def __init__(self, **known: object) -> None:
        self._known = {"UNIQUE": uuid4().hex, **known}

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def __getitem__(self, name: str) -> Any:
        return self._known[name]

    def keep(self, name: str, value: object) -> None:
        self._known[name] = value

    def fill_in(self, value: Any) -> Any:
        """The same text or JSON with the words in it; a text that is one word becomes its value."""
        if isinstance(value, dict):
            return {name: self.fill_in(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self.fill_in(each) for each in value]
        if not isinstance(value, str):
            return value
        for name, known in self._known.items():
            if value == f"@{name}@":
                return known
            value = value.replace(f"@{name}@", str(known))
        return value

    def fill_in_bytes(self, data: bytes) -> bytes:
        for name, known in self._known.items():
            data = data.replace(f"@{name}@".encode(), str(known).encode())
        return data
