"""When a picture was taken, as EXIF says it, and nothing where it says nonsense."""

from __future__ import annotations

import struct

import pytest
from PIL import Image

from image_api.imaging.headers.exif import taken_at
from image_api.imaging.headers.formats import identify
from image_api.imaging.pixels.rendering import render
from tests import samples

TAKEN = "2024-11-02T18:10:16"


def block(written: str | bytes | None, order: str = "<", directory: int = 0x8769) -> bytes:
    """EXIF with a directory of its own, in which this stands as the time of the picture."""
    value = b"" if written is None else written if isinstance(written, bytes) else written.encode()
    signature = b"II*\0" if order == "<" else b"MM\0*"
    return b"".join(
        (
            signature,
            struct.pack(order + "I", 8),
            struct.pack(order + "HHHIII", 1, directory, 4, 1, 26, 0),
            struct.pack(order + "HHHIII", 1, 0x9003, 2, len(value), 44, 0),
            value,
        )
    )


@pytest.mark.parametrize("content_type", samples.WITH_EXIF)
def test_the_camera_s_clock_is_read_from_every_format(content_type: str) -> None:
    exif = samples.exif(6, taken_at="2024:11:02 18:10:16")
    data = samples.MAKERS[content_type](exif=exif)

    assert identify(data).taken_at == TAKEN
    assert identify(samples.MAKERS[content_type](exif=samples.exif(6))).taken_at is None
    assert not any(b"2024:11:02" in rendition.data for rendition in render(data))


@pytest.mark.parametrize("content_type", samples.MAKERS)
def test_without_exif_there_is_no_time(content_type: str) -> None:
    assert identify(samples.MAKERS[content_type]()).taken_at is None


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_orders_of_bytes_are_read(order: str) -> None:
    assert taken_at(memoryview(block("2024:11:02 18:10:16\0", order))) == TAKEN
    assert taken_at(memoryview(b"Exif\0\0" + block("2024:11:02 18:10:16\0", order))) == TAKEN


@pytest.mark.parametrize(
    "written",
    [
        "0000:00:00 00:00:00\0",
        "2024:13:02 18:10:16\0",
        "2023:02:29 18:10:16\0",
        "2024:11:02 24:10:16\0",
        "2024-11-02 18:10:16\0",
        "2024:11:02T18:10:16\0",
        "2024:11:02 18:10:16Z",
        "    :  :     :  :  \0",
        "2024:11:02 18:10\0",
        "",
        b"\xd9\xa2\xd9\xa0\xd9\xa2\xd9\xa4\0\0\0\0\0\0\0\0\0\0\0\0",
    ],
)
def test_what_is_no_time_is_none(written: str | bytes) -> None:
    assert taken_at(memoryview(block(written))) is None


def test_wherever_a_block_is_cut_off_it_has_no_time() -> None:
    whole = block("2024:11:02 18:10:16\0")

    assert [taken_at(memoryview(whole[:length])) for length in range(len(whole))] == (
        [None] * len(whole)
    )


def test_a_directory_that_is_its_own_part_comes_to_an_end() -> None:
    itself = bytearray(block("2024:11:02 18:10:16\0"))
    itself[18:22] = (8).to_bytes(4, "little")

    assert taken_at(memoryview(bytes(itself))) is None
    assert taken_at(memoryview(block("2024:11:02 18:10:16\0", directory=0x8825))) is None


def test_the_time_of_another_picture_in_a_heif_is_not_this_one_s() -> None:
    data = samples.heic(exif=samples.exif(taken_at="2024:11:02 18:10:16"))
    assert identify(data).taken_at == TAKEN

    assert identify(data.replace(b"cdsc", b"thmb")).taken_at is None


def test_a_picture_without_a_time_is_none_the_worse() -> None:
    plain = samples.jpeg(Image.new("RGB", (8, 8)), exif=samples.exif(taken_at="yesterday"))

    assert identify(plain).taken_at is None
    assert (identify(plain).width, identify(plain).height) == (8, 8)
