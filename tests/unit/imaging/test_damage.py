"""Bytes that cannot be shown are refused in words, whatever is wrong with them."""

from __future__ import annotations

import random
import zlib

import pytest
from PIL import Image, ImageChops, ImageStat

from image_api.errors import DamagedImage, InvalidImage, TooManyPixels
from image_api.imaging.headers.formats import identify
from image_api.imaging.pixels.rendering import render
from tests import samples

VARIANTS = {
    "jpeg": samples.jpeg(samples.photo(67, 45), exif=samples.exif(6)),
    "jpeg with profile": samples.jpeg(
        samples.photo(67, 45), icc_profile=samples.display_p3_profile()
    ),
    "progressive jpeg": samples.jpeg(samples.photo(67, 45), progressive=True),
    "cmyk jpeg": samples.jpeg(samples.photo(67, 45).convert("CMYK")),
    "png": samples.png(samples.translucent(67, 45), exif=samples.exif()),
    "palette png": samples.png(samples.photo(67, 45).quantize(16), transparency=3),
    "apng": samples.animation("image/png", samples.frames(32, 24)),
    "gif": samples.gif(samples.photo(67, 45)),
    "animated gif": samples.animation("image/gif", samples.frames(32, 24)),
    "webp": samples.webp(samples.photo(67, 45), exif=samples.exif(3)),
    "lossless webp": samples.webp(samples.translucent(67, 45), lossless=True),
    "animated webp": samples.animation("image/webp", samples.frames(32, 24)),
    "avif": samples.avif(samples.translucent(67, 45), exif=samples.exif(8)),
    "heic": samples.heic(samples.photo(67, 45), exif=samples.exif(6)),
    "tiff": samples.tiff(samples.photo(67, 45), exif=samples.exif(5)),
    "lzw tiff": samples.tiff(samples.photo(67, 45), compression="tiff_lzw"),
    "big tiff": samples.tiff(samples.photo(67, 45), big_tiff=True),
    "bmp": samples.bmp(samples.photo(67, 45)),
    "palette bmp": samples.bmp(samples.photo(67, 45).quantize(100)),
}
SEEDS = 40


def flipped(data: bytes, chance: random.Random) -> bytes:
    """One to eight bits turned over, mostly in the header, where they do most."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 2, 8))):
        limit = len(changed) if chance.random() < 0.3 else min(len(changed), 400)
        changed[chance.randrange(limit)] ^= 1 << chance.randrange(8)
    return bytes(changed)


@pytest.mark.parametrize("name", VARIANTS)
def test_flipped_bits_either_render_or_are_refused(name: str) -> None:
    """No other error may come out, and no warning: the consumer would try again for ever."""
    for seed in range(SEEDS):
        chance = random.Random(f"{name} {seed}")
        size = (20, 30) if seed % 2 else None
        try:
            renditions = render(flipped(VARIANTS[name], chance), size=size)
        except InvalidImage:
            continue
        assert len(renditions) == 3


@pytest.mark.parametrize("name", VARIANTS)
def test_a_file_cut_off_anywhere_is_refused(name: str) -> None:
    data = VARIANTS[name]
    chance = random.Random(name)
    # Without its last byte, all pixels of a still GIF are there; without its end marker, all of a
    # JPEG, of whose last blocks a few bytes may be missing unnoticed.
    longest = len(data) - (2 if name == "gif" else 48 if "jpeg" in name else 1)
    for length in [longest, *(chance.randrange(longest) for _ in range(SEEDS))]:
        with pytest.raises(InvalidImage):
            render(data[:length])


def test_a_still_gif_that_lacks_only_its_last_byte_is_whole() -> None:
    assert render(samples.gif()[:-1])[0].data == samples.gif()[:-1]


NOISE = Image.effect_noise((256, 256), 90).convert("RGB")


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"subsampling": 0}, {"streamtype": 0}],
    ids=str,
)
def test_a_jpeg_that_is_cut_off_inside_its_scan_is_damaged_though_it_ends_properly(
    mode: str, options: dict[str, int]
) -> None:
    whole = samples.jpeg(NOISE.convert(mode), **options)
    scan = whole.rindex(b"\xff\xda")
    assert len(render(whole)) == 3

    # The last scan of a progressive one may end in blocks that need no bits.
    for part in (0.1, 0.5) if "progressive" in options else (0.1, 0.5, 0.9, 0.99):
        length = scan + int((len(whole) - scan) * part)
        for end in (b"\xff\xd9", b"", bytes(40) + b"SEFH"):
            with pytest.raises(DamagedImage, match=r"damaged|cut off"):
                render(whole[:length] + end)


def test_most_jpegs_that_were_overwritten_inside_their_scan_are_told_as_damaged() -> None:
    """Where as many blocks come out by chance, no decoder can tell."""
    whole = samples.jpeg(NOISE)
    told = 0
    for start in range(20_000, 40_000, 2_000):
        try:
            render(whole[:start] + b"\x55" * 600 + whole[start + 600 :])
        except DamagedImage:
            told += 1

    assert told >= 6


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 1}])
@pytest.mark.parametrize(
    "instead",
    [b"", b"\0\0\x01\x0aSEFH" + bytes(30) + b"SEFT", b"\xff", b"\xff\x02zz", b"\xff\xc0\xff\xff"],
    ids=["nothing", "phone", "half", "unknown marker", "wrong marker"],
)
@pytest.mark.parametrize("size", [None, (48, 32)])
def test_a_jpeg_without_its_end_marker_is_whole(
    options: dict[str, int], instead: bytes, size: tuple[int, int] | None
) -> None:
    plain = samples.jpeg(samples.photo(67, 45), **options)
    wanted = samples.opened(render(plain, size=size)[0].data)

    for rendition in render(plain[:-2] + instead, size=size):
        assert b"SEF" not in rendition.data
        shown = samples.opened(rendition.data).convert("RGB")
        assert max(ImageStat.Stat(ImageChops.difference(shown, wanted)).mean) < 6


def test_a_jpeg_with_padding_or_a_few_bytes_before_its_end_is_whole() -> None:
    plain = samples.jpeg()
    for padding in (bytes(5_000), b"\x55" * 5_000, b"\xff" * 5_000, b"some more", b"\xff\0" * 600):
        assert len(render(plain[:-2] + padding + plain[-2:])) == 3


def test_a_jpeg_with_rows_below_the_picture_as_encoders_of_video_write_them_is_whole() -> None:
    tall = samples.jpeg(NOISE.crop((0, 0, 256, 64)), subsampling=0)
    at = tall.index(b"\xff\xc0") + 5
    cropped = tall[:at] + (56).to_bytes(2, "big") + tall[at + 2 :]

    assert render(cropped)[0].data == cropped


def test_a_jpeg_whose_colours_are_missing_is_refused() -> None:
    data = samples.jpeg()
    scan = data.index(b"\xff\xda")
    of_luma = b"\xff\xda\0\x08\1\1\0\0\x3f\0"

    with pytest.raises(DamagedImage, match="scans are missing"):
        identify(data[:scan] + of_luma + data[scan + 14 :])


def test_pixels_missing_inside_a_png_are_found_though_it_ends_properly() -> None:
    plain = samples.png_bomb(100, 100)
    short = samples.png_chunk(b"IDAT", zlib.compress(bytes(500)))
    start = plain.index(b"IDAT") - 4
    data = plain[:start] + short + samples.png_chunk(b"IEND", b"")
    assert identify(data).width == 100

    with pytest.raises(DamagedImage):
        render(data)


def test_a_damaged_later_frame_is_found() -> None:
    data = bytearray(samples.animation("image/gif", samples.frames()))
    start = data.rindex(b",", 0, len(data) - 40)
    # The size of the codes of the last frame, which cannot be this large.
    flags = data[start + 9]
    colours = 3 << ((flags & 7) + 1) if flags & 0x80 else 0
    data[start + 10 + colours] = 200

    with pytest.raises(DamagedImage):
        render(bytes(data))


def test_a_webp_with_a_second_and_empty_header_is_refused() -> None:
    with pytest.raises(DamagedImage):
        render(samples.with_webp_chunk(samples.webp(exif=samples.exif()), b"VP8X", b""))


def test_an_apng_whose_frames_are_missing_is_refused() -> None:
    data = bytearray(samples.animation("image/png"))
    control = data.index(b"acTL")
    body = (9).to_bytes(4, "big") + bytes(4)
    data[control - 4 : control + 16] = samples.png_chunk(b"acTL", body)

    with pytest.raises(DamagedImage):
        render(bytes(data))


def test_an_avif_whose_clock_stands_still_is_refused() -> None:
    data = bytearray(samples.animation("image/avif"))
    times = data.index(b"mdhd") + 8
    size_bytes = 8 if data[times - 4] else 4
    timescale = times + 2 * size_bytes
    data[timescale : timescale + 4] = bytes(4)

    with pytest.raises(DamagedImage):
        render(bytes(data))


@pytest.mark.parametrize("data", [samples.png_bomb(), samples.gif_bomb()], ids=["png", "gif"])
def test_bombs_are_refused_before_they_are_decoded(data: bytes) -> None:
    with pytest.raises(TooManyPixels):
        render(data)


def test_a_png_that_inflates_far_beyond_its_size_is_harmless() -> None:
    header_says_small = samples.png_bomb(10, 10)
    inflated = samples.png_chunk(b"IDAT", zlib.compress(bytes(200_000_000), 9))
    start = header_says_small.index(b"IDAT") - 4
    data = header_says_small[:start] + inflated + samples.png_chunk(b"IEND", b"")

    assert (render(data)[0].width, render(data)[0].height) == (10, 10)


def test_a_requested_size_beyond_the_bound_is_refused() -> None:
    with pytest.raises(TooManyPixels):
        render(samples.jpeg(), size=(10_000, 5_001))


def test_a_requested_animation_beyond_the_bound_is_refused() -> None:
    with pytest.raises(TooManyPixels, match="smaller"):
        render(samples.animation("image/gif"), size=(5_001, 5_000))


def test_a_size_without_area_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="0x10"):
        render(samples.jpeg(), size=(0, 10))


def test_an_animation_longer_than_its_format_allows_is_refused() -> None:
    with pytest.raises(TooManyPixels, match="16383"):
        render(samples.animation("image/webp"), size=(17_000, 10), fit="stretch")
