"""Headers that few writers make: what is read of them, and in which words others are refused."""

from __future__ import annotations

import struct
import zlib
from typing import cast

import pytest
from PIL import ImageChops

from image_api.errors import DamagedImage, InvalidImage, UnsupportedFormat
from image_api.imaging.headers.formats import identify
from image_api.imaging.headers.icc import clean_profile, is_srgb
from image_api.imaging.pixels.rendering import render
from tests import samples

RGB_MASKS = (0xFF0000, 0xFF00, 0xFF, 0)


def os2_bmp() -> bytes:
    """Two pixels, red above green, behind the short header of OS/2."""
    rows = b"\0\xff\0\0" + b"\0\0\xff\0"
    header = struct.pack("<I4H", 12, 1, 2, 1, 24)
    return b"BM" + struct.pack("<I2HI", 26 + len(rows), 0, 0, 26) + header + rows


def run_length_bmp() -> bytes:
    """Four pixels of one palette entry, in one run."""
    palette, run = bytes((10, 20, 30, 0)) * 256, b"\4\7\0\1"
    start = 54 + len(palette)
    header = struct.pack("<3i2H6I", 40, 4, 1, 1, 8, 1, len(run), 0, 0, 256, 0)
    return b"BM" + struct.pack("<I2HI", start + len(run), 0, 0, start) + header + palette + run


def bmp_of_odd_bits() -> bytes:
    data = bytearray(samples.bmp())
    data[28:30] = (5).to_bytes(2, "little")
    return bytes(data)


def gif_frame(width: int, height: int, pixels: bytes = b"\2\2\x44\1\0") -> bytes:
    return b"," + struct.pack("<4HB", 0, 0, width, height, 0) + pixels


def gif_of(*blocks: bytes) -> bytes:
    screen = struct.pack("<2H3B", 1, 1, 0x80, 0, 0) + b"\xc8\x10\x10\0\0\0"
    return b"GIF89a" + screen + b"".join(blocks) + b";"


def jpeg_frame(data: bytes) -> tuple[int, int]:
    """Where the frame header stands, and where it ends."""
    start = data.index(b"\xff\xc0")
    return start, start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")


def jpeg_with_frame(frame: bytes) -> bytes:
    data = samples.jpeg()
    start, end = jpeg_frame(data)
    return data[:start] + frame + data[end:]


def tiff_of(changes: dict[int, int | tuple[int, ...]], pixels: int = 16 * 16 * 3) -> bytes:
    return samples.tiff_of_tags({**samples.TIFF_TAGS, **changes}, bytes(pixels))


REFUSED: dict[str, tuple[bytes, type[InvalidImage], str]] = {
    "a BMP of five bits": (
        bmp_of_odd_bits(),
        DamagedImage,
        "The BMP is damaged: its header says 5 bits per pixel",
    ),
    "a BMP that ends within its header": (
        samples.bmp()[:30],
        DamagedImage,
        "The BMP is cut off: its header is incomplete",
    ),
    "a BMP that ends within its masks": (
        samples.bmp_of_bits([0], (1, 1), 32, RGB_MASKS)[:60],
        DamagedImage,
        "The BMP is cut off: its header is incomplete",
    ),
    "a GIF of nothing": (
        gif_of(),
        DamagedImage,
        "The GIF is damaged or cut off: it holds no picture",
    ),
    "a GIF whose frame has no height": (
        gif_of(gif_frame(1, 0)),
        DamagedImage,
        "The GIF is damaged: a frame has no area",
    ),
    "a JPEG with two frame headers": (
        jpeg_with_frame(2 * samples.jpeg()[slice(*jpeg_frame(samples.jpeg()))]),
        DamagedImage,
        "The JPEG is damaged: it has more than one frame header",
    ),
    "a hierarchical JPEG": (
        jpeg_with_frame(samples.jpeg_segment(0xDE, bytes(6))),
        UnsupportedFormat,
        "This kind of JPEG (hierarchical, or JPEG-LS) is not accepted; "
        "save the picture as an ordinary JPEG",
    ),
    "a JPEG-LS": (
        jpeg_with_frame(samples.jpeg_segment(0xF7, bytes(6))),
        UnsupportedFormat,
        "This kind of JPEG (hierarchical, or JPEG-LS) is not accepted; "
        "save the picture as an ordinary JPEG",
    ),
    "a JPEG whose frame header does not say how many components there are": (
        jpeg_with_frame(samples.jpeg_segment(0xC0, b"\x08\0\x40\0\x60")),
        DamagedImage,
        "The JPEG is damaged: its frame header is too short",
    ),
    "a JPEG whose frame header lacks a component": (
        jpeg_with_frame(samples.jpeg_segment(0xC0, b"\x08\0\x40\0\x60\3" + b"\1\x22\0\2\x11\1")),
        DamagedImage,
        "The JPEG is damaged: its frame header is too short",
    ),
    "a PNG with two palettes": (
        samples.with_png_chunk(
            samples.with_png_chunk(samples.png(), b"PLTE", bytes(3)), b"PLTE", bytes(3)
        ),
        DamagedImage,
        "The PNG is damaged: it has more than one header",
    ),
    "a WebP whose frame has no header": (
        samples.with_webp_chunk(samples.animation("image/webp"), b"ANMF", bytes(15)),
        DamagedImage,
        "The WebP is damaged: a frame has no header",
    ),
    "a TIFF of a palette without its last colours": (
        tiff_of({258: 8, 262: 3, 277: 1, 320: (0,) * (3 * 256 - 1)}, 16 * 16),
        DamagedImage,
        "The TIFF is damaged: colours of its palette are missing",
    ),
    "a TIFF of planes that are all extra": (
        samples.tiff_of_tags(
            {**samples.TIFF_TAGS, 258: (8, 8), 277: 2, 284: 2, 338: (0, 0)}, bytes(2 * 16 * 16)
        ),
        UnsupportedFormat,
        "TIFFs with 0 samples a pixel are not accepted; save the picture as PNG or JPEG",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_in_words(name: str) -> None:
    data, kind, words = REFUSED[name]

    with pytest.raises(InvalidImage) as refusal:
        identify(data)

    assert (type(refusal.value), str(refusal.value)) == (kind, words)


def pixel(data: bytes, place: tuple[int, int]) -> tuple[int, ...]:
    """The colour of a place in the picture that is served."""
    image, *_ = render(data)
    served = samples.opened(image.data).convert("RGB")
    return cast("tuple[int, ...]", served.getpixel(place))


def test_a_bitmap_of_os2_shows_its_rows_from_the_bottom_up() -> None:
    assert (identify(os2_bmp()).width, identify(os2_bmp()).height) == (1, 2)
    top, bottom = (pixel(os2_bmp(), (0, y)) for y in (0, 1))
    assert top[0] > bottom[0] and bottom[1] > top[1]


def test_a_bitmap_of_runs_is_read() -> None:
    assert (identify(run_length_bmp()).width, identify(run_length_bmp()).height) == (4, 1)
    assert pixel(run_length_bmp(), (3, 0)) == pytest.approx((30, 20, 10), abs=4)


def apng_of(*order: str) -> bytes:
    """Two frames of two pixels; `order` names chunks, with their number where they have one."""
    rows = zlib.compress(b"\0" + bytes((10, 20)))

    def chunk(name: str) -> tuple[bytes, bytes]:
        kind, number = name[:4].encode(), name[4:]
        counted = struct.pack(">I", int(number)) if number else b""
        control = struct.pack(">4I2H2B", 2, 1, 0, 0, 1, 10, 0, 0)
        return kind, {b"fcTL": counted + control, b"fdAT": counted + rows}.get(kind, rows)

    return samples.png_of_chunks(
        (b"IHDR", struct.pack(">2I5B", 2, 1, 8, 0, 0, 0, 0)),
        (b"acTL", struct.pack(">2I", 2, 0)),
        *map(chunk, order),
        (b"IEND", b""),
    )


def test_the_first_frame_of_an_apng_is_its_picture_or_not() -> None:
    for order in (
        ("fcTL0", "IDAT", "fcTL1", "fdAT2", "fdAT3"),
        ("IDAT", "fcTL0", "fdAT1", "fcTL2", "fdAT3"),
    ):
        assert identify(apng_of(*order)).frames == 2


@pytest.mark.parametrize(
    "order",
    [
        ("fcTL1", "IDAT", "fcTL2", "fdAT3"),
        ("fcTL0", "IDAT", "fcTL1", "fdAT3"),
        ("fcTL0", "IDAT", "fcTL1", "fdAT1"),
        ("fcTL0", "IDAT", "fdAT1", "fcTL2"),
        ("fcTL0", "IDAT", "fcTL1"),
        ("IDAT", "fcTL0", "fcTL1", "fdAT2"),
        ("fcTL0", "IDAT", "fdAT1", "fcTL2", "fdAT3"),
    ],
    ids=" ".join,
)
def test_an_apng_whose_frames_are_out_of_order_is_refused_at_upload(order: tuple[str, ...]) -> None:
    with pytest.raises(DamagedImage, match="frames of its animation are missing"):
        identify(apng_of(*order))


def test_a_bitmap_may_list_more_colours_than_its_pixels_can_name() -> None:
    picture = samples.bmp(samples.photo().quantize(256))
    spare = bytes((1, 2, 3, 0)) * 44
    start = 54 + 4 * 256 + len(spare)
    listed = start.to_bytes(4, "little") + picture[14:46] + (300).to_bytes(4, "little")
    data = picture[:10] + listed + picture[50 : 54 + 4 * 256] + spare + picture[54 + 4 * 256 :]

    assert render(data) == render(picture)


@pytest.mark.parametrize(
    ("kind", "length"),
    [
        *((kind, 0) for kind in (b"cHRM", b"gAMA", b"sRGB", b"pHYs", b"tRNS", b"sBIT", b"bKGD")),
        *((b"tRNS", length) for length in (1, 2, 4, 7, 256)),
        *((kind, 400) for kind in (b"cHRM", b"gAMA", b"cICP", b"mDCV", b"cLLI", b"pHYs", b"bKGD")),
    ],
)
def test_what_a_png_says_of_its_look_in_another_length_says_nothing(
    kind: bytes, length: int
) -> None:
    """As libpng has it; and somebody's name could stand there."""
    image, *_ = render(samples.with_png_chunk(samples.png(), kind, b"A" * length))

    assert image.data == samples.png()


@pytest.mark.parametrize(("bits", "masks"), [(32, (0, 0, 0, 0)), (24, RGB_MASKS)])
def test_masks_that_say_nothing_new_are_those_of_ordinary_pixels(
    bits: int, masks: tuple[int, int, int, int]
) -> None:
    data = samples.bmp_of_bits([0x0A141E], (1, 1), bits, masks)

    assert pixel(data, (0, 0)) == pytest.approx((10, 20, 30), abs=4)


@pytest.mark.parametrize(("bits", "masks"), [(16, (0, 0, 0, 0)), (24, (0xFF, 0xFF00, 0xFF0000, 0))])
def test_masks_that_no_decoder_knows_are_refused(
    bits: int, masks: tuple[int, int, int, int]
) -> None:
    with pytest.raises(UnsupportedFormat, match=r"^BMPs with colours in these bits"):
        identify(samples.bmp_of_bits([0x0A14], (1, 1), bits, masks))


def test_a_colour_without_a_mask_is_absent() -> None:
    only_green = samples.bmp_of_bits([0xC8], (1, 1), 32, (0, 0xFF, 0, 0))

    assert pixel(only_green, (0, 0)) == pytest.approx((0, 200, 0), abs=4)


def test_text_over_a_gif_goes_with_its_control() -> None:
    """Nothing draws it; its control would be taken for that of the frame after it."""
    control = b"!\xf9\4\1\0\0\0\0"
    text = b"!\1\x0c" + bytes(12) + b"\6secret\0"
    picture = gif_of(gif_frame(1, 1))

    image, *_ = render(gif_of(control, text, gif_frame(1, 1)))

    assert image.data == picture


def test_an_old_jpeg_in_a_tiff_has_colours_whatever_the_tiff_says() -> None:
    header = identify(tiff_of({259: 6, 262: 2}))

    assert (header.content_type, header.width) == ("image/tiff", 16)


def test_a_tag_with_more_values_than_make_sense_counts_as_none() -> None:
    """Bits of each sample: without them a picture has one."""
    many = tiff_of({258: (8,) * (3 * 65_536 + 1), 262: 1, 277: 1}, 16 * 16)

    image, *_ = render(many)

    assert set(samples.opened(image.data).convert("L").tobytes()) == {0}
    assert identify(many).width == 16


# --- colour profiles ----------------------------------------------------------------------------


def with_tags(profile: bytes, tags: dict[bytes, bytes]) -> bytes:
    """The profile with these in place of its own of the same names."""
    count = int.from_bytes(profile[128:132], "big")
    kept = dict(tags)
    for entry in range(132, 132 + 12 * count, 12):
        name = profile[entry : entry + 4]
        start, length = struct.unpack_from(">2I", profile, entry + 4)
        kept.setdefault(name, profile[start : start + length])
    table, bodies, at = len(kept).to_bytes(4, "big"), b"", 132 + 12 * len(kept)
    for name, body in kept.items():
        table += name + struct.pack(">2I", at + len(bodies), len(body))
        bodies += body + bytes(-len(body) % 4)
    return (at + len(bodies)).to_bytes(4, "big") + profile[4:128] + table + bodies


def sampled_curve(gamma: float | None) -> bytes:
    """1,024 points of a gamma, or of sRGB's own curve."""
    points = []
    for index in range(1_024):
        sample = index / 1_023
        if gamma is not None:
            light = sample**gamma
        else:
            light = sample / 12.92 if sample <= 0.04045 else ((sample + 0.055) / 1.055) ** 2.4
        points.append(round(light * 65_535))
    return b"curv\0\0\0\0" + struct.pack(">I1024H", 1_024, *points)


@pytest.mark.parametrize(("gamma", "expected"), [(None, True), (1.8, False), (2.2, False)])
def test_srgb_is_known_by_curves_of_many_points(gamma: float | None, expected: bool) -> None:
    curve = sampled_curve(gamma)
    profile = with_tags(samples.srgb_profile(), dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve))

    assert is_srgb(profile) is expected


def tag_of(profile: bytes, name: bytes) -> bytes:
    count = int.from_bytes(profile[128:132], "big")
    for entry in range(132, 132 + 12 * count, 12):
        if profile[entry : entry + 4] == name:
            start, length = struct.unpack_from(">2I", profile, entry + 4)
            return profile[start : start + length]
    raise KeyError(name)


def table_of_sixteen_bits() -> bytes:
    """Three inputs and outputs, two points along each, curves of two entries."""
    identity = struct.pack(">9i", *(65_536, 0, 0, 0, 65_536, 0, 0, 0, 65_536))
    numbers = [0, 65_535] * 3 + [0] * (2**3 * 3) + [0, 65_535] * 3
    head = b"mft2\0\0\0\0" + bytes((3, 3, 2, 0)) + identity + struct.pack(">2H", 2, 2)
    return head + struct.pack(f">{len(numbers)}H", *numbers)


@pytest.mark.parametrize(
    ("name", "tag"),
    [(b"cicp", b"cicp\0\0\0\0\x0c\x0d\0\1"), (b"A2B0", table_of_sixteen_bits())],
    ids=["code points", "a table of sixteen bits"],
)
def test_nothing_hides_behind_the_values_of_a_tag(name: bytes, tag: bytes) -> None:
    profile = with_tags(samples.srgb_profile(), {name: tag + b"secret of the maker's"})

    cleaned = clean_profile(profile)

    assert tag_of(cleaned, name) == tag


@pytest.mark.parametrize("container", ["png", "webp"])
def test_a_profile_that_cannot_be_read_goes_and_the_picture_stays(container: str) -> None:
    secret = b"secret " * 50
    if container == "png":
        plain = samples.png()
        body = b"name\0\0" + zlib.compress(secret)
        data = samples.with_png_chunk(plain, b"iCCP", body)
    else:
        # Lossless: what is served must be the very same pixels.
        plain = samples.webp(lossless=True)
        # It says when it was made, to the second.
        profile = samples.srgb_profile()
        with_profile = samples.webp(lossless=True, icc_profile=profile)
        data = with_profile.replace(profile, secret.ljust(len(profile)))

    image, *_ = render(data)

    assert not samples.opened(image.data).info.get("icc_profile")
    assert (
        ImageChops.difference(samples.opened(image.data), samples.opened(plain)).getbbox() is None
    )
