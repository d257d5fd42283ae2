"""What is served says nothing of a person, a place, a camera, a screen or a day: by ExifTool."""

from __future__ import annotations

import json
import re
import subprocess
import zlib
from pathlib import Path

import pytest

from tests import samples
from tests.e2e.api_client import ApiClient

SECRET = samples.CAMERA.encode()
EXIF = samples.exif(1)
EXIF_UPSIDE_DOWN = samples.exif(3)
IPTC = (
    b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + bytes((0, 0, 0, 26)) + b"\x1c\x02\x50\0\x15" + SECRET
)
PROFILE = samples.with_profile_tag(
    samples.with_profile_tag(samples.display_p3_profile(), b"mmod", SECRET), b"dmdd", SECRET
)


def with_jpeg_segments(*segments: tuple[int, bytes]) -> bytes:
    data = samples.jpeg()
    for marker, payload in segments:
        data = samples.with_jpeg_segment(data, marker, payload)
    return data


def with_png_chunks(data: bytes) -> bytes:
    """Every chunk that can hold words or a time."""
    packed = zlib.compress(SECRET)
    for kind, body in (
        (b"tEXt", b"Author\0" + SECRET),
        (b"zTXt", b"Comment\0\0" + packed),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + samples.XMP),
        (b"iTXt", b"Title\0\1\0\0\0" + packed),
        (b"tIME", bytes((7, 230, 11, 25, 1, 2, 3))),
        (b"eXIf", EXIF.removeprefix(b"Exif\0\0")),
        (b"prVt", SECRET),
        (b"caBX", samples.box(b"jumb", SECRET)),
    ):
        data = samples.with_png_chunk(data, kind, body)
    return data


def gif_with_words(data: bytes) -> bytes:
    size = bytes((len(SECRET),))
    comment = b"!\xfe" + size + SECRET + b"\0"
    xmp = b"!\xff\x0bXMP DataXMP" + size + SECRET + b"\0"
    after_colours = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
    blocks = data[after_colours:-1]
    return data[:after_colours] + comment + xmp + blocks + comment + b";" + SECRET


CARRIERS: dict[str, bytes] = {
    "jpeg exif": samples.jpeg(exif=EXIF, xmp=samples.XMP),
    "jpeg turned": samples.jpeg(exif=EXIF_UPSIDE_DOWN, comment=SECRET),
    "jpeg comment": samples.jpeg(comment=SECRET),
    "jpeg iptc": with_jpeg_segments((0xED, IPTC)),
    "jpeg c2pa": with_jpeg_segments((0xEB, b"JP\0\1" + samples.box(b"jumb", SECRET))),
    "jpeg others": with_jpeg_segments(
        (0xE0, b"JFXX\0\x10" + samples.jpeg(samples.photo(16, 8), comment=SECRET)),
        (0xE2, b"FPXR\0" + SECRET),
        (0xE4, SECRET),
        (0xEC, b"Ducky\0" + SECRET),
        (0xEF, SECRET),
    ),
    "jpeg profile": samples.jpeg(icc_profile=PROFILE),
    "jpeg in pictures": samples.multi_picture_jpeg(),
    "jpeg with video": samples.motion_photo(),
    "jpeg without end": samples.jpeg(exif=EXIF)[:-2] + b"\0\0\1\x0aSEFH" + SECRET + b"SEFT",
    "jpeg cmyk": samples.jpeg(samples.photo().convert("CMYK"), exif=EXIF, comment=SECRET),
    "jpeg progressive": samples.jpeg(progressive=True, exif=EXIF, comment=SECRET),
    "png words": with_png_chunks(samples.png()),
    "png profile": samples.with_png_chunk(
        samples.png(), b"iCCP", SECRET + b"\0\0" + zlib.compress(PROFILE)
    ),
    "png of sixteen bits": with_png_chunks(samples.png(samples.photo().convert("I;16"))),
    "png moving": with_png_chunks(samples.animation("image/png")) + SECRET,
    "gif words": gif_with_words(samples.gif()),
    "gif moving": gif_with_words(samples.animation("image/gif")),
    "webp": samples.webp(exif=EXIF, xmp=samples.XMP, icc_profile=PROFILE) + SECRET,
    "webp moving": samples.animation("image/webp", exif=EXIF, xmp=samples.XMP, icc_profile=PROFILE),
    "webp unknown": samples.with_webp_chunk(samples.webp(), b"prVt", SECRET),
    "avif": samples.avif(exif=EXIF, xmp=samples.XMP),
    "avif moving": samples.animation("image/avif", exif=EXIF, xmp=samples.XMP),
    "heic": samples.heic(exif=EXIF, xmp=samples.XMP),
    "tiff": samples.tiff(exif=EXIF, icc_profile=PROFILE, description=samples.CAMERA),
    "bmp": samples.bmp() + SECRET,
}

# Groups that speak of the file here, or of its pixels.
OF_THE_FILE = re.compile(r"^(SourceFile|ExifTool|System|File|JFIF|Composite)")
OF_THE_PIXELS = re.compile(
    r"^(PNG|PNG-pHYs|APNG|GIF|RIFF|Meta|Track\d+|QuickTime|AVIF|ICC_Profile|ICC-header|JFIF|Adobe)$"
)
NEVER = re.compile(
    r"Comment|Author|Artist|Make\b|Model|Serial|GPS|Software|Creat(or|e)|Modif|Date|Owner|"
    r"Copyright|Description|Title|Handler|Encoder|Manufacturer|Platform|Calibration|Thumbnail|"
    r"Warning|Trailer|Unknown",
)
# As the formats ask for, and the same in every file.
HARMLESS: dict[str, set[object]] = {
    "ICC_Profile:ProfileCopyright": {"None"},
    "ICC_Profile:ProfileDescription": {"sRGB", "Colour profile"},
    "ICC-header:ProfileDateTime": {"0000:00:00 00:00:00"},
    "ICC-header:DeviceManufacturer": {"", "none", 0},
    "ICC-header:DeviceModel": {"", 0},
    "ICC-header:ProfileCreator": {"", "none", 0},
    "ICC-header:PrimaryPlatform": {"Unknown ()", ""},
}


# Boxes that ExifTool has no name for, of which films are made.
BOXES = {"edts", "av1C", "colr", "ccst", "skip"}


def tells(name: str, value: object) -> bool:
    group, _, tag = name.partition(":")
    if name in HARMLESS:
        return value not in HARMLESS[name]
    if tag.removeprefix("Unknown_") in BOXES:
        return False
    if group in ("ExifTool", "System", "SourceFile", "Composite"):
        return tag == "Warning"
    if NEVER.search(tag):
        return value not in (0, "0000:00:00 00:00:00", "", "pict", "Picture", "auxv")
    return OF_THE_FILE.match(group) is None and OF_THE_PIXELS.match(group) is None


def found_by_exiftool(folder: Path) -> dict[str, dict[str, object]]:
    """By the name of the file: each tag with its group."""
    answer = subprocess.run(
        ["exiftool", "-json", "-a", "-G1", "-u", "-ee", *map(str, sorted(folder.iterdir()))],
        stdout=subprocess.PIPE,
        check=True,
    )
    found = {Path(tags["SourceFile"]).name: tags for tags in json.loads(answer.stdout)}
    assert len(found) == len(list(folder.iterdir()))
    return found


def test_exiftool_finds_what_the_carriers_hold(tmp_path: Path) -> None:
    """Or the next test could not fail."""
    for name, data in CARRIERS.items():
        (tmp_path / name).write_bytes(data)

    for name, tags in found_by_exiftool(tmp_path).items():
        hidden = name in ("png of sixteen bits", "jpeg c2pa", "webp unknown", "bmp")
        told = [tag for tag, value in tags.items() if tells(tag, value)]
        assert told or hidden, name
    for name, data in CARRIERS.items():
        inflated = samples.inflated_chunks(data) if data.startswith(b"\x89PNG") else b""
        assert SECRET in data + inflated or name == "jpeg in pictures", name


@pytest.mark.parametrize("size", [None, "40x30"])
def test_what_is_served_of_any_carrier_tells_nothing(
    ada: ApiClient, tmp_path: Path, size: str | None
) -> None:
    accepted = {name: ada.upload(data) for name, data in CARRIERS.items()}
    for name, answer in accepted.items():
        assert answer.status_code == 200, (name, answer.text)
        image_id = answer.json()["id"]
        image = ada.settled(image_id) if size is None else ada.updated(image_id, resolution=size)
        for kind in ("url", "thumbnail_url", "preview_url"):
            served = ada.download(image[kind]).content
            inflated = samples.inflated_chunks(served) if served.startswith(b"\x89PNG") else b""
            assert SECRET not in served + inflated, name
            (tmp_path / f"{name} {kind}").write_bytes(served)

    told = {
        name: {tag: value for tag, value in tags.items() if tells(tag, value)}
        for name, tags in found_by_exiftool(tmp_path).items()
    }

    assert len(told) == 3 * len(CARRIERS)
    assert {name: tags for name, tags in told.items() if tags} == {}
