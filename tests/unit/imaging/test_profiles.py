"""Colour profiles: what is taken out of them, and that their colours stay."""

from __future__ import annotations

import random
from io import BytesIO

import pytest
from PIL import Image, ImageChops, ImageCms

from image_api.imaging.headers.icc import clean_profile, is_srgb
from tests import samples

PROFILES = {
    "sRGB": samples.srgb_profile(),
    "swapped": samples.swapped_profile(),
    "Display P3": samples.display_p3_profile(),
    "green ink": samples.green_ink_profile(),
}
TELLING = (b"mmod", b"calt", b"dmnd", b"dmdd", b"vcgt", b"targ", b"meta", b"prvt", b"DevD")


def ramp(space: str) -> Image.Image:
    """Many colours of a space, each sample from end to end."""
    bands = {"RGB": 3, "CMYK": 4, "GRAY": 1}[space]
    gradients = [
        Image.frombytes("L", (64, 64), bytes((i * step >> band) % 256 for i in range(4096)))
        for band, step in enumerate((7, 13, 29, 53)[:bands])
    ]
    return gradients[0] if bands == 1 else Image.merge(space, gradients)


def converted(profile: bytes, intent: int) -> Image.Image:
    source = ImageCms.ImageCmsProfile(BytesIO(profile))
    image = ImageCms.profileToProfile(
        ramp(source.profile.xcolor_space.strip()),
        source,
        ImageCms.createProfile("sRGB"),
        outputMode="RGB",
        renderingIntent=ImageCms.Intent(intent),
    )
    assert image is not None
    return image


@pytest.mark.parametrize("name", PROFILES)
def test_a_cleaned_profile_gives_the_same_colours(name: str) -> None:
    profile = PROFILES[name]
    for tag in TELLING:
        profile = samples.with_profile_tag(profile, tag, b"secret")

    cleaned = clean_profile(profile)

    for intent in range(4):
        before, after = converted(PROFILES[name], intent), converted(cleaned, intent)
        assert ImageChops.difference(before, after).getbbox() is None
    assert not [tag for tag in (*TELLING, b"secret") if tag in cleaned]


@pytest.mark.parametrize("name", PROFILES)
def test_maker_model_time_creator_and_words_go_and_cleaning_again_changes_nothing(
    name: str,
) -> None:
    profile = bytearray(PROFILES[name])
    for start, size in ((4, 4), (40, 4), (48, 16), (80, 48)):
        profile[start : start + size] = b"secret" * 8 if size == 48 else b"secretsecretsecr"[:size]
    profile[24:36] = bytes((7, 230, 0, 5, 0, 6, 0, 7, 0, 8, 0, 9))

    cleaned = clean_profile(bytes(profile))

    assert cleaned == clean_profile(PROFILES[name]) == clean_profile(cleaned)
    assert not any(cleaned[24:36])
    assert b"secr" not in cleaned
    words = ImageCms.ImageCmsProfile(BytesIO(cleaned)).profile
    assert words.profile_description in ("sRGB", "Colour profile")
    assert words.copyright == "None"


def test_what_is_hidden_behind_the_numbers_of_a_tag_goes() -> None:
    profile = bytearray(samples.display_p3_profile())
    entry = profile.index(b"wtpt")
    length = int.from_bytes(profile[entry + 8 : entry + 12], "big")
    start = int.from_bytes(profile[entry + 4 : entry + 8], "big")
    hidden = bytes(profile[start : start + length]) + b"secret"
    profile[entry + 4 : entry + 12] = len(profile).to_bytes(4, "big") + len(hidden).to_bytes(
        4, "big"
    )
    longer = bytes(profile) + hidden
    longer = len(longer).to_bytes(4, "big") + longer[4:]

    assert clean_profile(longer) == clean_profile(samples.display_p3_profile())


def test_only_a_profile_with_the_numbers_of_srgb_is_srgb() -> None:
    assert [name for name, profile in PROFILES.items() if is_srgb(profile)] == ["sRGB"]
    assert is_srgb(clean_profile(samples.srgb_profile()))


@pytest.mark.parametrize(
    "profile", [b"", b"no profile at all", bytes(5_000), samples.srgb_profile()[:140]]
)
def test_what_is_no_profile_is_left_out(profile: bytes) -> None:
    assert clean_profile(profile) == b""


def test_any_bytes_are_cleaned_or_left_out_and_never_grow_much() -> None:
    chance = random.Random(1)
    for profile in PROFILES.values():
        for _ in range(300):
            changed = bytearray(profile)
            for _ in range(chance.choice((1, 3, 9))):
                changed[chance.randrange(len(changed))] = chance.randrange(256)
            cleaned = clean_profile(bytes(changed))
            assert len(cleaned) < len(profile) + 1_000
            assert clean_profile(cleaned) == cleaned
