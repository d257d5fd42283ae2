"""docs/local-cloud.md says what these tests know."""

from pathlib import Path

from tests.conformance.all_pairs import ALL_PAIRS
from tests.conformance.differences import LOCAL_GATEWAY

DOCUMENT = Path(__file__).parents[2] / "docs" / "local-cloud.md"


def test_the_document_names_every_difference() -> None:
    text = DOCUMENT.read_text()
    as_aws = len(ALL_PAIRS) - len(LOCAL_GATEWAY)
    assert f"Of {len(ALL_PAIRS)} pairs the local gateway answers {as_aws} as AWS does" in text
    for says, difference in LOCAL_GATEWAY.items():
        assert f"| {says} | {difference.says} |" in text
