"""Conditional requests, as RFC 9110 has them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from image_api.errors import InvalidRequest
from image_api.web import conditional


@pytest.mark.parametrize(
    ("if_match", "versions"),
    [
        (None, None),
        ("*", None),
        (" * ", None),
        ('"3"', [3]),
        ('"3", "4"', [3, 4]),
        (',"3",, "4" ,', [3, 4]),
        ('"3-0123456789abcdef"', [3]),
        # Never by what is weak, nor by what no version can be.
        ('W/"3"', []),
        ('W/"3", "4"', [4]),
        ('""', []),
        ('"03"', []),
        ('"three"', []),
        ('"3-"', []),
        ('"9999999999"', []),
        ("", []),
    ],
)
def test_if_match_names_the_versions_that_an_image_may_be_at(
    if_match: str | None, versions: list[int] | None
) -> None:
    assert conditional.versions_of(if_match) == versions


@pytest.mark.parametrize("if_match", ["3", '"3', '"3" "4"', 'w/"3"', '*, "3"', '"a b"', '"\u0663"'])
def test_what_is_no_list_of_etags_is_refused(if_match: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        conditional.versions_of(if_match)
    assert refused.value.field == "If-Match"


def test_reading_a_long_list_takes_the_time_of_its_length() -> None:
    with pytest.raises(InvalidRequest):
        conditional.versions_of('"1",' * 10_000 + "x")


def answered(body: Any, if_none_match: str | None = None, **options: Any) -> Any:
    return conditional.answer(body, if_none_match=if_none_match, **options)


def test_an_answer_has_an_etag_of_all_that_it_shows() -> None:
    tags = {
        answered(body, headers=headers, version=version).headers["ETag"]
        for body in ({"a": 1}, {"a": 2})
        for headers in (None, {"Link": "next"})
        for version in (None, 1, 2)
    }
    assert len(tags) == 12
    first, again = answered({"a": 1}, version=7), answered({"a": 1}, version=7)
    assert first.headers["ETag"] == again.headers["ETag"]
    assert conditional.versions_of(first.headers["ETag"]) == [7]
    assert orjson.loads(first.body) == {"a": 1}


@pytest.mark.parametrize(
    ("known", "status"),
    [
        (None, 200),
        ("", 200),
        ('"other"', 200),
        ("{tag}", 304),
        ("W/{tag}", 304),
        ('"other", {tag}', 304),
        ("*", 304),
        ('W/"{tag}"', 400),
    ],
)
def test_whoever_has_the_answer_already_is_not_sent_it_again(
    known: str | None, status: int
) -> None:
    tag = answered([1]).headers["ETag"]
    sent = None if known is None else known.replace("{tag}", tag)
    if status == 400:
        with pytest.raises(InvalidRequest):
            answered([1], sent)
        return
    answer = answered([1], sent)
    assert answer.status_code == status
    if status == 304:
        assert answer.body is None
        assert answer.headers.items() < answered([1]).headers.items()
        assert "Content-Type" not in answer.headers
