"""docs/local-cloud.md says what these tests know."""

from tests.conformance.document import DOCUMENT, with_tables


def test_the_documents_tables_are_those_of_the_pairs() -> None:
    text = DOCUMENT.read_text()
    assert with_tables(text) == text, "write them anew: python -m tests.conformance.document"
