"""Sample images of every format and oddity, made from the photos in `tests/photos`."""

from __future__ import annotations

import contextlib
import functools
import itertools
import struct
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import pillow_heif
from PIL import AvifImagePlugin, Image, ImageCms, ImageOps, WebPImagePlugin

PHOTOS = Path(__file__).parent / "photos"
CAMERA = "Secret Camera Company"
LATITUDE = (48.0, 51.0, 29.0)

pillow_heif.register_heif_opener()
assert AvifImagePlugin.SUPPORTED and WebPImagePlugin.SUPPORTED


@functools.cache
def photo(width: int = 96, height: int = 64, name: str = "rocket.jpg") -> Image.Image:
    """A photo, cropped to this size; shared, so not to be changed."""
    with Image.open(PHOTOS / name) as image:
        fitted = ImageOps.fit(image.convert("RGB"), (width, height))
    # The photo's own comment would be saved again with every sample.
    fitted.info = {}
    return fitted


def translucent(width: int = 96, height: int = 64) -> Image.Image:
    """A photo that fades out from the bottom to the top, where nothing is left of it."""
    image = photo(width, height).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize((width, height)))
    return image


QUARTERS = {
    "top left": (220, 30, 30),
    "top right": (30, 200, 40),
    "bottom left": (30, 40, 210),
    "bottom right": (230, 220, 40),
}


def quarters(width: int = 96, height: int = 64) -> Image.Image:
    """Four plain colours, by which one sees how a picture is turned and cut."""
    image = Image.new("RGB", (width, height))
    for index, colour in enumerate(QUARTERS.values()):
        left, top = index % 2 * (width // 2), index // 2 * (height // 2)
        image.paste(colour, (left, top, left + width - width // 2, top + height - height // 2))
    return image


_AS_STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def stored_for(image: Image.Image, orientation: int) -> Image.Image:
    """The pixels as a camera held that way stores them: applying the orientation undoes it."""
    transposition = _AS_STORED[orientation]
    return image if transposition is None else image.transpose(transposition)


def saved(image: Image.Image, pillow_format: str, **options: Any) -> bytes:
    output = BytesIO()
    image.save(output, pillow_format, **options)
    return output.getvalue()


def exif(orientation: int | None = None, taken_at: str | None = None) -> bytes:
    """A camera's name, where it was, and its maker's notes."""
    tags = Image.Exif()
    tags[0x010F] = CAMERA
    if orientation is not None:
        tags[0x0112] = orientation
    tags.get_ifd(0x8825).update({1: "N", 2: LATITUDE, 3: "E", 4: (2.0, 17.0, 40.0)})
    tags.get_ifd(0x8769)[0x927C] = b"maker's notes of the " + CAMERA.encode()
    if taken_at is not None:
        tags.get_ifd(0x8769)[0x9003] = taken_at
    return tags.tobytes()


XMP = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf>{CAMERA}</rdf></x:xmpmeta>'.encode()


def jpeg(image: Image.Image | None = None, **options: Any) -> bytes:
    return saved(image or photo(), "JPEG", **{"quality": 90, **options})


def png(image: Image.Image | None = None, **options: Any) -> bytes:
    return saved(image or photo(), "PNG", **options)


def gif(image: Image.Image | None = None, **options: Any) -> bytes:
    return saved(image or photo(), "GIF", **options)


def webp(image: Image.Image | None = None, **options: Any) -> bytes:
    return saved(image or photo(), "WEBP", **options)


def avif(image: Image.Image | None = None, **options: Any) -> bytes:
    return saved(image or photo(), "AVIF", **{"speed": 10, "quality": 90, **options})


def heic(image: Image.Image | None = None, **options: Any) -> bytes:
    return saved(image or photo(), "HEIF", **options)


def tiff(image: Image.Image | None = None, **options: Any) -> bytes:
    return saved(image or photo(), "TIFF", **options)


def bmp(image: Image.Image | None = None, **options: Any) -> bytes:
    return saved(image or photo(), "BMP", **options)


@functools.cache
def rocket() -> bytes:
    """The photo's file without its colour profile and its comment: nothing is left to remove."""
    data = (PHOTOS / "rocket.jpg").read_bytes()
    for marker in (b"\xff\xe2", b"\xff\xfe"):
        start = data.index(marker)
        length = int.from_bytes(data[start + 2 : start + 4], "big")
        data = data[:start] + data[start + 2 + length :]
    return data


MAKERS: dict[str, Callable[..., bytes]] = {
    "image/jpeg": jpeg,
    "image/png": png,
    "image/gif": gif,
    "image/webp": webp,
    "image/avif": avif,
    "image/heic": heic,
    "image/tiff": tiff,
    "image/bmp": bmp,
}
"""How to make one of each accepted format."""

WITH_EXIF = ("image/jpeg", "image/png", "image/webp", "image/avif", "image/heic", "image/tiff")
EXTENSIONS = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/avif": "avif",
    "image/heic": "heic",
    "image/heif": "heif",
    "image/tiff": "tiff",
    "image/bmp": "bmp",
}

PALETTE = [0, 0, 0, 255, 128, 0, 0, 0, 255]
FRAME_COLOURS = ((200, 30, 30), (30, 180, 40), (40, 50, 200), (210, 200, 40))
DURATIONS_MS = (100, 250, 40, 600)


def frames(width: int = 80, height: int = 60, *, clear: bool = False) -> list[Image.Image]:
    """A square that moves to the right and changes its colour, over grey or over nothing."""
    pictures = []
    for index, colour in enumerate(FRAME_COLOURS):
        ground = Image.new("RGBA", (width, height), (0, 0, 0, 0) if clear else (128, 128, 128, 255))
        left = index * width // 4
        ground.paste((*colour, 255), (left, height // 4, left + width // 4, height * 3 // 4))
        pictures.append(ground if clear else ground.convert("RGB"))
    return pictures


def animation(
    content_type: str, pictures: list[Image.Image] | None = None, **options: Any
) -> bytes:
    """An animation of `frames()` with DURATIONS_MS, for ever unless `loop` says otherwise."""
    first, *others = pictures or frames()
    settings: dict[str, Any] = {
        "save_all": True,
        "append_images": others,
        "duration": list(DURATIONS_MS),
        "loop": 0,
        **options,
    }
    if content_type == "image/gif" and first.mode == "RGBA":
        settings.setdefault("disposal", 2)
    return MAKERS[content_type](first, **settings)


def palette_animation(content_type: str, *, clear: bool = False) -> bytes:
    """Orange, then blue, of a palette that begins with black; `clear` towards the lower right."""
    pictures = []
    for colour in (1, 2):
        picture = Image.new("P", (16, 16), colour)
        picture.putpalette(PALETTE)
        if clear:
            picture.paste(0, (8, 8, 16, 16))
        pictures.append(picture)
    if content_type == "image/png":
        return _palette_apng(pictures, clear=clear)
    options = {"transparency": 0, "disposal": 2} if clear else {}
    return animation(content_type, pictures, duration=[100, 200], **options)


ANIMATED = ("image/gif", "image/webp", "image/png")


def opened(data: bytes) -> Image.Image:
    """What a client sees."""
    image = Image.open(BytesIO(data))
    image.load()
    return image


def moving_frames(data: bytes) -> Iterator[tuple[Image.Image, float]]:
    """Each frame as RGBA, with its duration in milliseconds."""
    image = Image.open(BytesIO(data))
    for index in itertools.count():
        try:
            image.seek(index)
        except EOFError:
            return
        image.load()
        yield image.convert("RGBA"), image.info["duration"]


# --- what encoders do not offer: containers by hand --------------------------------------------


def png_chunk(kind: bytes, body: bytes) -> bytes:
    checksum = zlib.crc32(kind + body).to_bytes(4, "big")
    return len(body).to_bytes(4, "big") + kind + body + checksum


def with_png_chunk(data: bytes, kind: bytes, body: bytes) -> bytes:
    """The chunk right after the header, which is 33 bytes long."""
    return data[:33] + png_chunk(kind, body) + data[33:]


def _palette_apng(pictures: list[Image.Image], *, clear: bool) -> bytes:
    """As optimisers write them; Pillow's own writer makes RGB of palettes that are transparent."""
    width, height = pictures[0].size
    chunks = [
        (b"IHDR", struct.pack(">2I5B", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", bytes(PALETTE)),
        *([(b"tRNS", b"\0")] if clear else []),
        (b"acTL", struct.pack(">2I", len(pictures), 0)),
    ]
    for index, picture in enumerate(pictures):
        rows = zlib.compress(
            b"".join(b"\0" + picture.crop((0, y, width, y + 1)).tobytes() for y in range(height))
        )
        number = 2 * index
        control = struct.pack(">5I2H2B", max(0, number - 1), width, height, 0, 0, 1, 10, 1, 0)
        chunks.append((b"fcTL", control))
        chunks.append((b"fdAT", number.to_bytes(4, "big") + rows) if index else (b"IDAT", rows))
    return png_of_chunks(*chunks, (b"IEND", b""))


def png_of_chunks(*chunks: tuple[bytes, bytes]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, body) for kind, body in chunks)


def inflated_chunks(data: bytes) -> bytes:
    """Whatever can be inflated in the chunks of a PNG that are no pixels."""
    found, position = b"", 8
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        kind, body = data[position + 4 : position + 8], data[position + 8 : end - 4]
        for start in range(len(body)) if kind in (b"iCCP", b"zTXt", b"iTXt") else ():
            if body[start : start + 1] == b"\x78":
                with contextlib.suppress(zlib.error):
                    found += zlib.decompressobj().decompress(body[start:])
        position = end
    return found


def png_bomb(width: int = 64_250, height: int = 64_250) -> bytes:
    """A few bytes that claim to be four gigapixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1_000_000))
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", rows)
        + png_chunk(b"IEND", b"")
    )


def gif_bomb(width: int = 60_000, height: int = 60_000, count: int = 1) -> bytes:
    frame = b"," + struct.pack("<4HB", 0, 0, width, height, 0) + b"\x02\x02\x44\x01\x00"
    screen = struct.pack("<2H3B", width, height, 0x80, 0, 0) + bytes(6)
    return b"GIF89a" + screen + frame * count + b";"


def jpeg_segment(marker: int, payload: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(payload) + 2).to_bytes(2, "big") + payload


def with_jpeg_segment(data: bytes, marker: int, payload: bytes) -> bytes:
    """The segment after the JFIF header, which is 18 bytes long with its marker."""
    return data[:20] + jpeg_segment(marker, payload) + data[20:]


def webp_chunk(kind: bytes, body: bytes) -> bytes:
    return kind + len(body).to_bytes(4, "little") + body + b"\0" * (len(body) % 2)


def with_webp_chunk(data: bytes, kind: bytes, body: bytes) -> bytes:
    """The chunk at the end, counted in the file's size."""
    longer = data[8:] + webp_chunk(kind, body)
    return b"RIFF" + len(longer).to_bytes(4, "little") + longer


def box(kind: bytes, body: bytes) -> bytes:
    return (len(body) + 8).to_bytes(4, "big") + kind + body


TIFF_TAGS: dict[int, int | tuple[int, ...]] = {
    256: 16, 257: 16, 258: (8, 8, 8), 259: 1, 262: 2, 277: 3, 278: 16, 284: 1,
}  # fmt: skip


def tiff_of_tags(
    tags: dict[int, int | tuple[int, ...]],
    pixels: bytes,
    *,
    order: Literal["<", ">"] = "<",
    pieces: bool = True,
) -> bytes:
    """One strip, or as many planes as there are samples, unless the tags say where `pieces` are;
    values are short, but for positions."""
    planes = int(tags[277]) if tags.get(284) == 2 else 1  # type: ignore[arg-type]
    size = len(pixels) // planes
    if pieces:
        starts = tuple(8 + plane * size for plane in range(planes))
        tags = {273: starts, 279: (size,) * planes, **tags}
    start = 8 + len(pixels) + len(pixels) % 2
    table, bodies = struct.pack(order + "H", len(tags)), b""
    behind = start + 2 + 12 * len(tags) + 4
    for tag, value in sorted(tags.items()):
        values = (value,) if isinstance(value, int) else value
        kind = 4 if tag in (273, 279, 324, 325) or max(values) > 0xFFFF else 3
        packed = struct.pack(f"{order}{len(values)}{'H' if kind == 3 else 'I'}", *values)
        table += struct.pack(order + "2HI", tag, kind, len(values))
        if len(packed) <= 4:
            table += packed.ljust(4, b"\0")
        else:
            table += struct.pack(order + "I", behind + len(bodies))
            bodies += packed
    magic = b"II*\0" if order == "<" else b"MM\0*"
    head = magic + struct.pack(order + "I", start) + pixels + bytes(len(pixels) % 2)
    return head + table + bytes(4) + bodies


def bmp_of_bits(
    pixels: list[int],
    size: tuple[int, int],
    bits: int,
    masks: tuple[int, int, int, int],
    *,
    top_down: bool = False,
) -> bytes:
    """With the masks in a header that has room for transparency; the pixels are numbers."""
    width, height = size
    row_bytes = (width * bits + 31) // 32 * 4
    rows = [
        b"".join(
            pixel.to_bytes(max(1, bits // 8), "little")
            for pixel in pixels[y * width : (y + 1) * width]
        ).ljust(row_bytes, b"\0")
        for y in range(height)
    ]
    body = b"".join(rows if top_down else reversed(rows))
    info = struct.pack(
        "<3i2H6I4I", 56, width, -height if top_down else height, 1, bits, 3, len(body), 0, 0, 0, 0,
        *masks,
    )  # fmt: skip
    return b"BM" + struct.pack("<I2HI", 14 + 56 + len(body), 0, 0, 14 + 56) + info + body


def motion_photo() -> bytes:
    """A JPEG with a video behind its end, as phones take them."""
    video = box(b"ftyp", b"mp42\0\0\0\0isommp42") + box(b"mdat", CAMERA.encode() * 50)
    return jpeg(xmp=XMP) + video


def multi_picture_jpeg() -> bytes:
    """An MPO: two pictures, the second behind the first one's end."""
    return saved(photo(), "MPO", save_all=True, append_images=[photo(name="hubble_deep_field.jpg")])


# --- colour profiles ----------------------------------------------------------------------------


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def swapped_profile() -> bytes:
    """A profile whose red is our green, and the other way round; its name still says sRGB."""
    return (
        srgb_profile().replace(b"rXYZ", b"keep").replace(b"gXYZ", b"rXYZ").replace(b"keep", b"gXYZ")
    )


def display_p3_profile() -> bytes:
    """sRGB with the wider primaries of phones and laptops."""
    primaries = {
        b"rXYZ": (0.51512, 0.24120, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.15710, 0.06657, 0.78407),
    }
    profile = bytearray(srgb_profile())
    tags = int.from_bytes(profile[128:132], "big")
    for entry in range(132, 132 + 12 * tags, 12):
        name = bytes(profile[entry : entry + 4])
        if name in primaries:
            start = int.from_bytes(profile[entry + 4 : entry + 8], "big")
            numbers = (round(value * 65_536) for value in primaries[name])
            profile[start + 8 : start + 20] = struct.pack(">3i", *numbers)
    return bytes(profile)


def with_profile_tag(profile: bytes, name: bytes, data: bytes) -> bytes:
    """One tag more, at the end."""
    count = int.from_bytes(profile[128:132], "big")
    table, bodies = bytearray(profile[132 : 132 + 12 * count]), profile[132 + 12 * count :]
    for entry in range(4, len(table), 12):
        start = int.from_bytes(table[entry : entry + 4], "big") + 12
        table[entry : entry + 4] = start.to_bytes(4, "big")
    bodies += bytes(-len(bodies) % 4)
    start = 132 + len(table) + 12 + len(bodies)
    table += name + struct.pack(">2I", start, len(data) + 8)
    bodies += b"data\0\0\0\0" + data
    header = (132 + len(table) + len(bodies)).to_bytes(4, "big") + profile[4:128]
    return header + (count + 1).to_bytes(4, "big") + bytes(table) + bodies


def green_ink_profile() -> bytes:
    """A CMYK profile for a press whose cyan ink is green: only who reads it gets that right."""
    lab = {False: (255, 128, 128), True: (150, 60, 190)}
    table = bytearray()
    for cyan, magenta, yellow, black in itertools.product((False, True), repeat=4):
        lightness, a, b = lab[cyan]
        if black or magenta or yellow:
            lightness = lightness // 4
        table += bytes((lightness, a, b))
    ramp = bytes(range(256))
    identity = struct.pack(">9i", *(65_536, 0, 0, 0, 65_536, 0, 0, 0, 65_536))
    lut = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + identity + ramp * 4 + bytes(table) + ramp * 3
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63_190, 65_536, 54_061)
    tags = {b"A2B0": lut + bytes(-len(lut) % 4), b"wtpt": white}
    start = 128 + 4 + 12 * len(tags)
    table_of_tags, bodies = len(tags).to_bytes(4, "big"), b""
    for name, body in tags.items():
        table_of_tags += name + struct.pack(">2I", start + len(bodies), len(body))
        bodies += body
    header = (
        (start + len(bodies)).to_bytes(4, "big")
        + b"lcms\x02\x40\0\0prtrCMYKLab "
        + bytes(12)
        + b"acsp"
        + bytes(28)
        + struct.pack(">3i", 63_190, 65_536, 54_061)
        + bytes(48)
    )
    return header + table_of_tags + bodies
