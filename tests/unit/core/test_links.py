"""Links to renditions: whose they are, how long they are good, and what ends them."""

from __future__ import annotations

import base64

import pytest

from image_api.core.renditions.links import (
    TTL_SECONDS,
    ImageLinks,
    LinkFacts,
    LinkSigner,
    LinkToken,
)
from image_api.errors import Unauthenticated
from tests.fakes import FakeUrlSigner

SECRET, OTHER = "a secret of more than thirty-two bytes", "another secret of enough bytes, too"
START = 1_760_000_400 // 900 * 900


def signer_at(seconds: float, secret: str = SECRET, previous: str | None = None) -> LinkSigner:
    return LinkSigner(secret, previous, now_seconds=lambda: seconds)


def test_a_link_says_which_generation_it_is_of() -> None:
    token = signer_at(START).token(7, LinkFacts(3, None))

    assert signer_at(START).verify(7, token) == LinkToken(generation=3)


def test_a_link_is_the_same_for_a_quarter_of_an_hour_and_good_for_three_quarters() -> None:
    first = signer_at(START).token(7, LinkFacts(0, None))
    assert signer_at(START + 899.9).token(7, LinkFacts(0, None)) == first
    assert signer_at(START + 900).token(7, LinkFacts(0, None)) != first


def test_what_is_remembered_of_links_is_forgotten_when_it_is_time() -> None:
    now_seconds = START
    signer = LinkSigner(SECRET, None, lambda: now_seconds)
    first = signer.token(7, LinkFacts(0, None))
    assert signer.token(7, LinkFacts(1, None)) != first
    assert signer.token(8, LinkFacts(0, None)) != first
    assert signer.token(7, LinkFacts(0, None)) == first
    now_seconds = START + 900
    assert signer.token(7, LinkFacts(0, None)) != first

    assert signer_at(START + TTL_SECONDS - 1).verify(7, first)
    with pytest.raises(Unauthenticated):
        signer_at(START + TTL_SECONDS).verify(7, first)


def test_a_public_link_is_the_rows_secret_for_ever() -> None:
    secret = "0f" * 16
    assert signer_at(START).token(7, LinkFacts(3, secret)) == secret

    assert signer_at(2 * START, OTHER).verify(7, secret) == LinkToken(public_secret=secret)


def test_a_rotated_secret_ends_no_link() -> None:
    token = signer_at(START, OTHER).token(7, LinkFacts(0, None))

    assert signer_at(START, SECRET, OTHER).verify(7, token)
    with pytest.raises(Unauthenticated):
        signer_at(START, SECRET).verify(7, token)


def test_a_link_is_for_one_image_as_it_was_made() -> None:
    signer = signer_at(START)
    token = signer.token(7, LinkFacts(0, None))
    decoded = base64.urlsafe_b64decode(token)

    for image_id in (6, 8, 77):
        with pytest.raises(Unauthenticated):
            signer.verify(image_id, token)
    for place in range(len(decoded)):
        changed = bytearray(decoded)
        changed[place] ^= 1
        with pytest.raises(Unauthenticated):
            signer.verify(7, base64.urlsafe_b64encode(bytes(changed)).decode())


@pytest.mark.parametrize("token", ["", "x", "é", "A" * 31, "0F" * 16, "=" * 32, "A" * 100, "\0"])
def test_what_is_no_link_is_refused(token: str) -> None:
    with pytest.raises(Unauthenticated):
        signer_at(START).verify(7, token)


def test_a_link_is_below_the_address_that_the_client_knows() -> None:
    links = ImageLinks(FakeUrlSigner(), signer_at(START), "https://api.example.com/v1")

    assert links.rendition(7, LinkFacts(0, "0f" * 16)) == (
        f"https://api.example.com/v1/image/7/rendition?token={'0f' * 16}"
    )
    assert links.signed("a") == FakeUrlSigner().signed("a")
