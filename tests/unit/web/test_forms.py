"""Reading multipart/form-data."""

from __future__ import annotations

import contextlib
import time

import pytest
from aws_lambda_powertools.event_handler.openapi.params import UploadFile
from hypothesis import assume, given
from hypothesis import strategies as st
from urllib3 import encode_multipart_formdata

from image_api.web import forms

CONTENT_TYPE = "multipart/form-data; boundary=b"


def form(*parts: tuple[bytes, bytes]) -> bytes:
    """Each part as (parameters of its Content-Disposition, content)."""
    return (
        b"".join(
            b"--b\r\nContent-Disposition: form-data; "
            + parameters
            + b"\r\n\r\n"
            + content
            + b"\r\n"
            for parameters, content in parts
        )
        + b"--b--\r\n"
    )


def file_in(body: bytes, content_type: str = CONTENT_TYPE) -> UploadFile:
    value = forms.parse(body, content_type)["image"]
    assert isinstance(value, UploadFile)
    return value


@given(st.binary(), st.text(st.characters(exclude_categories=["Cs"])))
def test_what_a_client_encodes_comes_out_as_it_was(data: bytes, title: str) -> None:
    body, content_type = encode_multipart_formdata({"image": ("a.jpg", data), "title": title})
    assume(content_type.encode() not in data)

    fields = forms.parse(body, content_type)

    assert fields["title"] == title
    assert file_in(body, content_type).content == data


@pytest.mark.parametrize(
    ("parameters", "filename"),
    [
        (b'name="image"; filename="a.jpg"', "a.jpg"),
        (b'filename="a.jpg"; name="image"', "a.jpg"),
        (b"name=image; filename=a.jpg", "a.jpg"),
        (b'name="image"; filename="a; b.jpg"', "a; b.jpg"),
        (b'name="image"; filename=""', ""),
        (b"name=\"image\"; filename*=UTF-8''%C3%BC.jpg", "\u00fc.jpg"),
        (b'name="image"; filename="=?utf-8?B?w7wuanBn?="', "\u00fc.jpg"),
        (b'name="image"; filename="=?iso-8859-1?Q?=FC.jpg?="', "\u00fc.jpg"),
        (b'name="image"; filename="=?nobody-knows?Q?=FC.jpg?="', "=?nobody-knows?Q?=FC.jpg?="),
        (b'name="image"; filename="=?utf-8?B?w?="', "=?utf-8?B?w?="),
        ('name="image"; filename="\u00fc.jpg"'.encode(), "\u00fc.jpg"),
        (b'name="image"; filename="C:\\Users\\a.jpg"', "C:\\Users\\a.jpg"),
        (b'name="image"; filename="a\\"b.jpg"', 'a"b.jpg'),
        (b'name="image"; filename="a.jpg"; filename="b.jpg"', "a.jpg"),
        (b'name="image"; filename="a.jpg"; filename*=iso-8859-1\'en\'%FC.jpg', "\u00fc.jpg"),
        (b'name="image"; filename="a.jpg"; filename*=x\'en\'%FC.jpg', "a.jpg"),
        (b'name="image";\r\n filename="a.jpg"', "a.jpg"),
        (b'name="image"', ""),
    ],
)
def test_a_file_has_the_name_that_its_client_gave_it(parameters: bytes, filename: str) -> None:
    assert file_in(form((parameters, b"x"))).filename == filename


@pytest.mark.parametrize(
    "content_type",
    [
        'multipart/form-data; boundary="b"',
        "multipart/form-data; charset=utf-8; Boundary=b",
        "multipart/form-data;boundary=b ",
    ],
)
def test_the_boundary_is_found_however_it_is_written(content_type: str) -> None:
    assert file_in(form((b'name="image"; filename="a"', b"x")), content_type).content == b"x"


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        (b'name="image"; filename="\xfc.jpg"', "image"),
        (b"name=\"image\"; filename*=UTF-8''%FC.jpg", "image"),
        (b"name=\"image\"; filename*=gbk''%FF.jpg", "image"),
        (b'name="\xff"; filename="a.jpg"', None),
    ],
)
def test_a_name_that_nobody_can_read_is_refused_and_never_repaired(
    parameters: bytes, field: str | None
) -> None:
    with pytest.raises(forms.MalformedForm, match="UTF-8") as refused:
        forms.parse(form((parameters, b"x")), CONTENT_TYPE)

    assert refused.value.field == field


def test_a_file_has_its_name_in_the_charset_of_its_form() -> None:
    parts = [(b'name="image"; filename="\xfc.jpg"', b"x"), (b'name="_charset_"', b"iso-8859-1")]

    assert file_in(form(*parts)).filename == "\u00fc.jpg"
    assert file_in(form(*reversed(parts))).filename == "\u00fc.jpg"


def test_a_delimiter_inside_a_line_is_content() -> None:
    assert file_in(form((b'name="image"; filename="a"', b"x--b\r\ny"))).content == b"x--b\r\ny"


def test_preamble_and_epilogue_are_passed_over() -> None:
    body = form((b'name="title"', b"x"))
    preamble = b'Content-Disposition: form-data; name="image"; filename="a"\r\n\r\nx\r\n'
    assert forms.parse(preamble + body + preamble, CONTENT_TYPE) == {"title": "x"}


def test_a_repeated_name_gives_all_its_values() -> None:
    title = b'name="title"'
    assert forms.parse(form((title, b"1"), (title, b"2"), (title, b"3")), CONTENT_TYPE) == {
        "title": ["1", "2", "3"]
    }


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (form((b'name="title"', b"x")), "multipart/form-data"),
        (form((b'name="title"', b"x")), "multipart/form-data; boundary="),
        (form((b'name="title"', b"x")), 'multipart/form-data; boundary="  "'),
        (form((b'name="title"', b"x")), "multipart/form-data; boundary=other"),
        (form((b'name="title"', b"x")), "multipart/form-data; boundary=\ud800"),
        (form((b'name="title"', b"x")).removesuffix(b"--b--\r\n"), CONTENT_TYPE),
        (form((b'name="title"', b"\xff")), CONTENT_TYPE),
        (b"--b\r\nContent-Disposition: form-data\r\n--b--", CONTENT_TYPE),
        (b"--bc\r\n\r\nx\r\n--b--", CONTENT_TYPE),
        (form((b'name="title"; x="' + b"y" * forms.MAX_PART_HEADERS_BYTES, b"x")), CONTENT_TYPE),
        (form(*[(b'name="title"', b"x")] * (forms.MAX_PARTS + 1)), CONTENT_TYPE),
        (b"", CONTENT_TYPE),
        (form((b'name="title"', b"x")).replace(b"\r\n", b"\n"), CONTENT_TYPE),
        (form((b'filename="a"', b"x")), CONTENT_TYPE),
    ],
)
def test_a_broken_form_is_refused(body: bytes, content_type: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        forms.parse(body, content_type)


COSTLY = {
    "semicolons in a name": b'name="' + b";" * 16_000 + b'"',
    "parameters": b'name="x"' + b";a=b" * 4_000,
    "quotes": b"name=x" + b';a="' * 4_000,
    "escapes": b'name="' + b"\\" * 16_000,
    "open quotes": b"name=x" + b';"a' * 5_000,
    "spaces": b"name=x;" + b" " * 16_000,
    "folded lines": b"name=x\r\nX: a" + b"\r\n a" * 4_000,
    "headers": b"name=x" + b"\r\na:b" * 3_000,
    "an extended name": b"filename*=utf-8''" + b"%41" * 5_000 + b"; name=x",
    "no name": b";" * 16_000,
}


@pytest.mark.parametrize("what", COSTLY)
def test_the_headers_of_a_part_cost_the_time_of_their_bytes(what: str) -> None:
    body = form(*[(COSTLY[what], b"x")] * 99)
    assert len(body) > 500_000

    started = time.process_time()
    with contextlib.suppress(ValueError):
        forms.parse(body, CONTENT_TYPE)

    # Some 20 ms; in quadratic time it would be 20 s.
    assert time.process_time() - started < 2


def test_as_many_parts_as_allowed_are_read() -> None:
    body = form(*[(b'name="title"', b"x")] * forms.MAX_PARTS)
    assert forms.parse(body, CONTENT_TYPE) == {"title": ["x"] * forms.MAX_PARTS}


@given(st.binary(max_size=200), st.sampled_from([b"", b"--b\r\n", b"--b\r\n\r\n"]))
def test_nothing_but_a_value_error_comes_out_of_any_bytes(data: bytes, start: bytes) -> None:
    try:
        fields = forms.parse(start + data + b"\r\n--b--", CONTENT_TYPE)
    except ValueError:
        return
    assert isinstance(fields, dict)
