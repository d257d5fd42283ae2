"""The gallery's page, which is built and kept with the code, is whole."""

from __future__ import annotations

import re

from tests.application import ROOT

PAGE = ROOT / "functions" / "gallery" / "page"


def test_every_file_that_the_page_names_is_kept_and_no_other() -> None:
    kept = {path.name: path.read_text(encoding="utf-8") for path in PAGE.iterdir()}
    named = set(re.findall(r"\b[\w.]+-[0-9A-Z]{8}\.(?:js|css)\b", "".join(kept.values())))
    assert len(named) >= 3
    assert kept.keys() == {"index.html", *named}
