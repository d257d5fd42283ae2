"""What the documents link to is there, and the decisions are complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DECISIONS = ROOT / "docs" / "decisions"
DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob(".github/*.md"))
)


def anchors(document: Path) -> set[str]:
    """Those that GitHub gives to the headings."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_somewhere(name: str) -> None:
    document = ROOT / name
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_runbook_fits_beside_a_terminal() -> None:
    text = (ROOT / "docs" / "aws.md").read_text(encoding="utf-8")
    prose = [line for line in text.splitlines() if not line.startswith("|")]
    assert [line for line in prose if len(line) > 100] == []


def test_the_decisions_are_numbered_without_a_gap_and_all_in_the_index() -> None:
    files = sorted(path.name for path in DECISIONS.glob("[0-9]*.md"))
    index = (DECISIONS / "README.md").read_text(encoding="utf-8")

    numbers = [name[:4] for name in files]
    assert numbers == [f"{number:04}" for number in range(1, len(files) + 1)]
    assert re.findall(r"^\| \[(\d+)\]", index, re.MULTILINE) == numbers
    for name in files:
        lines = (DECISIONS / name).read_text(encoding="utf-8").splitlines()
        title = lines[0].removeprefix(f"# {name[:4]}. ")
        status = lines[2].removeprefix("- Status: ")
        (row,) = [row for row in index.splitlines() if row.startswith(f"| [{name[:4]}](")]
        assert row.startswith(f"| [{name[:4]}]({name}) | {title} |")
        assert row.endswith(f"| {status} |")
        assert [line for line in lines if line.startswith("## ")] == [
            "## Context",
            "## Decision",
            "## Cost",
        ]


def test_each_decision_is_about_one_of_the_subjects_that_are_named_above_them() -> None:
    index = (DECISIONS / "README.md").read_text(encoding="utf-8")
    (named,) = re.findall(r"one of these subjects: (.+?)\.", index, re.DOTALL)
    subjects = {subject.removeprefix("and ") for subject in " ".join(named.split()).split(", ")}
    abouts = [row.split(" | ")[2] for row in index.splitlines() if row.startswith("| [")]
    assert abouts
    assert {about.partition(":")[0] for about in abouts} == subjects


def test_a_decision_and_the_one_that_replaces_it_name_each_other() -> None:
    texts = {path.name[:4]: path.read_text(encoding="utf-8") for path in DECISIONS.glob("0*.md")}
    for number, text in texts.items():
        for verb, reply in (("uperseded by", "supersedes"), ("amended by", "amends")):
            for other in re.findall(rf"{verb} \[(\d+)\]", text):
                assert f"{reply} [{number}]" in texts[other], number
            for other in re.findall(rf"{reply} \[(\d+)\]", text):
                assert f"{verb} [{number}]" in texts[other], number
