"""What is refused to whoever opens a link in a browser."""

from __future__ import annotations

import json

import pytest

from image_api.web import problem_pages

_CHROMIUM_OPENS_A_PAGE = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
)


@pytest.mark.parametrize(
    ("accept", "is_preferred"),
    [
        (_CHROMIUM_OPENS_A_PAGE, True),
        (" Text/HTML", True),
        ("image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", False),
        ("application/json, text/html", False),
        ("*/*", False),
        ("", False),
        (None, False),
    ],
)
def test_a_page_is_for_whoever_names_it_first(accept: str | None, *, is_preferred: bool) -> None:
    assert problem_pages.is_preferred(accept) is is_preferred


def test_a_page_says_what_the_answer_says_and_nothing_in_it_is_markup() -> None:
    answer = {
        "statusCode": 404,
        "body": json.dumps({"detail": "There is no <image>", "code": "image_not_found"}),
        "multiValueHeaders": {"Content-Type": ["application/json"], "Vary": ["Accept"]},
    }
    page = problem_pages.of_problem(answer)
    assert page["statusCode"] == 404
    assert "<h1>There is no &lt;image&gt;</h1>" in page["body"]
    assert page["multiValueHeaders"] == {
        "Content-Type": ["text/html; charset=utf-8"],
        "Vary": ["Accept"],
    }
