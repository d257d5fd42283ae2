"""Requests that few clients send, and answers that few get."""

from __future__ import annotations

import json
from typing import Annotated, Any

import pytest
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, File, UploadFile
from pydantic import BaseModel, ConfigDict

from image_api import wiring
from image_api.core.accounts.tokens import TokenSigner
from image_api.core.library.listing import FoundPage, ListQuery
from image_api.web import forms, http
from tests.application import ENVIRONMENT, FUNCTIONS, Handler, LambdaContext, load_function
from tests.fakes import FakeImageRecords
from tests.proxy_events import body_of, header_of, proxy_event, upload_event

CONTEXT: Any = LambdaContext()
TOKEN = TokenSigner(ENVIRONMENT["JWT_SECRET"], None, 24 * 3600).issue(7)


class Named(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str


@pytest.fixture
def echo() -> Handler:
    """Answers with the name that it was sent, or with the size of the file."""
    app = http.resolver()

    @app.post("/thing")
    def thing(named: Annotated[Named, Body()]) -> Response[Any]:
        return http.json_response({"name": named.name})

    @app.post("/image/upload_image")
    def upload(image: Annotated[UploadFile, File()]) -> Response[Any]:
        return http.json_response({"size": len(image.content)})

    return http.lambda_handler(app)


def cut_off(event: dict[str, Any]) -> dict[str, Any]:
    """Its base64 ends after the first character of four, which are not even a byte."""
    whole_bytes = event["body"].rstrip("=")
    return {**event, "body": whole_bytes[: len(whole_bytes) // 4 * 4 - 3]}


def problem_of(response: dict[str, Any]) -> tuple[int, list[dict[str, str]]]:
    return response["statusCode"], body_of(response)["errors"]


def test_a_body_whose_base64_is_cut_off_is_refused(echo: Handler) -> None:
    event = proxy_event(
        "POST", "/thing", binary=b'{"name": "abcd"}', content_type="application/json"
    )
    assert body_of(echo(dict(event), CONTEXT)) == {"name": "abcd"}

    answer = echo(cut_off(event), CONTEXT)

    assert problem_of(answer) == (400, [{"field": "body", "message": "The body cannot be read"}])


def test_a_form_whose_base64_is_cut_off_is_refused(echo: Handler) -> None:
    event = upload_event(b"bytes", token=None)
    assert body_of(echo(dict(event), CONTEXT)) == {"size": 5}

    answer = echo(cut_off(event), CONTEXT)

    assert problem_of(answer) == (400, [{"field": "body", "message": "The form cannot be read"}])


@pytest.mark.parametrize("preamble", [b"", b"preamble\r\n", b"\n"])
def test_a_form_whose_lines_end_in_lf_is_told_so(preamble: bytes) -> None:
    lines = (b"--b", b'Content-Disposition: form-data; name="title"', b"", b"photo", b"--b--", b"")
    content_type = "multipart/form-data; boundary=b"
    assert forms.parse(b"\r\n".join(lines), content_type) == {"title": "photo"}

    with pytest.raises(forms.MalformedForm, match=r"^The lines of the form end in LF"):
        forms.parse(preamble + b"\n".join(lines), content_type)


def test_the_documents_page_hands_out_the_document_itself() -> None:
    handler = load_function("docs").lambda_handler

    page = handler(proxy_event("GET", "/docs", query={"format": "json"}), CONTEXT)

    assert (header_of(page, "Content-Type") or "").startswith("application/json")
    assert body_of(page) == body_of(handler(proxy_event("GET", "/openapi.json"), CONTEXT))
    document = json.loads((FUNCTIONS / "docs" / "openapi.json").read_bytes())
    assert body_of(page)["paths"] == document["paths"]


@pytest.mark.parametrize(("is_exact", "relation"), [(True, None), (False, "at-least")])
def test_a_total_says_whether_counting_stopped(
    monkeypatch: pytest.MonkeyPatch, is_exact: bool, relation: str | None
) -> None:
    class Many(FakeImageRecords):
        def page(self, user_id: int, query: ListQuery) -> FoundPage:
            return FoundPage([], 10_000, is_total_exact=is_exact, next_after=None)

    monkeypatch.setattr(wiring, "image_records", lambda: Many(users={7}))
    handler = load_function("list").lambda_handler

    answer = handler(proxy_event("GET", "/image/get_all_images", token=TOKEN), CONTEXT)

    assert (answer["statusCode"], header_of(answer, "X-Total-Count")) == (200, "10000")
    assert header_of(answer, "X-Total-Count-Relation") == relation
