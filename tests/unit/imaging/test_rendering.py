"""The image, its preview and its thumbnail: sizes, orientation, colours, motion."""

from __future__ import annotations

import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Literal, cast

import pytest
from PIL import Image, ImageChops, ImageStat, TiffImagePlugin

from image_api.imaging import Fit, Rendition
from image_api.imaging.headers.formats import identify
from image_api.imaging.headers.icc import clean_profile
from image_api.imaging.pixels.rendering import render
from tests import heif_files, samples

SERVED_AS = {
    "image/jpeg": "image/jpeg",
    "image/png": "image/png",
    "image/gif": "image/gif",
    "image/webp": "image/webp",
    "image/avif": "image/avif",
    "image/heic": "image/jpeg",
    "image/tiff": "image/jpeg",
    "image/bmp": "image/jpeg",
}


def assert_true_of_its_bytes(rendition: Rendition) -> None:
    header = identify(rendition.data)
    assert header.content_type == rendition.content_type
    assert header.extension == rendition.extension
    assert (header.width, header.height) == (rendition.width, rendition.height)
    assert samples.opened(rendition.data).size == (rendition.width, rendition.height)


def colour_at(data: bytes, x: float, y: float) -> tuple[int, ...]:
    """The colour at a place given as parts of the width and the height."""
    image = samples.opened(data).convert("RGBA")
    place = (int(x * image.width), int(y * image.height))
    return cast("tuple[int, ...]", image.getpixel(place))


def assert_close(actual: tuple[int, ...], expected: tuple[int, ...], tolerance: int = 24) -> None:
    pairs = zip(actual, expected, strict=False)
    assert all(abs(a - b) <= tolerance for a, b in pairs), (actual, expected)


def assert_quarters(data: bytes) -> None:
    for name, colour in samples.QUARTERS.items():
        x, y = 0.75 if "right" in name else 0.25, 0.75 if "bottom" in name else 0.25
        assert_close(colour_at(data, x, y), colour)


def difference(left: Image.Image, right: Image.Image) -> float:
    """The mean difference of all samples, of 255."""
    return max(ImageStat.Stat(ImageChops.difference(left, right)).mean)


@pytest.mark.parametrize("content_type", samples.MAKERS)
def test_every_format_gives_an_image_a_preview_and_a_thumbnail(content_type: str) -> None:
    original = samples.MAKERS[content_type](samples.photo(2000, 1000))

    image, preview, thumbnail = render(original)

    assert [r.name for r in (image, preview, thumbnail)] == ["image", "preview", "thumbnail"]
    assert (image.width, image.height) == (2000, 1000)
    assert (preview.width, preview.height) == (1600, 800)
    assert (thumbnail.width, thumbnail.height) == (320, 160)
    assert image.content_type == SERVED_AS[content_type]
    assert preview.content_type == thumbnail.content_type == "image/webp"
    for rendition in (image, preview, thumbnail):
        assert_true_of_its_bytes(rendition)
        assert not rendition.animated
        wanted = samples.photo(2000, 1000).resize((rendition.width, rendition.height))
        tolerance = 8 if content_type == "image/gif" else 5
        assert difference(samples.opened(rendition.data).convert("RGB"), wanted) < tolerance


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("content_type", samples.WITH_EXIF)
@pytest.mark.parametrize("size", [None, (60, 40)])
def test_every_orientation_comes_out_upright(
    content_type: str, orientation: int, size: tuple[int, int] | None
) -> None:
    stored = samples.stored_for(samples.quarters(96, 64), orientation)
    original = samples.MAKERS[content_type](stored, exif=samples.exif(orientation))

    for rendition in render(original, size=size):
        assert (rendition.width, rendition.height) == (size or (96, 64))
        assert_true_of_its_bytes(rendition)
        assert_quarters(rendition.data)


def test_turning_a_jpeg_keeps_its_quality_and_about_its_size() -> None:
    picture = samples.photo(640, 427)
    for quality in (60, 95):
        for sampling in (0, 2):
            original = samples.jpeg(
                picture.transpose(Image.Transpose.ROTATE_90),
                quality=quality,
                subsampling=sampling,
                exif=samples.exif(6),
            )

            image = render(original)[0]

            upright = samples.opened(original).transpose(Image.Transpose.ROTATE_270)
            assert difference(samples.opened(image.data), upright) < 1
            assert 0.9 < len(image.data) / len(original) < 1.1


@pytest.mark.parametrize("size", [(50, 50), (30, 90), (200, 10), (1, 1), (500, 400)])
@pytest.mark.parametrize("fit", ["cover", "contain", "stretch"])
@pytest.mark.parametrize("content_type", samples.MAKERS)
def test_the_image_has_exactly_the_size_that_is_asked_for(
    content_type: str, fit: Fit, size: tuple[int, int]
) -> None:
    image, preview, thumbnail = render(samples.MAKERS[content_type](), size=size, fit=fit)

    assert (image.width, image.height) == size
    assert image.content_type == SERVED_AS[content_type]
    assert (preview.width, preview.height) == size
    assert max(thumbnail.width, thumbnail.height) == min(320, max(size))
    for rendition in (image, preview, thumbnail):
        assert_true_of_its_bytes(rendition)


def striped() -> Image.Image:
    """90x30: red, green and blue side by side."""
    image = Image.new("RGB", (90, 30), (220, 30, 30))
    image.paste((30, 200, 40), (30, 0, 60, 30))
    image.paste((30, 40, 210), (60, 0, 90, 30))
    return image


def test_cover_cuts_from_the_centre() -> None:
    image = render(samples.png(striped()), size=(20, 20), fit="cover")[0]

    for x in (0.1, 0.5, 0.9):
        assert_close(colour_at(image.data, x, 0.5), (30, 200, 40))


def test_stretch_keeps_everything_and_distorts() -> None:
    image = render(samples.png(striped()), size=(30, 60), fit="stretch")[0]

    for x, colour in ((0.1, (220, 30, 30)), (0.5, (30, 200, 40)), (0.9, (30, 40, 210))):
        assert_close(colour_at(image.data, x, 0.1), colour)
        assert_close(colour_at(image.data, x, 0.9), colour)


@pytest.mark.parametrize("content_type", ["image/png", "image/webp", "image/gif", "image/avif"])
def test_contain_is_transparent_around_the_picture_where_the_format_can(content_type: str) -> None:
    original = samples.MAKERS[content_type](striped())

    for rendition in render(original, size=(90, 90), fit="contain"):
        assert colour_at(rendition.data, 0.5, 0.1)[3] == 0
        assert colour_at(rendition.data, 0.5, 0.9)[3] == 0
        assert_close(colour_at(rendition.data, 0.1, 0.5), (220, 30, 30, 255), tolerance=40)


@pytest.mark.parametrize("content_type", ["image/jpeg", "image/tiff", "image/bmp", "image/heic"])
def test_contain_is_white_around_the_picture_elsewhere(content_type: str) -> None:
    image = render(samples.MAKERS[content_type](striped()), size=(90, 90), fit="contain")[0]

    assert image.content_type == "image/jpeg"
    assert_close(colour_at(image.data, 0.5, 0.1), (255, 255, 255))
    assert_close(colour_at(image.data, 0.1, 0.5), (220, 30, 30))


def test_a_grey_jpeg_stays_grey_when_it_is_letterboxed() -> None:
    original = samples.jpeg(samples.photo().convert("L"))

    image = render(original, size=(90, 90), fit="contain")[0]

    assert samples.opened(image.data).mode == "L"


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (200, 100), (320, 320)])
def test_nothing_is_enlarged_unless_asked(size: tuple[int, int]) -> None:
    for rendition in render(samples.png(samples.photo(*size))):
        assert (rendition.width, rendition.height) == size


def test_a_very_long_picture_keeps_at_least_one_pixel() -> None:
    _, preview, thumbnail = render(samples.png(Image.new("RGB", (10_000, 2), "red")))

    assert (preview.width, preview.height) == (1600, 1)
    assert (thumbnail.width, thumbnail.height) == (320, 1)


@pytest.mark.parametrize(
    ("make", "width"),
    [(samples.webp, 16_384), (samples.jpeg, 65_501), (samples.gif, 65_536), (samples.avif, 32_769)],
)
def test_what_is_too_long_for_its_format_becomes_a_png(
    make: Callable[..., bytes], width: int
) -> None:
    original = make(samples.photo(100, 10))

    longer, longest = (
        render(original, size=(side, 10), fit="stretch")[0] for side in (width, width - 1)
    )

    assert (longer.content_type, longer.width) == ("image/png", width)
    assert longest.content_type == identify(original).content_type


# --- colours ------------------------------------------------------------------------------------


def test_transparency_is_kept_in_every_rendition() -> None:
    for make in (samples.png, samples.webp, samples.avif):
        for rendition in render(make(samples.translucent(400, 300))):
            assert colour_at(rendition.data, 0.5, 0.02)[3] < 20
            assert colour_at(rendition.data, 0.5, 0.99)[3] > 235


@pytest.mark.parametrize("make", [samples.tiff, samples.heic])
def test_a_transparent_picture_that_browsers_cannot_show_becomes_a_png(
    make: Callable[..., bytes],
) -> None:
    image = render(make(samples.translucent()))[0]

    assert image.content_type == "image/png"
    assert colour_at(image.data, 0.5, 0.02)[3] < 20


def test_an_alpha_channel_that_hides_nothing_is_dropped() -> None:
    image = render(samples.tiff(samples.photo().convert("RGBA")))[0]

    assert image.content_type == "image/jpeg"


def grey(image: Image.Image) -> Image.Image:
    return image.convert("L")


def sixteen_bits(image: Image.Image) -> Image.Image:
    return grey(image).convert("I").point(lambda value: value * 257).convert("I;16")


def thirty_two_bits(image: Image.Image) -> Image.Image:
    return grey(image).convert("I").point(lambda value: value * 257)


def floating(image: Image.Image) -> Image.Image:
    return grey(image).convert("F").point(lambda value: value * (1 / 255) + 0)


GREY_MODES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "L": grey,
    "I;16": sixteen_bits,
    "I": thirty_two_bits,
    "F": floating,
}


@pytest.mark.parametrize("mode", GREY_MODES)
def test_grey_values_of_any_depth_keep_their_brightness(mode: str) -> None:
    picture = GREY_MODES[mode](samples.photo())
    assert picture.mode == mode

    for rendition in render(samples.tiff(picture)):
        shown = samples.opened(rendition.data).convert("L")
        assert difference(shown, samples.photo().convert("L")) < 4


def test_a_sixteen_bit_png_is_served_in_eight_bits() -> None:
    for rendition in render(samples.png(sixteen_bits(samples.photo()))):
        shown = samples.opened(rendition.data)
        assert difference(shown.convert("L"), samples.photo().convert("L")) < 4
        assert shown.mode in ("L", "RGB")


def test_grey_values_beyond_any_scale_are_spread_over_what_there_is() -> None:
    picture = Image.linear_gradient("L").convert("F").point(lambda value: value * 1000 - 5000)

    image = render(samples.tiff(picture))[0]

    assert samples.opened(image.data).getextrema() == (0, 255)


def in_mode(mode: str) -> Image.Image:
    if mode == "P":
        return samples.photo().quantize(200, dither=Image.Dither.NONE)
    return samples.photo().convert(mode)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("size", [None, (48, 32)])
def test_every_mode_of_png_keeps_its_colours(mode: str, size: tuple[int, int] | None) -> None:
    picture = in_mode(mode)

    for rendition in render(samples.png(picture), size=size):
        shown = samples.opened(rendition.data).convert("RGB")
        wanted = picture.convert("RGB").resize(shown.size, Image.Resampling.LANCZOS)
        assert difference(shown, wanted) < 6


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "CMYK", "LAB", "P", "1"])
def test_every_mode_of_tiff_keeps_its_colours(mode: str) -> None:
    from PIL import ImageCms

    if mode == "LAB":
        profiles = (ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"))
        picture = ImageCms.profileToProfile(samples.photo(), *profiles, outputMode="LAB")
        assert picture is not None
    else:
        picture = in_mode(mode)

    image = render(samples.tiff(picture))[0]

    wanted = samples.photo() if mode == "LAB" else picture.convert("RGB")
    assert difference(samples.opened(image.data).convert("RGB"), wanted) < 4


@pytest.mark.parametrize("compression", ["jpeg", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_every_compression_of_tiff_is_decoded(compression: str) -> None:
    image = render(samples.tiff(compression=compression))[0]

    assert difference(samples.opened(image.data), samples.photo()) < 4


@pytest.mark.parametrize("transparency", [0, bytes(range(0, 256, 16))])
def test_a_palette_with_transparency_keeps_it(transparency: int | bytes) -> None:
    picture = samples.photo().quantize(16)
    original = samples.png(picture, transparency=transparency)
    wanted = samples.opened(original).convert("RGBA").getchannel("A")

    for rendition in render(original, size=(96, 64)):
        shown = samples.opened(rendition.data).convert("RGBA").getchannel("A")
        assert difference(shown, wanted) < 2


@pytest.mark.parametrize(
    ("mode", "white"), [("1", 1), ("L", 255), ("I;16", 65_535), ("RGB", (255, 255, 255))]
)
def test_one_colour_that_a_png_declares_transparent_is(mode: str, white: int) -> None:
    picture = Image.new(mode, (40, 20), 0)
    picture.paste(white, (20, 0, 40, 20))
    original = samples.png(picture, transparency=(0, 0, 0) if mode == "RGB" else 0)

    for rendition in render(original, size=(40, 20)):
        assert colour_at(rendition.data, 0.25, 0.5)[3] == 0
        assert_close(colour_at(rendition.data, 0.75, 0.5), (255, 255, 255, 255))


@pytest.mark.parametrize("make", [samples.jpeg, samples.png, samples.webp, samples.tiff])
def test_a_colour_profile_is_applied_to_what_is_made_anew(make: Callable[..., bytes]) -> None:
    red = Image.new("RGB", (64, 64), (200, 40, 40))
    original = make(red, icc_profile=samples.swapped_profile())

    for rendition in render(original, size=(32, 32)):
        assert_close(colour_at(rendition.data, 0.5, 0.5), (40, 200, 40))
        assert "icc_profile" not in samples.opened(rendition.data).info


def test_an_image_kept_as_it_is_keeps_its_profile_and_its_preview_is_converted() -> None:
    original = samples.jpeg(
        Image.new("RGB", (64, 64), (200, 40, 40)),
        icc_profile=clean_profile(samples.swapped_profile()),
    )

    image, preview, thumbnail = render(original)

    assert image.data == original
    assert_close(colour_at(preview.data, 0.5, 0.5), (40, 200, 40))
    assert_close(colour_at(thumbnail.data, 0.5, 0.5), (40, 200, 40))


def test_the_wider_red_of_a_phone_becomes_the_same_red_in_srgb() -> None:
    original = samples.jpeg(
        Image.new("RGB", (64, 64), (180, 60, 60)),
        icc_profile=samples.display_p3_profile(),
        quality=95,
    )

    preview = render(original)[1]

    # As other colour management systems convert it, too.
    assert_close(colour_at(preview.data, 0.5, 0.5), (196, 52, 56), tolerance=6)


def test_a_profile_applies_to_the_colours_beneath_transparency() -> None:
    picture = Image.new("RGBA", (64, 64), (200, 40, 40, 128))

    for rendition in render(
        samples.png(picture, icc_profile=samples.swapped_profile()), size=(9, 9)
    ):
        red, green, _, alpha = colour_at(rendition.data, 0.5, 0.5)
        assert green > 180 > 60 > red
        assert abs(alpha - 128) < 4


def test_a_grey_picture_with_a_profile_for_colours_is_shown_without_it() -> None:
    picture = samples.photo().convert("L")

    preview = render(samples.jpeg(picture, icc_profile=samples.swapped_profile()))[1]

    assert difference(samples.opened(preview.data).convert("L"), picture) < 4


@pytest.mark.parametrize("adobe", [True, False])
def test_a_cmyk_jpeg_becomes_rgb_as_browsers_show_it_with_adobes_marker_or_without(
    adobe: bool,
) -> None:
    original = samples.jpeg(samples.quarters().convert("CMYK"), quality=95)
    if not adobe:
        marker = original.index(b"\xff\xee")
        original = original[:marker] + original[marker + 16 :]

    for size in (None, (48, 32)):
        for rendition in render(original, size=size):
            assert samples.opened(rendition.data).mode == "RGB"
            assert_quarters(rendition.data)


def test_a_cmyk_jpeg_is_shown_as_its_press_would_print_it() -> None:
    cyan = Image.new("CMYK", (64, 64), (255, 0, 0, 0))

    without, with_profile = (
        render(samples.jpeg(cyan, icc_profile=profile))[1]
        for profile in (None, samples.green_ink_profile())
    )

    assert_close(colour_at(without.data, 0.5, 0.5), (0, 255, 255))
    assert_close(colour_at(with_profile.data, 0.5, 0.5), (0, 163, 39))


@pytest.mark.parametrize("big_tiff", [False, True])
def test_a_palette_of_eight_bits_in_a_tiff_is_a_palette_of_eight_bits(big_tiff: bool) -> None:
    picture = samples.quarters().quantize(4)
    original = samples.tiff(picture, big_tiff=big_tiff)
    colours = [value >> 8 for value in opened_tiff(original).tag_v2[320]]
    whole = struct.pack("<768H", *opened_tiff(original).tag_v2[320])

    dark = original.replace(whole, struct.pack("<768H", *colours))

    assert dark != original
    for rendition in render(dark):
        assert_quarters(rendition.data)


def opened_tiff(data: bytes) -> TiffImagePlugin.TiffImageFile:
    return TiffImagePlugin.TiffImageFile(BytesIO(data))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_a_tiff_in_planes_keeps_its_colours(order: Literal["<", ">"], mode: str) -> None:
    picture = samples.quarters(32, 32).convert(mode)
    bands = picture.split()
    tags = {
        **samples.TIFF_TAGS, 256: 32, 257: 32, 258: (8,) * len(bands), 277: len(bands), 278: 32,
        262: 2 if mode == "RGB" else 5, 284: 2,
    }  # fmt: skip
    pixels = b"".join(band.tobytes() for band in bands)

    for rendition in render(samples.tiff_of_tags(tags, pixels, order=order)):
        assert_quarters(rendition.data)


MASKS = {
    "4-4-4": (16, (0xF00, 0xF0, 0xF, 0)),
    "4-4-4-4": (16, (0xF00, 0xF0, 0xF, 0xF000)),
    "5-5-5-1": (16, (0x7C00, 0x3E0, 0x1F, 0x8000)),
    "2-3-1": (16, (0x30, 0xE, 0x1, 0)),
    "10-10-10": (32, (0x3FF00000, 0xFFC00, 0x3FF, 0)),
    "10-10-10-2": (32, (0x3FF, 0xFFC00, 0x3FF00000, 0xC0000000)),
    "11-11-10": (32, (0xFFE00000, 0x1FFC00, 0x3FF, 0)),
    "8-8-8 elsewhere": (32, (0xFF0, 0xFF000, 0xFF00000, 0)),
    "16 of red": (32, (0xFFFF0000, 0xFF00, 0xFF, 0)),
}


@pytest.mark.parametrize("top_down", [False, True])
@pytest.mark.parametrize("kind", MASKS)
def test_a_bmp_with_its_colours_in_any_bits_keeps_them(kind: str, top_down: bool) -> None:
    bits, masks = MASKS[kind]
    # An odd width, so that rows are padded.
    picture = samples.quarters(15, 8).convert("RGBA")
    pixels = [
        sum(
            round(value / 255 * (mask // (mask & -mask))) * (mask & -mask)
            for value, mask in zip(pixel, masks, strict=True)
            if mask
        )
        for pixel in cast(
            "list[tuple[int, ...]]", [picture.getpixel((x, y)) for y in range(8) for x in range(15)]
        )
    ]
    original = samples.bmp_of_bits(pixels, picture.size, bits, masks, top_down=top_down)

    fewest = min(mask.bit_count() for mask in masks[:3])
    for rendition in render(original)[1:]:
        for (x, y), colour in zip(
            ((0.1, 0.1), (0.9, 0.1), (0.1, 0.9), (0.9, 0.9)), samples.QUARTERS.values(), strict=True
        ):
            assert_close(colour_at(rendition.data, x, y), colour, tolerance=128 >> fewest | 2)


def test_a_bmp_whose_transparency_is_empty_is_opaque() -> None:
    for masks in ((0xFF0000, 0xFF00, 0xFF, 0xFF000000), (0xFF00, 0xFF0000, 0xFF, 0xFF000000)):
        original = samples.bmp_of_bits([0x646464] * 16, (4, 4), 32, masks)

        assert render(original)[0].content_type == "image/jpeg"
        assert_close(colour_at(render(original)[1].data, 0.5, 0.5), (100, 100, 100, 255), 2)


# --- motion -------------------------------------------------------------------------------------


@pytest.mark.parametrize("content_type", [*samples.ANIMATED, "image/avif"])
def test_an_animation_stays_as_it_is_and_its_previews_are_stills(content_type: str) -> None:
    original = samples.animation(content_type)
    if content_type == "image/avif":
        # Its encoder notes its name and the time of day.
        original = heif_files.plain_sequence(original)

    image, preview, thumbnail = render(original)

    assert image.data == original
    assert image.animated
    assert not preview.animated
    assert not thumbnail.animated
    for still in (preview, thumbnail):
        assert getattr(Image.open(BytesIO(still.data)), "n_frames", 1) == 1
        assert_close(colour_at(still.data, 0.12, 0.5), samples.FRAME_COLOURS[0], tolerance=40)


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("fit", ["cover", "contain", "stretch"])
@pytest.mark.parametrize("content_type", [*samples.ANIMATED, "image/avif"])
def test_a_resized_animation_keeps_its_frames_and_their_durations(
    content_type: str, fit: Fit, clear: bool
) -> None:
    original = samples.animation(content_type, samples.frames(80, 60, clear=clear))

    image, preview, _ = render(original, size=(160, 100), fit=fit)

    moving = list(samples.moving_frames(image.data))
    assert image.animated
    assert image.content_type == content_type
    assert [round(duration) for _, duration in moving] == list(samples.DURATIONS_MS)
    for index, (frame, _) in enumerate(moving):
        assert frame.size == (160, 100)
        margin = (160 - 133) // 2 if fit == "contain" else 0
        square = margin + (index + 0.5) / 4 * (160 - 2 * margin)
        colour = cast("tuple[int, ...]", frame.getpixel((int(square), 50)))
        assert_close(colour, (*samples.FRAME_COLOURS[index], 255), tolerance=40)
        elsewhere = margin + ((index + 2) % 4 + 0.5) / 4 * (160 - 2 * margin)
        ground = cast("tuple[int, ...]", frame.getpixel((int(elsewhere), 50)))
        if clear:
            assert ground[3] < 20
        else:
            assert_close(ground, (128, 128, 128, 255), tolerance=40)
        if fit == "contain":
            assert cast("tuple[int, ...]", frame.getpixel((2, 50)))[3] == 0
    assert (preview.width, preview.height) == (160, 100)
    assert not preview.animated


@pytest.mark.parametrize("content_type", samples.ANIMATED)
@pytest.mark.parametrize("loop", [0, 1, 5])
def test_a_resized_animation_repeats_as_often(content_type: str, loop: int) -> None:
    image = render(samples.animation(content_type, loop=loop), size=(40, 30))[0]

    assert samples.opened(image.data).info["loop"] == loop


def test_a_gif_that_plays_once_still_plays_once() -> None:
    image = render(samples.animation("image/gif", loop=None), size=(40, 30))[0]

    assert "loop" not in samples.opened(image.data).info


def test_a_turned_animation_is_upright_and_still_moves() -> None:
    pictures = [samples.stored_for(picture, 6) for picture in samples.frames(80, 60)]
    original = samples.animation("image/webp", pictures, exif=samples.exif(6))

    image, preview, _ = render(original)

    assert (image.width, image.height, image.animated) == (80, 60, True)
    assert len(list(samples.moving_frames(image.data))) == 4
    assert_close(colour_at(preview.data, 0.12, 0.5), samples.FRAME_COLOURS[0], tolerance=40)


@pytest.mark.parametrize("content_type", ["image/png", "image/gif"])
@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("size", [None, (20, 20)])
def test_an_animation_with_a_palette_keeps_its_colours(
    content_type: str, clear: bool, size: tuple[int, int] | None
) -> None:
    original = samples.palette_animation(content_type, clear=clear)

    renditions = render(original, size=size)

    moving = [frame for frame, _ in samples.moving_frames(renditions[0].data)]
    assert [frame.getpixel((3, 3)) for frame in moving] == [(255, 128, 0, 255), (0, 0, 255, 255)]
    for frame, rendition in zip(moving, renditions, strict=False):
        corner = (frame.width - 2, frame.height - 2)
        assert cast("tuple[int, ...]", frame.getpixel(corner))[3] == (0 if clear else 255)
        assert colour_at(rendition.data, 0.1, 0.1) == (255, 128, 0, 255)


@pytest.mark.parametrize("side", [1, 9, 64])
def test_a_tiny_picture_is_its_own_thumbnail_to_the_last_pixel(side: int) -> None:
    picture = Image.new("RGB", (side, side), (250, 0, 0))
    picture.putdata([(250, 0, 0) if i % 2 else (0, 250, 0) for i in range(side * side)])

    for rendition in render(samples.png(picture)):
        assert samples.opened(rendition.data).convert("RGB").tobytes() == picture.tobytes()


def test_the_still_that_an_apng_has_for_old_viewers_is_not_a_frame() -> None:
    still = Image.new("RGB", (80, 60), (250, 0, 250))
    first, *others = samples.frames()
    original = samples.png(
        still,
        save_all=True,
        append_images=[first, *others],
        default_image=True,
        duration=list(samples.DURATIONS_MS),
    )

    image, preview, _ = render(original, size=(40, 30))

    moving = [duration for _, duration in samples.moving_frames(image.data)]
    assert [round(duration) for duration in moving] == list(samples.DURATIONS_MS)
    assert_close(colour_at(preview.data, 0.12, 0.5), samples.FRAME_COLOURS[0], tolerance=40)


def test_a_gif_whose_later_frames_reach_beyond_its_screen_is_cut_to_it() -> None:
    original = bytearray(samples.animation("image/gif", samples.frames(80, 60, clear=True)))
    last = original.rindex(b"!\xf9\x04") + 8
    assert original[last : last + 1] == b","
    original[last + 1 : last + 3] = (70).to_bytes(2, "little")

    image = render(bytes(original), size=(40, 30))[0]

    assert [frame.size for frame, _ in samples.moving_frames(image.data)] == [(40, 30)] * 4


def test_a_webp_with_one_frame_is_a_still() -> None:
    animated = samples.animation("image/webp")
    second = animated.index(b"ANMF", animated.index(b"ANMF") + 4)
    body = animated[12:second]
    data = b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WEBP" + body

    image = render(data)[0]

    assert (image.data, image.animated) == (data, False)


def test_the_first_page_of_a_tiff_is_the_picture() -> None:
    original = samples.tiff(
        samples.quarters(), save_all=True, append_images=[Image.new("RGB", (500, 500))]
    )

    image = render(original)[0]

    assert (image.width, image.height) == (96, 64)
    assert_quarters(image.data)


# --- and all of it at once ----------------------------------------------------------------------


def test_threads_render_at_the_same_time_and_get_the_same() -> None:
    originals = [
        samples.MAKERS[content_type](samples.photo(400, 300)) for content_type in samples.MAKERS
    ] * 3
    alone = [render(original) for original in originals]

    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(render, originals))

    assert together == alone


def test_rendering_twice_gives_the_same_bytes() -> None:
    original = samples.heic(exif=samples.exif(6))

    assert render(original, size=(50, 50)) == render(original, size=(50, 50))
