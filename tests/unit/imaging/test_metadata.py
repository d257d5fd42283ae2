"""What is taken out of the files that clients download, and that nothing else changes."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import pytest

from image_api.imaging import Rendition
from image_api.imaging.headers import formats
from image_api.imaging.headers.icc import clean_profile
from image_api.imaging.pixels.rendering import render
from tests import samples

SECRETS = (samples.CAMERA.encode(), b"Exif\0\0", b"maker's notes", b"<x:xmpmeta", b"GPS")


def test_what_samples_hold_is_there_to_be_found() -> None:
    data = samples.jpeg(exif=samples.exif(), xmp=samples.XMP)

    assert samples.opened(data).getexif().get_ifd(0x8825)[2] == samples.LATITUDE
    assert all(secret in data for secret in SECRETS[:4])


def assert_free_of_metadata(rendition: Rendition) -> None:
    picture = samples.opened(rendition.data)
    assert not dict(picture.getexif())
    assert not {"exif", "xmp", "comment", "photoshop", "mp"} & picture.info.keys()
    assert not [secret for secret in SECRETS if secret in rendition.data]


@pytest.mark.parametrize("size", [None, (50, 40)])
@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("content_type", samples.WITH_EXIF)
def test_no_rendition_says_where_or_with_what_it_was_taken(
    content_type: str, orientation: int, size: tuple[int, int] | None
) -> None:
    options = {} if content_type == "image/tiff" else {"xmp": samples.XMP}
    original = samples.MAKERS[content_type](exif=samples.exif(orientation), **options)

    for rendition in render(original, size=size):
        assert_free_of_metadata(rendition)


@pytest.mark.parametrize("content_type", ["image/jpeg", "image/png", "image/webp", "image/avif"])
def test_taking_metadata_out_leaves_every_pixel_and_the_profile(content_type: str) -> None:
    make = samples.MAKERS[content_type]
    profile = clean_profile(samples.display_p3_profile())
    original = make(exif=samples.exif(1), xmp=samples.XMP, icc_profile=profile)

    image = render(original)[0]

    assert samples.opened(image.data).tobytes() == samples.opened(original).tobytes()
    assert samples.opened(image.data).info["icc_profile"] == profile
    assert image.content_type == content_type
    assert_free_of_metadata(image)


@pytest.mark.parametrize(
    "original",
    [
        samples.jpeg(),
        samples.jpeg(icc_profile=clean_profile(samples.srgb_profile())),
        samples.jpeg(progressive=True),
        samples.png(),
        samples.png(samples.photo().quantize(20), transparency=3),
        samples.png(icc_profile=clean_profile(samples.srgb_profile()), dpi=(300, 300)),
        samples.gif(),
        samples.webp(),
        samples.webp(samples.translucent(), lossless=True),
        samples.avif(),
        *(samples.animation(content_type) for content_type in samples.ANIMATED),
    ],
)
def test_a_file_with_nothing_to_remove_is_served_byte_for_byte(original: bytes) -> None:
    assert render(original)[0].data == original


def test_a_jpegs_comment_goes_whatever_else_there_is() -> None:
    for exif in (b"", samples.exif()):
        image = render(samples.jpeg(comment=b"who is in it", exif=exif))[0]

        assert image.data == samples.jpeg()


@pytest.mark.parametrize(
    ("marker", "payload"),
    [
        (0xED, b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0\0\0\0\0" + b"secret"),
        (0xE0, b"JFXX\0\x10" + samples.jpeg(samples.photo(32, 24)) + b"secret"),
        (0xE2, b"MPF\0secret"),
        (0xE2, b"FPXR\0secret"),
        (0xEB, b"JP\0\1secret"),
        (0xEF, b"secret"),
    ],
    ids=["iptc", "thumbnail", "multi-picture", "flashpix", "c2pa", "other"],
)
def test_every_application_segment_of_a_jpeg_goes(marker: int, payload: bytes) -> None:
    plain = samples.jpeg()

    image = render(samples.with_jpeg_segment(plain, marker, payload))[0]

    assert image.data == plain


def test_a_thumbnail_in_the_jfif_header_goes() -> None:
    plain = samples.jpeg()
    header = plain[6:18] + b"\x02\x02" + b"secret thumb"
    data = plain[:2] + samples.jpeg_segment(0xE0, header) + plain[20:]

    image = render(data)[0]

    assert b"secret" not in image.data
    assert samples.opened(image.data).tobytes() == samples.opened(plain).tobytes()


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt", b"tIME", b"eXIf", b"prVt", b"caBX"])
def test_every_telling_chunk_of_a_png_goes(kind: bytes) -> None:
    plain = samples.png()

    image = render(samples.with_png_chunk(plain, kind, b"Comment\0secret"))[0]

    assert image.data == plain


def test_comments_and_foreign_extensions_of_a_gif_go_and_its_loop_stays() -> None:
    original = samples.animation("image/gif", loop=3, comment=b"secret comment")
    xmp = b"!\xff\x0bXMP DataXMP" + b"\x06secret" + b"\0"
    first_extension = original.index(b"!\xff\x0bNETSCAPE")
    data = original[:first_extension] + xmp + original[first_extension:]

    image = render(data)[0]

    assert b"secret" not in image.data
    assert samples.opened(image.data).info["loop"] == 3
    assert [frame.tobytes() for frame, _ in samples.moving_frames(image.data)] == [
        frame.tobytes() for frame, _ in samples.moving_frames(original)
    ]


def test_unknown_chunks_of_a_webp_go_even_from_inside_its_frames() -> None:
    plain = samples.animation("image/webp")
    frame = plain.rindex(b"ANMF")
    length = int.from_bytes(plain[frame + 4 : frame + 8], "little")
    body = plain[frame + 8 : frame + 8 + length] + samples.webp_chunk(b"prvt", b"secret")
    changed = plain[12:frame] + samples.webp_chunk(b"ANMF", body)
    changed += plain[frame + 8 + length + length % 2 :]
    data = b"RIFF" + (len(changed) + 4).to_bytes(4, "little") + b"WEBP" + changed

    assert render(samples.with_webp_chunk(data, b"junk", b"secret"))[0].data == plain


TRAILERS = {
    "zip": b"PK\x03\x04\x14\0\0\0secret",
    "script": b"<script>alert('secret')</script>",
    "zeros": bytes(5000),
    "video": samples.box(b"ftyp", b"mp42") + samples.box(b"mdat", b"secret" * 100),
}


@pytest.mark.parametrize("trailer", TRAILERS.values(), ids=TRAILERS)
@pytest.mark.parametrize(
    "content_type", ["image/jpeg", "image/png", "image/gif", "image/webp", "image/avif"]
)
def test_whatever_follows_the_end_of_an_image_goes(content_type: str, trailer: bytes) -> None:
    plain = samples.MAKERS[content_type]()

    image = render(plain + trailer)[0]

    assert b"secret" not in image.data
    assert samples.opened(image.data).tobytes() == samples.opened(plain).tobytes()
    if content_type != "image/avif":
        assert image.data == plain


@pytest.mark.parametrize(
    "original", [samples.motion_photo(), samples.multi_picture_jpeg()], ids=["motion", "mpo"]
)
def test_what_phones_put_behind_a_photo_goes(original: bytes) -> None:
    image = render(original)[0]

    assert samples.CAMERA.encode() not in image.data
    assert image.data.count(b"\xff\xd8\xff") == 1
    assert image.data.endswith(b"\xff\xd9")
    assert samples.opened(image.data).tobytes() == samples.opened(original).tobytes()


@pytest.mark.parametrize("make", [samples.avif, samples.heic])
def test_metadata_of_heif_files_is_blanked_where_it_lies(make: Callable[..., bytes]) -> None:
    original = make(exif=samples.exif(), xmp=samples.XMP)
    assert samples.CAMERA.encode() in original

    for rendition in render(original):
        assert_free_of_metadata(rendition)


def test_a_broken_exif_block_is_no_reason_to_refuse_a_photo() -> None:
    for broken in (
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff",
    ):
        data = samples.with_jpeg_segment(samples.jpeg(), 0xE1, broken)

        assert render(data)[0].data == samples.jpeg()


def test_a_colour_profile_that_cannot_be_read_is_ignored() -> None:
    plain = [rendition.data for rendition in render(samples.jpeg())]

    renditions = render(samples.jpeg(icc_profile=b"no profile at all"))

    assert [rendition.data for rendition in renditions[1:]] == plain[1:]


def test_a_broken_profile_chunk_of_a_png_is_dropped() -> None:
    plain = samples.png()

    for body in (b"name\0\0broken", b"name\0\1" + bytes(20), b"no separator"):
        assert render(samples.with_png_chunk(plain, b"iCCP", body))[0].data == plain


def test_an_ancillary_png_chunk_with_a_wrong_checksum_is_dropped() -> None:
    plain = samples.png()
    chunk = samples.png_chunk(b"gAMA", bytes(4))
    data = plain[:33] + chunk[:-1] + b"?" + plain[33:]

    assert render(data)[0].data == plain


def test_the_profile_of_a_preview_is_applied_not_carried() -> None:
    for rendition in render(samples.jpeg(icc_profile=samples.display_p3_profile()))[1:]:
        assert "icc_profile" not in samples.opened(rendition.data).info


@pytest.mark.parametrize("make", [samples.jpeg, samples.png, samples.webp, samples.avif])
def test_a_profile_loses_what_tells_of_a_screen_and_keeps_its_colours(
    make: Callable[..., bytes],
) -> None:
    telling = samples.with_profile_tag(samples.display_p3_profile(), b"mmod", b"secret serial")
    original = make(icc_profile=telling)

    image, preview, _ = render(original)

    assert samples.opened(image.data).tobytes() == samples.opened(original).tobytes()
    # What it has lost is zeros behind it where boxes cannot shrink.
    kept = samples.opened(image.data).info["icc_profile"]
    assert kept.rstrip(b"\0") == clean_profile(telling).rstrip(b"\0")
    assert b"secret serial" not in image.data
    assert preview.data == render(image.data)[1].data


def test_a_profile_in_many_pieces_is_put_together_and_cut_again() -> None:
    large = samples.with_profile_tag(samples.display_p3_profile(), b"A2B0", bytes(200_000))
    telling = samples.with_profile_tag(large, b"mmod", b"secret serial")

    image = render(samples.jpeg(icc_profile=telling))[0]

    assert samples.opened(image.data).info["icc_profile"] == clean_profile(telling)
    assert b"secret serial" not in image.data


def test_a_profile_of_which_pieces_are_missing_goes() -> None:
    large = samples.with_profile_tag(samples.display_p3_profile(), b"A2B0", bytes(200_000))
    original = samples.jpeg(icc_profile=large)
    piece = original.index(b"ICC_PROFILE\0\2") - 4
    length = int.from_bytes(original[piece + 2 : piece + 4], "big")

    image = render(original[:piece] + original[piece + 2 + length :])[0]

    assert image.data == samples.jpeg()


def test_the_name_of_a_pngs_profile_goes() -> None:
    profile = clean_profile(samples.display_p3_profile())
    body = b"Anna's screen\0\0" + zlib.compress(profile)

    image = render(samples.with_png_chunk(samples.png(), b"iCCP", body))[0]

    assert b"Anna" not in image.data
    assert samples.opened(image.data).info["icc_profile"] == profile


def test_what_adobe_or_a_loop_or_a_control_has_no_room_for_goes() -> None:
    plain = samples.jpeg(samples.photo().convert("CMYK"))
    marker = plain.index(b"\xff\xee")
    longer = samples.jpeg_segment(0xEE, plain[marker + 4 : marker + 16] + b"secret")
    moving = samples.animation("image/gif")
    loop = moving.index(b"NETSCAPE2.0") + 11
    telling = moving[:loop] + b"\x09" + moving[loop + 1 : loop + 4] + b"secret" + moving[loop + 4 :]
    control = moving.index(b"!\xf9\x04") + 7
    with_control = moving[:control] + b"\x06secret" + moving[control:]

    assert b"secret" not in formats.clean(plain[:marker] + longer + plain[marker + 16 :])
    assert render(telling)[0].data == moving
    assert render(with_control)[0].data == moving
