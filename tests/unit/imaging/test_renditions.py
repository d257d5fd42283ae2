"""Renditions on demand: what is asked for, and the pixels that come of it."""

from __future__ import annotations

import pytest
from PIL import Image

from image_api.core.renditions.downloads import filename
from image_api.core.renditions.on_demand import WIDTHS, asked_for, wants_json
from image_api.imaging.headers import formats
from image_api.imaging.model import AVIF, JPEG, PNG, WEBP, Format, Wanted
from image_api.imaging.pixels.requested_renditions import render_wanted
from tests import samples

CHROME = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (CHROME, ("avif", "webp")),
        ("image/webp,image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5",) * 1
        + (("webp", "webp"),),
        ("IMAGE/AVIF", ("avif", "avif")),
        ("image/avif;q=0, image/webp;q=0.0", ("plain", "plain")),
        ("image/avif;q=0.1", ("avif", "avif")),
        ("*/*", ("plain", "plain")),
        ("image/*", ("plain", "plain")),
        ("image/avifx", ("plain", "plain")),
        ("", ("plain", "plain")),
        (None, ("plain", "plain")),
        (";;,,=,image/webp", ("webp", "webp")),
    ],
)
def test_auto_is_the_best_that_a_client_names(
    accept: str | None, expected: tuple[str, str]
) -> None:
    assert asked_for(64, None, "auto", accept).formats == expected


def test_what_is_asked_for_by_name_is_made_whatever_is_accepted() -> None:
    assert asked_for(64, None, "jpeg", CHROME).formats == ("jpeg", "jpeg")


def test_a_width_is_rounded_up_to_a_step() -> None:
    assert [asked_for(width, None, "auto", None).width for width in (1, 64, 65, 3840)] == [
        *(64, 64, 128, 3840)
    ]
    assert {asked_for(width, None, "auto", None).width for width in range(1, 3841)} == set(WIDTHS)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [("application/json", True), ("image/webp, application/json;q=0.5", True), ("*/*", False)],
)
def test_json_is_for_who_names_it(accept: str, expected: bool) -> None:
    assert wants_json(accept) is expected
    assert not wants_json(None)


@pytest.mark.parametrize(
    ("title", "extension", "expected"),
    [
        ("rocket.jpg", "jpg", "rocket.jpg"),
        ("rocket.JPEG", "jpg", "rocket.JPEG"),
        ("rocket.png", "webp", "rocket.webp"),
        ("holiday.2024", "jpg", "holiday.2024.jpg"),
        ("rocket", "png", "rocket.png"),
        (".png", "png", ".png.png"),
        ("a.tif", "tiff", "a.tif"),
    ],
)
def test_a_file_is_saved_as_what_it_is(title: str, extension: str, expected: str) -> None:
    assert filename(title, extension) == expected


@pytest.mark.parametrize("target", [JPEG, PNG, WEBP, AVIF])
@pytest.mark.parametrize("content_type", samples.MAKERS)
def test_every_format_becomes_every_other(content_type: str, target: Format) -> None:
    served = samples.MAKERS[content_type](samples.photo(200, 133))

    made = render_wanted(served, Wanted(128, None, (target,)))

    header = formats.header(made.data)
    assert (header.format, header.upright_size) == (target, (128, 85))
    assert (made.content_type, made.width, made.height) == (target.content_type, 128, 85)
    assert made.animated is False


@pytest.mark.parametrize(
    ("ratio", "size"),
    [
        (None, (64, 43)),
        ((1, 1), (64, 64)),
        ((4, 3), (64, 48)),
        ((3, 4), (64, 85)),
        ((16, 9), (64, 36)),
        ((9, 16), (64, 114)),
    ],
)
def test_a_ratio_is_cut_from_the_middle(
    ratio: tuple[int, int] | None, size: tuple[int, int]
) -> None:
    picture = Image.new("RGB", (300, 200), "red")
    picture.paste("blue", (100, 0, 200, 200))
    served = samples.png(picture)

    made = samples.opened(render_wanted(served, Wanted(64, ratio, (PNG,))).data).convert("RGB")

    assert made.size == size
    middle = made.getpixel((size[0] // 2, size[1] // 2))
    assert isinstance(middle, tuple) and middle[2] > middle[0]
    left, right = made.getpixel((0, 0)), made.getpixel((size[0] - 1, 0))
    assert left == pytest.approx(right, abs=8)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (2, 3)])
@pytest.mark.parametrize("ratio", [None, (16, 9), (9, 16)])
def test_the_smallest_pictures_have_renditions(
    size: tuple[int, int], ratio: tuple[int, int] | None
) -> None:
    made = render_wanted(samples.png(Image.new("RGB", size)), Wanted(3840, ratio, (WEBP,)))

    assert made.width <= size[0]
    assert made.width >= 1 and made.height >= 1


def test_what_is_too_high_for_a_format_is_made_as_high_as_that_can_be() -> None:
    tall = samples.png(Image.new("L", (100, 20_000)))

    made = render_wanted(tall, Wanted(3840, None, (WEBP,)))

    assert (made.width, made.height) == (81, 16_200)
    assert render_wanted(tall, Wanted(3840, None, (PNG,))).height == 20_000


def test_what_is_asked_for_as_it_is_served_is_not_encoded_again() -> None:
    served = formats.clean(samples.jpeg(samples.photo(200, 133)))

    assert render_wanted(served, Wanted(3840, None, (JPEG,))).data == served


def test_transparency_is_kept_where_that_can_be_and_white_elsewhere() -> None:
    picture = Image.new("RGBA", (100, 100), (255, 0, 0, 0))
    served = samples.png(picture)

    plain = render_wanted(served, Wanted(64, None, (JPEG, PNG)))
    assert plain.content_type == "image/png"
    assert samples.opened(plain.data).convert("RGBA").getpixel((5, 5))[3] == 0  # type: ignore[index]
    flat = render_wanted(served, Wanted(64, None, (JPEG,)))
    assert samples.opened(flat.data).convert("RGB").getpixel((5, 5)) == (255, 255, 255)
    opaque = render_wanted(samples.png(), Wanted(64, None, (JPEG, PNG)))
    assert opaque.content_type == "image/jpeg"


@pytest.mark.parametrize("content_type", ["image/gif", "image/webp", "image/png", "image/avif"])
@pytest.mark.parametrize("target", [WEBP, AVIF, PNG])
def test_what_moves_goes_on_moving(content_type: str, target: Format) -> None:
    served = samples.animation(content_type)

    made = render_wanted(served, Wanted(32, (1, 1), (target,)))

    assert formats.header(made.data).frames == len(samples.DURATIONS_MS)
    assert made.animated is True
    assert (made.width, made.height) == (32, 32)
    moving = samples.opened(made.data)
    durations = []
    for index in range(len(samples.DURATIONS_MS)):
        moving.seek(index)
        moving.load()
        durations.append(moving.info["duration"])
    assert durations == pytest.approx(samples.DURATIONS_MS, abs=1)


def test_what_moves_too_much_to_be_encoded_is_a_still(monkeypatch: pytest.MonkeyPatch) -> None:
    served = samples.animation("image/gif")
    monkeypatch.setattr("image_api.imaging.model.MAX_RENDERED_ANIMATION_PIXELS", 1000)

    made = render_wanted(served, Wanted(64, None, (WEBP,)))

    assert formats.header(made.data).frames == 1
    assert made.animated is False


@pytest.mark.parametrize("target", [JPEG, PNG, WEBP, AVIF])
def test_a_rendition_tells_nothing(target: Format) -> None:
    served = samples.jpeg(exif=samples.exif(taken_at="2024:11:02 18:10:16"), xmp=samples.XMP)

    made = render_wanted(served, Wanted(64, None, (target,)))

    for secret in (samples.CAMERA.encode(), b"2024:11:02", b"Exif"):
        assert secret not in made.data
