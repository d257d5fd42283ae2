"""The tables of docs/local-cloud.md, from the pairs: `python -m tests.conformance.document`."""

from collections.abc import Iterator
from pathlib import Path

from tests.conformance.differences import IMAGE_API_IN_MINISTACK, LOCAL_GATEWAY, MINISTACK
from tests.conformance.image_api_pairs import IMAGE_API_PAIRS
from tests.conformance.pairs import PAIRS, Pair

DOCUMENT = Path(__file__).parents[2] / "docs" / "local-cloud.md"
_BEGIN = "<!-- Written by tests/conformance/document.py: -->\n"
_END = "<!-- Until here. -->\n"


def tables() -> str:
    """What the pairs say, as Markdown."""
    differing = [pair for pair in PAIRS if pair.says in LOCAL_GATEWAY or pair.says in MINISTACK]
    heading = ("What AWS does", "Local gateway", "MiniStack", "AWS agrees with", "Source")
    lines = [
        f"Of {len(PAIRS)} pairs the local gateway answers {len(PAIRS) - len(LOCAL_GATEWAY)} as AWS "
        f"does, and MiniStack {len(PAIRS) - len(MINISTACK)}. These are the others:",
        "",
        _row(*heading),
        _row(*("---" for _ in heading)),
        *(_difference(pair) for pair in differing),
    ]
    kept = len(IMAGE_API_PAIRS) - len(IMAGE_API_IN_MINISTACK)
    lines += [
        "",
        f"Of the image API's own {len(IMAGE_API_PAIRS)} pairs "
        "(`tests/conformance/image_api_pairs.py`) the local cloud answers all as promised, and the "
        f"API deployed to MiniStack {kept}:",
        "",
        _row("What is promised", "MiniStack"),
        _row("---", "---"),
        *(_row(says, what.says) for says, what in IMAGE_API_IN_MINISTACK.items()),
    ]
    return "\n".join([*lines, ""])


def _difference(pair: Pair) -> str:
    ours, theirs = LOCAL_GATEWAY.get(pair.says), MINISTACK.get(pair.says)
    return _row(
        pair.says,
        ours.says if ours else "the same",
        theirs.says if theirs else "the same",
        ", ".join(_agreeing(pair)) or "neither",
        _source(pair),
    )


def _agreeing(pair: Pair) -> Iterator[str]:
    if pair.says not in LOCAL_GATEWAY:
        yield "the local gateway"
    if pair.says not in MINISTACK:
        yield "MiniStack"


def _source(pair: Pair) -> str:
    if not pair.source:
        return "use alone"
    kind = "recorded" if "github.com" in pair.source else "documented"
    return f"[{kind}]({pair.source})"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def with_tables(text: str) -> str:
    """The document's text with the tables as they are now."""
    before, rest = text.split(_BEGIN)
    _, after = rest.split(_END)
    return f"{before}{_BEGIN}{tables()}{_END}{after}"


if __name__ == "__main__":
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text()))
