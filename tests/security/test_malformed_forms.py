"""Multipart bodies that no browser would send."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import samples
from tests.e2e.api_client import ApiClient
from tests.e2e.running_cloud import RunningCloud

BOUNDARY = b"boundary"
PICTURE = samples.gif()
NAMED = b'Content-Disposition: form-data; name="image"; filename="rocket.gif"\r\n'
REVEALING = ("traceback", "powertools", ".py", "multipart_invalid", "exception")


def part(headers: bytes = NAMED, body: bytes = PICTURE) -> bytes:
    return b"--" + BOUNDARY + b"\r\n" + headers + b"\r\n" + body + b"\r\n"


def field(name: bytes, value: bytes) -> bytes:
    return part(b'Content-Disposition: form-data; name="' + name + b'"\r\n', value)


END = b"--" + BOUNDARY + b"--\r\n"
GOOD = part() + END
MULTIPART = "multipart/form-data; boundary=boundary"

# Each is (content type, body).
REFUSED = {
    "no boundary": ("multipart/form-data", GOOD),
    "an empty boundary": ("multipart/form-data; boundary=", GOOD),
    "another boundary": ("multipart/form-data; boundary=other", GOOD),
    "a boundary of spaces": ('multipart/form-data; boundary="   "', GOOD),
    "a boundary that is no ASCII": ("multipart/form-data; boundary=\u00fcber", GOOD),
    "another content type": ("text/plain; boundary=boundary", GOOD),
    "no content type": (None, GOOD),
    "JSON": ("application/json", b'{"image": "R0lGODlh"}'),
    "mixed": ("multipart/mixed; boundary=boundary", GOOD),
    "nothing": (MULTIPART, b""),
    "only the end": (MULTIPART, END),
    "only NULs": (MULTIPART, bytes(1000)),
    "a part without headers": (MULTIPART, part(b"") + END),
    "a part without a name": (
        MULTIPART,
        part(b'Content-Disposition: form-data; filename="a.gif"\r\n') + END,
    ),
    "a header without a colon": (MULTIPART, part(b"Content-Disposition form-data\r\n") + END),
    "a file of another name": (
        MULTIPART,
        part(NAMED.replace(b'"image"', b'"picture"')) + END,
    ),
    "the file inside another form": (
        MULTIPART,
        part(
            b'Content-Disposition: form-data; name="image"\r\n'
            b"Content-Type: multipart/mixed; boundary=inner\r\n",
            b"--inner\r\n" + NAMED + b"\r\n" + PICTURE + b"\r\n--inner--",
        )
        + END,
    ),
    "the file in base64": (
        MULTIPART,
        part(NAMED + b"Content-Transfer-Encoding: base64\r\n", b"R0lGODlhAQABAAAAACw=") + END,
    ),
    "a field instead of a file": (MULTIPART, field(b"image", b"rocket.gif") + END),
    "a name that is no UTF-8": (
        MULTIPART,
        part(NAMED.replace(b'name="image"', b'name="\xff\xfe"')) + END,
    ),
    "a file name that is no UTF-8": (MULTIPART, part(NAMED.replace(b"rocket", b"\xff\xfe")) + END),
    "a title that is no UTF-8": (MULTIPART, field(b"title", b"\xff\xfe\xed\xa0\x80") + END),
    "a title with a NUL": (MULTIPART, field(b"title", b"a\0b") + GOOD),
    "an unknown visibility": (MULTIPART, field(b"visibility", b"everybody") + GOOD),
    "an unknown field": (MULTIPART, field(b"colour", b"blue") + GOOD),
    "two files": (MULTIPART, part() + GOOD),
    "a name of 16,000 semicolons, 99 times": (
        MULTIPART,
        part(b'Content-Disposition: form-data; name="' + b";" * 16_000 + b'"\r\n', b"") * 99 + GOOD,
    ),
    "no final boundary": (MULTIPART, part()),
    "a hundred and one fields": (MULTIPART, field(b"title", b"x") * 100 + GOOD),
    "a header of 1 MB": (MULTIPART, part(NAMED + b"X-Long: " + b"x" * 1_000_000 + b"\r\n") + END),
    "ten thousand fields and no file": (MULTIPART, field(b"title", b"x") * 10_000 + END),
    "a megabyte of title": (MULTIPART, field(b"title", b"x" * 1_000_000) + GOOD),
}

HARMLESS = {
    "filename before name": (
        MULTIPART,
        part(b'Content-Disposition: form-data; filename="rocket.gif"; name="image"\r\n') + END,
    ),
    "a preamble and an epilogue": (MULTIPART, b"preamble\r\n" + GOOD + b"epilogue"),
    "a quoted boundary": ('multipart/form-data; boundary="boundary"', GOOD),
    "a header of 4 KB": (MULTIPART, part(NAMED + b"X-Long: " + b"x" * 4096 + b"\r\n") + END),
    "headers in capitals": (MULTIPART, part(NAMED.replace(b"Content", b"CONTENT")) + END),
    "a file name that is a path": (
        MULTIPART,
        part(NAMED.replace(b"rocket.gif", rb"..\\..\\etc/passwd")) + END,
    ),
    "a file name with a NUL": (MULTIPART, part(NAMED.replace(b"rocket", b"roc\0ket")) + END),
    "a lying type": (MULTIPART, part(NAMED + b"Content-Type: text/html\r\n") + END),
}


def send(client: ApiClient, content_type: str | None, body: bytes) -> requests.Response:
    headers = {} if content_type is None else {"Content-Type": content_type}
    return client.request("POST", "/image/upload_image", data=body, headers=headers)


def assert_refused_in_words(answer: requests.Response) -> None:
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["detail"]
    assert not [word for word in REVEALING if word in answer.text.lower()], answer.text


@pytest.mark.parametrize("what", sorted(REFUSED))
def test_a_form_without_a_readable_file_is_refused_in_words(ada: ApiClient, what: str) -> None:
    assert_refused_in_words(send(ada, *REFUSED[what]))


@pytest.mark.parametrize("what", sorted(HARMLESS))
def test_an_unusual_form_with_a_good_file_ends_as_an_image(ada: ApiClient, what: str) -> None:
    answer = send(ada, *HARMLESS[what])

    assert answer.status_code == 200, answer.text
    title = ada.settled(answer.json()["id"])["title"]
    assert "/" not in title and "\\" not in title and "\0" not in title


def test_a_form_that_is_cut_off_anywhere_is_refused_in_words(ada: ApiClient) -> None:
    body = field(b"title", b"cut") + GOOD
    for length in (*range(0, 160, 7), *range(len(body) - 60, len(body) - len(END) + 4, 3)):
        assert_refused_in_words(send(ada, MULTIPART, body[:length]))


def test_a_form_with_two_of_each_field_never_breaks_the_api(ada: ApiClient) -> None:
    twice = field(b"title", b"one") + field(b"title", b"two")
    for body in (twice + GOOD, part() + GOOD, twice + part() + GOOD):
        answer = send(ada, MULTIPART, body)
        if answer.status_code == 200:
            ada.settled(answer.json()["id"])
        else:
            assert_refused_in_words(answer)


@pytest.fixture(scope="module")
def client(cloud: RunningCloud) -> Iterator[ApiClient]:
    """One for all examples of a property."""
    with ApiClient(cloud.api_url) as made:
        yield made.sign_up()


_pieces = st.lists(
    st.one_of(
        st.sampled_from(
            [
                *(b"--boundary", b"--boundary--", b"\r\n", b"\n", b"\r\n\r\n", b": ", b";", b'"'),
                *(
                    NAMED,
                    PICTURE,
                    PICTURE[:40],
                    b"\0",
                    b"\xff",
                    b"--",
                    b"=",
                    b"filename*=UTF-8''%ff",
                ),
                *(b"Content-Type: multipart/mixed; boundary=boundary\r\n", b'name="title"'),
            ]
        ),
        st.binary(max_size=20),
    ),
    max_size=12,
).map(b"".join)


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(body=_pieces)
def test_any_order_of_a_forms_pieces_is_an_image_or_refused_in_words(
    client: ApiClient, body: bytes
) -> None:
    answer = send(client, MULTIPART, body)

    if answer.status_code != 200:
        assert_refused_in_words(answer)
