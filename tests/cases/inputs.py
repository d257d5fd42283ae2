"""The input of each case in cases.json, made anew: small, and without chance in it."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pillow_heif
from PIL import Image, ImageCms

CRASH = "decoder-crash"
PICTURE = "wrong-picture"
REFUSED = "refused-though-intact"
PRIVACY = "privacy-left-over"
HEADER = "header-reading-cost"
MEMORY = "memory"
REQUEST = "request-forms"
MESSAGE = "messages"

_MAKERS: dict[str, Callable[[], bytes]] = {}


def case(kind: str, file: str) -> Callable[[Callable[[], bytes]], Callable[[], bytes]]:
    """Registers a function without arguments that returns the file's bytes."""

    def register(make: Callable[[], bytes]) -> Callable[[], bytes]:
        _MAKERS[f"{kind}/{file}"] = make
        return make

    return register


def made(file: str) -> bytes:
    """The bytes of an input, by its name in cases.json."""
    return _MAKERS[file]()


# ---------------------------------------------------------------------------------------------
# Building blocks: PNG, TIFF, BMP, GIF, WebP, multipart


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    width: int,
    height: int,
    rows: bytes,
    *,
    bits: int = 8,
    colour_type: int = 2,
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """A PNG; `rows` are unfiltered rows with their filter bytes, `before` and `after` chunks."""
    header = struct.pack(">2I5B", width, height, bits, colour_type, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            png_chunk(b"IHDR", header),
            before,
            png_chunk(b"IDAT", zlib.compress(rows, 9)),
            after,
            png_chunk(b"IEND", b""),
        )
    )


def plain_png(width: int = 16, height: int = 16, colour: bytes = b"\xff\x80\x10") -> bytes:
    """An ordinary picture of one colour, which every step accepts."""
    return png(width, height, (b"\0" + colour * width) * height)


def palette_apng(
    frames: Sequence[int], colours: bytes, transparency: bytes = b"", *, bits: int = 8
) -> bytes:
    """An APNG of 16x16 with one palette entry for each whole frame."""

    def rows(entry: int) -> bytes:
        packed = entry
        for _ in range(8 // bits - 1):
            packed = packed << bits | entry
        return (b"\0" + bytes([packed]) * (16 * bits // 8)) * 16

    def control(number: int) -> bytes:
        return png_chunk(b"fcTL", struct.pack(">5I2H2B", number, 16, 16, 0, 0, 500, 1000, 0, 0))

    before = png_chunk(b"acTL", struct.pack(">2I", len(frames), 0)) + png_chunk(b"PLTE", colours)
    if transparency:
        before += png_chunk(b"tRNS", transparency)
    before += control(0)
    after, number = b"", 1
    for entry in frames[1:]:
        data = struct.pack(">I", number + 1) + zlib.compress(rows(entry), 9)
        after += control(number) + png_chunk(b"fdAT", data)
        number += 2
    return png(16, 16, rows(frames[0]), bits=bits, colour_type=3, before=before, after=after)


def tiff(
    width: int,
    height: int,
    tags: Mapping[int, tuple[str, Sequence[int]]],
    pieces: Sequence[bytes],
    *,
    order: str = "<",
    tiled: bool = False,
) -> bytes:
    """A TIFF of one page. `tags` maps a tag to its type (B, H, I) and values; `pieces` are strips
    or tiles, whose places and lengths are filled in."""
    body, offsets = b"", []
    for piece in pieces:
        offsets.append(8 + len(body))
        body += piece + b"\0" * (len(piece) % 2)
    where, lengths = (324, 325) if tiled else (273, 279)
    all_tags = {
        256: ("I", [width]),
        257: ("I", [height]),
        where: ("I", offsets),
        lengths: ("I", [len(piece) for piece in pieces]),
        **tags,
    }
    type_numbers = {"B": 1, "H": 3, "I": 4}
    start = 8 + len(body)
    after = start + 2 + 12 * len(all_tags) + 4
    entries, values = b"", b""
    for tag, (kind, numbers) in sorted(all_tags.items()):
        raw = struct.pack(f"{order}{len(numbers)}{kind}", *numbers)
        if len(raw) > 4:
            place = struct.pack(order + "I", after + len(values))
            values += raw + b"\0" * (len(raw) % 2)
            raw = place
        entries += struct.pack(order + "HHI", tag, type_numbers[kind], len(numbers))
        entries += raw.ljust(4, b"\0")
    mark = b"II" if order == "<" else b"MM"
    header = mark + struct.pack(order + "HI", 42, start)
    count = struct.pack(order + "H", len(all_tags))
    return header + body + count + entries + bytes(4) + values


def planar_tiff(
    samples: Sequence[int], photometric: int, *, bits: int = 16, order: str = "<", side: int = 16
) -> bytes:
    """A TIFF of one colour whose samples lie in planes (PlanarConfiguration 2)."""
    kind = {8: "B", 16: "H"}[bits]
    planes = [struct.pack(f"{order}{side * side}{kind}", *[v] * side * side) for v in samples]
    tags = {
        258: ("H", [bits] * len(samples)),
        259: ("H", [1]),
        262: ("H", [photometric]),
        277: ("H", [len(samples)]),
        278: ("H", [side]),
        284: ("H", [2]),
    }
    return tiff(side, side, tags, planes, order=order)


def bmp(bits: int, masks: tuple[int, int, int], pixel: int, side: int = 16) -> bytes:
    """A Windows bitmap of one colour with bit fields for red, green and blue."""
    pixels = pixel.to_bytes(bits // 8, "little") * side * side
    header = struct.pack(
        "<IiiHHIIiiII", 40, side, side, 1, bits, 3, len(pixels), 2835, 2835, 0, 0
    ) + struct.pack("<3I", *masks)
    start = 14 + len(header)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + header + pixels


def webp_chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def webp(*chunks: bytes) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


# A lossless picture of one pixel (RFC 9649).
WEBP_PIXEL = webp_chunk(b"VP8L", bytes.fromhex("2f00000010071011118888fe0700"))

GIF_SCREEN = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6)
GIF_PIXEL = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02D\x01\0"

BOUNDARY = b"XbX"
FILE_HEADERS = (
    b'Content-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png'
)


def part(headers: bytes, content: bytes) -> bytes:
    return headers + b"\r\n\r\n" + content


def text_part(name: bytes, content: bytes) -> bytes:
    return part(b'Content-Disposition: form-data; name="%s"' % name, content)


def file_part(content: bytes | None = None) -> bytes:
    return part(FILE_HEADERS, plain_png() if content is None else content)


def form(*parts: bytes) -> bytes:
    """The body of a multipart form (RFC 7578) with the boundary XbX."""
    return b"".join(b"--%s\r\n%s\r\n" % (BOUNDARY, each) for each in parts) + b"--XbX--\r\n"


# ---------------------------------------------------------------------------------------------
# Building blocks: pictures


def encoded(picture: Image.Image, file_format: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, file_format, **options)
    return out.getvalue()


def heic(picture: Image.Image, quality: int = 50) -> bytes:
    out = io.BytesIO()
    pillow_heif.from_pillow(picture).save(out, format="HEIF", quality=quality)
    return out.getvalue()


def noise(side: int = 256, bands: int = 3) -> Image.Image:
    """A picture whose every row is busy, so that a flat part of it was not decoded."""
    mode = {1: "L", 3: "RGB"}[bands]
    return Image.frombytes(mode, (side, side), random.Random(1).randbytes(side * side * bands))


def scan_start(jpeg: bytes | bytearray) -> int:
    """Where the entropy-coded bytes of the first scan begin."""
    marker = jpeg.index(b"\xff\xda")
    return marker + 2 + int.from_bytes(jpeg[marker + 2 : marker + 4], "big")


def cut_jpeg(jpeg: bytes, share: float) -> bytes:
    """The first part of the coded bytes, with an end marker behind it as if that were all."""
    start = scan_start(jpeg)
    return jpeg[: start + int((len(jpeg) - start) * share)].rstrip(b"\xff") + b"\xff\xd9"


def profile_with(tag: bytes, value: bytes) -> bytes:
    """An sRGB profile (ICC.1) with one more tag at its end."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = struct.pack(">6H", 2024, 1, 1, 0, 0, 0)
    count = int.from_bytes(profile[128:132], "big")
    entries = [
        list(struct.unpack_from(">4sII", profile, 132 + 12 * index)) for index in range(count)
    ]
    data = bytes(profile[132 + 12 * count :])
    data += b"\0" * (-len(data) % 4)
    for entry in entries:
        entry[1] += 12
    entries.append([tag, 132 + 12 * (count + 1) + len(data), len(value)])
    table = b"".join(struct.pack(">4sII", *entry) for entry in entries)
    whole = bytes(profile[:128]) + struct.pack(">I", count + 1) + table + data + value
    return struct.pack(">I", len(whole)) + whole[4:]


def display_serial_profile() -> bytes:
    """A profile as macOS writes it into screenshots: `mmod` holds the display's maker, model and
    serial number (here 0x0BADF00D)."""
    value = b"mmod" + bytes(4) + struct.pack(">4I", 0x610, 0x9226, 0x0BADF00D, 0xD0000000)
    return profile_with(b"mmod", value + bytes(16))


# ---------------------------------------------------------------------------------------------
# Building blocks: HEIF and AVIF (ISO/IEC 14496-12, 23008-12, MIAF 23000-22)


def box(kind: bytes, *bodies: bytes) -> bytes:
    body = b"".join(bodies)
    return struct.pack(">I", 8 + len(body)) + kind + body


def full_box(kind: bytes, version: int, flags: int, *bodies: bytes) -> bytes:
    return box(kind, bytes([version]) + flags.to_bytes(3, "big"), *bodies)


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterable[tuple[bytes, int, int]]:
    """Kind, start and end of each box between two positions."""
    position, end = start, len(data) if end is None else end
    while position < end:
        size = int.from_bytes(data[position : position + 4], "big") or end - position
        yield data[position + 4 : position + 8], position, position + size
        position += size


CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"iprp", b"ipco", b"dinf", b"edts"}


def found(
    data: bytes, kind: bytes, start: int = 0, end: int | None = None
) -> list[tuple[int, int]]:
    """Start and end of every box of a kind, however deep it lies."""
    places = []
    for each, at, stop in boxes(data, start, end):
        if each == kind:
            places.append((at, stop))
        if each in CONTAINERS:
            places += found(data, kind, at + 8, stop)
        elif each == b"meta":
            places += found(data, kind, at + 12, stop)
    return places


def size_property(width: int, height: int) -> bytes:
    return full_box(b"ispe", 0, 0, struct.pack(">2I", width, height))


def crop_property(
    width: tuple[int, int],
    height: tuple[int, int],
    across: tuple[int, int] = (0, 1),
    down: tuple[int, int] = (0, 1),
) -> bytes:
    """A clean aperture: width, height and the shift of its centre, each as a fraction."""
    return box(b"clap", struct.pack(">4IiIiI", *width, *height, *across, *down))


DEPTH_PROPERTY = full_box(b"pixi", 0, 0, b"\x03\x08\x08\x08")
SRGB_PROPERTY = box(b"colr", b"nclx", struct.pack(">3HB", 1, 13, 6, 0x80))
PQ_PROPERTY = box(b"colr", b"nclx", struct.pack(">3HB", 9, 16, 9, 0x80))
_ESSENTIAL = {b"hvcC", b"av1C", b"clap", b"irot", b"imir"}


@dataclass
class Item:
    """One item of a HEIF file. Items with equal `data` share the same bytes in the file."""

    kind: bytes
    properties: list[bytes] = field(default_factory=list)
    data: bytes = b""
    inline: bytes = b""
    hidden: bool = True


def heif(
    items: Sequence[Item],
    references: Sequence[tuple[bytes, int, Sequence[int]]] = (),
    *,
    brands: Sequence[bytes] = (b"heic", b"mif1", b"heic"),
    groups: Sequence[tuple[bytes, int, Sequence[int]]] = (),
) -> bytes:
    """A still picture: items are numbered from 1 and the first is the primary one. `references`
    are (kind, from, to), `groups` (kind, number, items)."""
    properties, associated, associations = _associations(items)
    media, inline = b"", b""
    places: dict[bytes, int] = {}
    inline_places: dict[bytes, int] = {}
    for item in items:
        if item.data and item.data not in places:
            places[item.data] = len(media)
            media += item.data
        if item.inline and item.inline not in inline_places:
            inline_places[item.inline] = len(inline)
            inline += item.inline

    def meta(media_start: int) -> bytes:
        locations = b""
        for number, item in enumerate(items, 1):
            if item.inline:
                method, start = 1, inline_places[item.inline]
            else:
                method, start = 0, media_start + places.get(item.data, 0)
            length = len(item.inline or item.data)
            locations += struct.pack(">4H2I", number, method, 0, 1, start, length)
        entries = b"".join(
            full_box(
                b"infe", 2, int(item.hidden and number > 1),
                struct.pack(">HH", number, 0), item.kind, b"\0",
            )
            for number, item in enumerate(items, 1)
        )  # fmt: skip
        tables = [
            full_box(b"hdlr", 0, 0, bytes(4), b"pict", bytes(13)),
            full_box(b"pitm", 0, 0, struct.pack(">H", 1)),
            full_box(b"iloc", 1, 0, b"\x44\0", struct.pack(">H", len(items)), locations),
            full_box(b"iinf", 0, 0, struct.pack(">H", len(items)), entries),
            box(
                b"iprp",
                box(b"ipco", *properties),
                full_box(b"ipma", 0, 0, struct.pack(">I", associated), associations),
            ),
        ]
        if references:
            tables.append(
                full_box(
                    b"iref", 0, 0,
                    *(
                        box(kind, struct.pack(f">HH{len(to)}H", source, len(to), *to))
                        for kind, source, to in references
                    ),
                )
            )  # fmt: skip
        if groups:
            tables.append(
                box(
                    b"grpl",
                    *(
                        full_box(kind, 0, 0, struct.pack(f">II{len(of)}I", number, len(of), *of))
                        for kind, number, of in groups
                    ),
                )
            )
        if inline:
            tables.append(box(b"idat", inline))
        return full_box(b"meta", 0, 0, *tables)

    start = box(b"ftyp", brands[0], bytes(4), *brands[1:])
    media_start = len(start) + len(meta(0)) + 8
    return start + meta(media_start) + box(b"mdat", media)


def _associations(items: Sequence[Item]) -> tuple[list[bytes], int, bytes]:
    """The properties, each once; how many items have some; and which have which."""
    properties: list[bytes] = []
    associations = b""
    associated = 0
    for number, item in enumerate(items, 1):
        numbers = []
        for each in item.properties:
            if each not in properties:
                properties.append(each)
            essential = 0x80 if each[4:8] in _ESSENTIAL else 0
            numbers.append(properties.index(each) + 1 | essential)
        if numbers:
            associated += 1
            associations += struct.pack(">HB", number, len(numbers)) + bytes(numbers)
    return properties, associated, associations


AVIF_BRANDS = (b"avif", b"avif", b"mif1", b"miaf")


def hevc(side: int, colour: tuple[int, int, int] = (10, 20, 30)) -> tuple[bytes, bytes]:
    """The decoder configuration and the coded bytes of a square of one colour."""
    data = heic(Image.new("RGB", (side, side), colour), quality=1)
    ((start, end),) = found(data, b"hvcC")
    (media,) = [data[at + 8 : stop] for kind, at, stop in boxes(data) if kind == b"mdat"]
    return data[start:end], media


def av1(picture: Image.Image) -> tuple[bytes, bytes]:
    """The decoder configuration and the coded bytes of a picture without transparency."""
    data = encoded(picture, "AVIF", quality=90, subsampling="4:4:4", speed=9)
    ((start, end),) = found(data, b"av1C")
    (media,) = [data[at + 8 : stop] for kind, at, stop in boxes(data) if kind == b"mdat"]
    return data[start:end], media


def grid_description(rows: int, columns: int, width: int, height: int) -> bytes:
    return struct.pack(">4BII", 0, 1, rows - 1, columns - 1, width, height)


def overlay_description(count: int, width: int, height: int) -> bytes:
    return struct.pack(">BB4HII", 0, 1, 0, 0, 0, 65_535, width, height) + bytes(8 * count)


def heic_of_tiles(
    tile_side: int,
    rows: int,
    columns: int,
    output: tuple[int, int],
    declared: tuple[int, int],
    *,
    kind: bytes = b"grid",
    coded_side: int | None = None,
) -> bytes:
    """A HEIC made of tiles that all share one coded square. `output` is what the derived item
    says it makes, `declared` what the picture's size property says."""
    config, data = hevc(coded_side or tile_side)
    count = rows * columns
    tile = Item(b"hvc1", [size_property(tile_side, tile_side), config], data)
    description = (
        grid_description(rows, columns, *output)
        if kind == b"grid"
        else overlay_description(count, *output)
    )
    top = Item(kind, [size_property(*declared)], inline=description, hidden=False)
    return heif([top, *[tile] * count], [(b"dimg", 1, range(2, 2 + count))])


def heic_of_levels(kinds: Sequence[bytes], width: int, side: int = 64) -> bytes:
    """Derived items on several levels, each made of all `width` items of the level below: width to
    the power of levels are decoded. `kinds` names each level, from the top."""
    config, data = hevc(side)
    rows = max(n for n in range(1, int(width**0.5) + 1) if width % n == 0)
    size = size_property(side, side)

    def derived(kind: bytes) -> Item:
        description = (
            grid_description(rows, width // rows, side, side)
            if kind == b"grid"
            else overlay_description(width, side, side)
        )
        return Item(kind, [size], inline=description)

    items = [derived(kinds[0])]
    references, above = [], [1]
    for kind in (*kinds[1:], b"hvc1"):
        numbers = range(len(items) + 1, len(items) + 1 + width)
        leaf = Item(b"hvc1", [size, config], data)
        items += [leaf if kind == b"hvc1" else derived(kind)] * width
        references += [(b"dimg", parent, numbers) for parent in above]
        above = list(numbers)
    return heif(items, references)


def with_times(data: bytes, kinds: Sequence[bytes], seconds: int) -> bytes:
    """The same movie with both times, made and changed, of every such header set (seconds since
    1904)."""
    changed = bytearray(data)
    for kind in kinds:
        for start, _ in found(data, kind):
            # Version 1 of these boxes has times of eight bytes, version 0 of four.
            value = struct.pack(">2Q" if data[start + 8] else ">2I", seconds, seconds)
            changed[start + 12 : start + 12 + len(value)] = value
    return bytes(changed)


def avif_sequence() -> bytes:
    """Two frames of one colour each, without any time of day."""
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("teal", "red")]
    movie = encoded(frames[0], "AVIF", save_all=True, append_images=frames[1:], duration=100)
    return with_times(movie, (b"mvhd", b"tkhd", b"mdhd"), 0)


def with_sound_track(movie: bytes, sound: bytes) -> bytes:
    """An AVIF sequence with one more track, whose samples are `sound`."""
    ((start, end),) = [(at, stop) for kind, at, stop in boxes(movie) if kind == b"moov"]
    entry = box(
        b"mp4a",
        bytes(6),
        struct.pack(">H", 1),
        bytes(8),
        struct.pack(">HHHHI", 1, 16, 0, 0, 8000 << 16),
    )

    def track(sound_start: int) -> bytes:
        table = box(
            b"stbl",
            full_box(b"stsd", 0, 0, struct.pack(">I", 1), entry),
            full_box(b"stts", 0, 0, struct.pack(">3I", 1, 1, 8000)),
            full_box(b"stsc", 0, 0, struct.pack(">4I", 1, 1, 1, 1)),
            full_box(b"stsz", 0, 0, struct.pack(">3I", 0, 1, len(sound))),
            full_box(b"stco", 0, 0, struct.pack(">2I", 1, sound_start)),
        )
        reference = full_box(b"dref", 0, 0, struct.pack(">I", 1), full_box(b"url ", 0, 1))
        minf = box(b"minf", full_box(b"smhd", 0, 0, bytes(4)), box(b"dinf", reference), table)
        mdia = box(
            b"mdia",
            full_box(b"mdhd", 0, 0, struct.pack(">4IHH", 0, 0, 8000, 8000, 0x55C4, 0)),
            full_box(b"hdlr", 0, 0, bytes(4), b"soun", bytes(12), b"\0"),
            minf,
        )
        matrix = struct.pack(">9I", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
        header = full_box(
            b"tkhd", 0, 3, struct.pack(">5I", 0, 0, 77, 0, 8000), bytes(8),
            struct.pack(">4H", 0, 0, 0x100, 0), matrix, bytes(8),
        )  # fmt: skip
        return box(b"trak", header, mdia)

    added = len(track(0))
    grown = bytearray(movie)
    grown[start : start + 4] = struct.pack(">I", end - start + added)
    grown[end:end] = track(len(movie) + added + 8)
    data = bytes(grown) + box(b"mdat", sound)
    return moved(data, movie, end, added)


def moved(data: bytes, before: bytes, place: int, by: int) -> bytes:
    """Adds `by` to whatever in the tables of the old file points behind `place`."""
    changed = bytearray(data)

    def add(position: int, width: int) -> None:
        value = int.from_bytes(before[position : position + width], "big")
        if value >= place:
            shifted = position + (by if position >= place else 0)
            changed[shifted : shifted + width] = (value + by).to_bytes(width, "big")

    for kind, width in ((b"stco", 4), (b"co64", 8)):
        for start, _ in found(before, kind):
            count = int.from_bytes(before[start + 12 : start + 16], "big")
            for index in range(count):
                add(start + 16 + width * index, width)
    for start, _ in found(before, b"iloc"):
        version, sizes = before[start + 8], before[start + 12]
        offset_bytes, length_bytes = sizes >> 4, sizes & 15
        base_bytes = before[start + 13] >> 4
        position = start + 16
        for _ in range(int.from_bytes(before[start + 14 : start + 16], "big")):
            position += 2 + (2 if version else 0) + 2
            if base_bytes:
                add(position, base_bytes)
            position += base_bytes
            count = int.from_bytes(before[position : position + 2], "big")
            position += 2
            for _ in range(count):
                if offset_bytes:
                    add(position, offset_bytes)
                position += offset_bytes + length_bytes
    return bytes(changed)


# ---------------------------------------------------------------------------------------------
# Decoders that crash, hang or take minutes


@case(CRASH, "heic-grey-7000x5000.heic")
def heic_grey_large() -> bytes:
    """Legal: an ordinary HEIC of one grey plane (monochrome HEVC), 35 megapixels."""
    return heic(Image.new("L", (7000, 5000), 180))


@case(CRASH, "heic-alpha-3100x3000.heic")
def heic_alpha_large() -> bytes:
    """Legal: an ordinary HEIC with an alpha plane, 9.3 megapixels."""
    return heic(Image.new("RGBA", (3100, 3000), (200, 30, 30, 128)))


@case(CRASH, "heic-grid-in-grid.heic")
def heic_grid_in_grid() -> bytes:
    """Legal to the letter (23008-12 lets a grid's inputs be derived), absurd in fact: grids of 16
    on four levels, 65,536 tiles to decode from 65 items."""
    return heic_of_levels([b"grid"] * 4, 16)


@case(CRASH, "heic-overlay-in-overlay-160000.heic")
def heic_overlay_short() -> bytes:
    """As absurd: overlays of 20 on four levels, 160,000 pictures to decode: seconds."""
    return heic_of_levels([b"iovl"] * 4, 20)


@case(CRASH, "heic-overlay-in-overlay-24-million.heic")
def heic_overlay_long() -> bytes:
    """As absurd: overlays of 30 on five levels, 24.3 million pictures to decode; half an hour."""
    return heic_of_levels([b"iovl"] * 5, 30)


@case(CRASH, "heic-grid-cropped-to-100x100.heic")
def heic_grid_cropped() -> bytes:
    """Illegal: a grid's output may cut off less than one tile; here 990 tiles of 4096x4096 are to
    be decoded for a picture that says it is 100x100."""
    return heic_of_tiles(4096, 30, 33, (100, 100), (100, 100))


# ---------------------------------------------------------------------------------------------
# Pictures that come out wrong


@case(PICTURE, "heic-grey-128.heic")
def heic_grey_small() -> bytes:
    """Legal: an ordinary grey HEIC, the value 180 everywhere."""
    return heic(Image.new("L", (128, 128), 180), quality=90)


@case(PICTURE, "heic-alpha-128.heic")
def heic_alpha_small() -> bytes:
    """Legal: an ordinary HEIC with an alpha plane, half transparent red everywhere."""
    return heic(Image.new("RGBA", (128, 128), (200, 30, 30, 128)), quality=90)


@case(PICTURE, "heic-tile-smaller-than-declared.heic")
def heic_gap() -> bytes:
    """Illegal: the one tile of a grid is declared as 160x160, its coded picture has 64x64; nothing
    says what lies where no tile is."""
    return heic_of_tiles(160, 1, 1, (160, 160), (160, 160), coded_side=64)


@case(PICTURE, "apng-palette.png")
def apng_palette() -> bytes:
    """Legal: an APNG with a palette, first all orange, then all blue."""
    return palette_apng([1, 2], bytes([0, 0, 0, 255, 128, 0, 0, 0, 255]))


@case(PICTURE, "apng-palette-transparent.png")
def apng_palette_transparent() -> bytes:
    """Legal: the same, its palette with transparency: first opaque orange, then half blue."""
    return palette_apng([1, 2], bytes([0, 0, 0, 255, 128, 0, 0, 0, 255]), b"\xff\xff\x80")


@case(PICTURE, "tiff-16-bit-planes.tif")
def tiff_planar_16() -> bytes:
    """Legal (TIFF 6.0, PlanarConfiguration 2): 16 bits a sample, (255, 128, 16) everywhere."""
    return planar_tiff((0xFF00, 0x8000, 0x1000), photometric=2)


@case(PICTURE, "tiff-palette-of-8-bits.tif")
def tiff_old_colour_map() -> bytes:
    """Illegal but common: a colour map with values 0 to 255 where TIFF 6.0 wants 0 to 65,535; all
    readers built on libtiff take it for 8 bits. (255, 128, 16) everywhere."""
    tags = {
        258: ("H", [8]),
        259: ("H", [1]),
        262: ("H", [3]),
        277: ("H", [1]),
        278: ("H", [16]),
        320: ("H", [255] * 256 + [128] * 256 + [16] * 256),
    }
    return tiff(16, 16, tags, [bytes(range(16)) * 16])


@case(PICTURE, "avif-clean-aperture.avif")
def avif_crop() -> bytes:
    """Legal (MIAF): 64x64 stored pixels, blue but for the 32x16 in the middle, which are orange
    and all that is to be shown."""
    stored = Image.new("RGB", (64, 64), (0, 0, 255))
    stored.paste((255, 128, 0), (16, 24, 48, 40))
    config, data = av1(stored)
    properties = [
        size_property(64, 64), DEPTH_PROPERTY, config, SRGB_PROPERTY,
        crop_property((32, 1), (16, 1)),
    ]  # fmt: skip
    return heif([Item(b"av01", properties, data, hidden=False)], brands=AVIF_BRANDS)


@case(PICTURE, "jpeg-cut-in-half.jpg")
def jpeg_half() -> bytes:
    """Damaged: the second half of the scan is gone, with an end marker in its place."""
    return cut_jpeg(encoded(noise(), "JPEG", quality=90), 0.5)


@case(PICTURE, "jpeg-progressive-cut.jpg")
def jpeg_progressive_cut() -> bytes:
    """Damaged: two thirds of a progressive JPEG are gone, with an end marker in their place."""
    return cut_jpeg(encoded(noise(), "JPEG", quality=90, progressive=True), 0.33)


@case(PICTURE, "jpeg-overwritten.jpg")
def jpeg_overwritten() -> bytes:
    """Damaged: 600 bytes in the middle of the scan are another file's."""
    jpeg = bytearray(encoded(noise(), "JPEG", quality=90))
    start = scan_start(jpeg) + 2000
    jpeg[start : start + 600] = b"\x55" * 600
    return bytes(jpeg)


@case(PICTURE, "png-checker-9x9.png")
def tiny_picture() -> bytes:
    """Legal: pixel art of 9x9, red and green by turns."""
    rows = b"".join(
        b"\0" + b"".join(b"\xff\0\0" if (x + y) % 2 else b"\0\xff\0" for x in range(9))
        for y in range(9)
    )
    return png(9, 9, rows)


# ---------------------------------------------------------------------------------------------
# Intact files that are refused


def _gain_map_items() -> tuple[list[Item], list[tuple[bytes, int, list[int]]]]:
    base = Image.linear_gradient("L").resize((64, 64)).convert("RGB")
    gain = Image.radial_gradient("L").resize((64, 64)).convert("RGB")
    base_config, base_data = av1(base)
    gain_config, gain_data = av1(gain)
    size = size_property(64, 64)
    # ISO 21496-1: versions, flags, head room, then minimum, maximum, gamma and two offsets.
    metadata = bytes(6) + struct.pack(">4I", 0, 1, 1, 1)
    metadata += struct.pack(">iIiIIIiIiI", 0, 1, 1, 1, 1, 1, 1, 64, 1, 64)
    items = [
        Item(b"av01", [size, DEPTH_PROPERTY, base_config, SRGB_PROPERTY], base_data, hidden=False),
        Item(b"tmap", [size, DEPTH_PROPERTY, PQ_PROPERTY], metadata, hidden=False),
        Item(b"av01", [size, DEPTH_PROPERTY, gain_config], gain_data),
    ]
    return items, [(b"dimg", 2, [1, 3])]


@case(REFUSED, "avif-gain-map.avif")
def avif_gain_map() -> bytes:
    """Legal (ISO 21496-1): an ordinary picture, with a gain map for HDR displays beside it."""
    items, references = _gain_map_items()
    brands = (b"avif", b"avif", b"mif1", b"miaf", b"tmap")
    return heif(items, references, brands=brands, groups=[(b"altr", 9, [2, 1])])


@case(REFUSED, "avif-two-items-one-extent.avif")
def avif_shared_extent() -> bytes:
    """Legal: two items over the same bytes, of which the first is the primary one."""
    config, data = av1(Image.linear_gradient("L").resize((64, 64)).convert("RGB"))
    item = Item(
        b"av01", [size_property(64, 64), DEPTH_PROPERTY, config, SRGB_PROPERTY], data, hidden=False
    )
    return heif([item, item], brands=AVIF_BRANDS)


@case(REFUSED, "heic-primary-is-a-thumbnail.heic")
def heic_primary_thumbnail() -> bytes:
    """Legal: the primary item is named as the thumbnail of another, larger one."""
    small_config, small = hevc(64, (255, 128, 16))
    config, data = hevc(128, (255, 128, 16))
    return heif(
        [
            Item(b"hvc1", [size_property(64, 64), small_config], small, hidden=False),
            Item(b"hvc1", [size_property(128, 128), config], data, hidden=False),
        ],
        [(b"thmb", 1, [2])],
    )


@case(REFUSED, "bmp-4-4-4.bmp")
def bmp_444() -> bytes:
    """Legal: 16 bits a pixel with masks of four bits, (255, 136, 17) everywhere."""
    return bmp(16, (0xF00, 0xF0, 0xF), 0xF81)


@case(REFUSED, "bmp-10-10-10.bmp")
def bmp_101010() -> bytes:
    """Legal: 32 bits a pixel with masks of ten bits, (255, 128, 16) everywhere."""
    return bmp(32, (0x3FF00000, 0xFFC00, 0x3FF), 1023 << 20 | 512 << 10 | 64)


@case(REFUSED, "jpeg-without-end.jpg")
def jpeg_no_end() -> bytes:
    """Illegal but complete: every coded byte is there, only the end marker (two bytes) is not."""
    return encoded(Image.new("RGB", (64, 48), (255, 128, 16)), "JPEG", quality=95)[:-2]


@case(REFUSED, "jpeg-with-trailer-instead-of-end.jpg")
def jpeg_trailer() -> bytes:
    """Illegal but complete: a phone's panorama, with a trailer instead of the end marker."""
    trailer = b"\0\0\x01\x0aSEFH" + bytes(30) + b"SEFT"
    return encoded(Image.new("RGB", (64, 48), (255, 128, 16)), "JPEG", quality=95)[:-2] + trailer


@case(REFUSED, "tiff-float-rgb.tif")
def tiff_float_rgb() -> bytes:
    """Legal: three floats a pixel (SampleFormat 3), which libtiff reads and Pillow does not."""
    pixel = struct.pack("<3f", 1.0, 0.5, 0.0625)
    tags = {
        258: ("H", [32] * 3),
        259: ("H", [1]),
        262: ("H", [2]),
        277: ("H", [3]),
        278: ("H", [16]),
        339: ("H", [3] * 3),
    }
    return tiff(16, 16, tags, [pixel * 256])


@case(REFUSED, "tiff-compressed-as-webp.tif")
def tiff_webp() -> bytes:
    """Legal by libtiff's register: compression 50001, one strip that is a WebP."""
    strip = encoded(Image.new("RGB", (16, 16), (255, 128, 16)), "WEBP", lossless=True)
    tags = {
        258: ("H", [8] * 3),
        259: ("H", [50001]),
        262: ("H", [2]),
        277: ("H", [3]),
        278: ("H", [16]),
    }
    return tiff(16, 16, tags, [strip])


@case(REFUSED, "icon.ico")
def icon() -> bytes:
    """Legal, of a format that is not accepted: only the words of the answer are at fault."""
    return struct.pack("<3H", 0, 1, 1) + bytes(60)


# ---------------------------------------------------------------------------------------------
# Private data that is served


@case(PRIVACY, "jpeg-comment.jpg")
def jpeg_comment() -> bytes:
    """Legal: a comment segment and no other metadata."""
    comment = b"Jane Doe, 12 Elm Street, GPS 52.5200N 13.4050E"
    return encoded(Image.new("RGB", (16, 16), "teal"), "JPEG", comment=comment)


@case(PRIVACY, "png-display-serial-number.png")
def png_profile_serial() -> bytes:
    """Legal: a screenshot's colour profile names the display's serial number 0x0BADF00D."""
    return encoded(Image.new("RGB", (16, 16), "teal"), "PNG", icc_profile=display_serial_profile())


@case(PRIVACY, "jpeg-display-serial-number.jpg")
def jpeg_profile_serial() -> bytes:
    """Legal: the same profile in a JPEG."""
    return encoded(Image.new("RGB", (16, 16), "teal"), "JPEG", icc_profile=display_serial_profile())


@case(PRIVACY, "avif-sequence-time-of-day.avif")
def avif_times() -> bytes:
    """Legal: a moving AVIF whose movie and track headers say when it was made and changed."""
    return with_times(avif_sequence(), (b"mvhd", b"tkhd"), 3_600_000_000)


@case(PRIVACY, "avif-sequence-with-sound.avif")
def avif_sound() -> bytes:
    """Legal: a moving AVIF with a sound track, whose bytes are SPOKEN-WORDS."""
    return with_sound_track(avif_sequence(), b"SPOKEN-WORDS" * 40)


# ---------------------------------------------------------------------------------------------
# Headers that take long to read


def _heif_tables(*, references: bytes = b"", associations: bytes = b"", padding: int) -> bytes:
    """A HEIF of one item with tables of one's own, and zeros behind them."""
    own = full_box(b"ipma", 0, 0, struct.pack(">IHB", 1, 1, 1), b"\x01")
    tables = [
        full_box(b"pitm", 0, 0, struct.pack(">H", 1)),
        full_box(
            b"iinf", 0, 0, struct.pack(">H", 1),
            full_box(b"infe", 2, 0, struct.pack(">HH", 1, 0), b"hvc1\0"),
        ),
        box(b"iprp", box(b"ipco", size_property(64, 64)), associations, own),
    ]  # fmt: skip
    if references:
        tables.append(full_box(b"iref", 0, 0, references))
    start = box(b"ftyp", b"heic", bytes(4), b"mif1", b"heic")
    return start + full_box(b"meta", 0, 0, *tables) + box(b"mdat", bytes(padding))


@case(HEADER, "heif-references-past-their-box.heic")
def heif_references() -> bytes:
    """Illegal: 19,900 reference boxes of 12 bytes that each claim 65,535 targets behind their own
    end."""
    each = box(b"dimg", struct.pack(">HH", 2, 0xFFFF))
    return _heif_tables(references=each * 19_900, padding=140_000)


@case(HEADER, "heif-associations-past-their-box.heic")
def heif_associations() -> bytes:
    """Illegal: ten association boxes of 16 bytes that each claim 1.4 million items behind their
    own end."""
    each = full_box(b"ipma", 0, 0, struct.pack(">I", 1_400_000))
    return _heif_tables(associations=each * 10, padding=4_300_000)


@case(HEADER, "png-many-profiles.png")
def png_profiles() -> bytes:
    """Illegal (PNG allows one): 1,072 colour profiles of 4,102 bytes that each inflate to 4 MB."""
    each = png_chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes((4 << 20) - 64), 9))
    rows = (b"\0" + bytes(48)) * 16
    return png(16, 16, rows, before=each * 1_072)


@case(HEADER, "form-semicolons.body")
def form_semicolons() -> bytes:
    """Legal but absurd: 99 parts whose names are 16,000 semicolons between quotes."""
    headers = b'Content-Disposition: form-data; name="%s"; filename="a"' % (b";" * 16_000)
    return form(*[part(headers, b"x")] * 99)


@case(HEADER, "webp-many-alpha-chunks.webp")
def webp_alpha_chunks() -> bytes:
    """Illegal: an extended WebP with 6.2 million empty alpha chunks behind its picture (50 MB)."""
    extended = webp_chunk(b"VP8X", bytes(10))
    return webp(extended, WEBP_PIXEL, webp_chunk(b"ALPH", b"") * 6_237_490)


@case(HEADER, "gif-many-comments.gif")
def gif_comments() -> bytes:
    """Legal but absurd: 16.6 million empty comments before the picture (50 MB)."""
    return GIF_SCREEN + b"!\xfe\0" * 16_633_330 + GIF_PIXEL + b";"


# ---------------------------------------------------------------------------------------------
# Pictures that need more memory than their header says


@case(MEMORY, "tiff-tile-26000.tif")
def tiff_tile() -> bytes:
    """Legal to the letter: a picture of 100x100 in one tile of 26,000x26,000 (2 GB of zeros,
    deflated)."""
    side = 26_000
    deflate = zlib.compressobj(9)
    row = bytes(side * 3)
    tile = b"".join(deflate.compress(row) for _ in range(side)) + deflate.flush()
    tags = {
        258: ("H", [8] * 3),
        259: ("H", [8]),
        262: ("H", [2]),
        277: ("H", [3]),
        284: ("H", [1]),
        322: ("I", [side]),
        323: ("I", [side]),
    }
    return tiff(100, 100, tags, [tile], tiled=True)


@case(MEMORY, "heic-overlay-canvas-20000.heic")
def heic_canvas() -> bytes:
    """Illegal: the size property says 100x100, the overlay's canvas is 20,000x20,000."""
    return heic_of_tiles(1024, 1, 1, (20_000, 20_000), (100, 100), kind=b"iovl")


@case(MEMORY, "heic-grid-output-16384.heic")
def heic_grid_output() -> bytes:
    """Illegal: the size property says 100x100, the grid makes 16,384x16,384."""
    return heic_of_tiles(1024, 16, 16, (16_384, 16_384), (100, 100))


# ---------------------------------------------------------------------------------------------
# Bodies of requests


case(REQUEST, "ordinary.png")(plain_png)


@case(REQUEST, "title-as-file.body")
def title_as_file() -> bytes:
    """Legal (RFC 7578: a file name is a hint): a script appended the title as a Blob."""
    title = part(b'Content-Disposition: form-data; name="title"; filename="blob"', b"hello")
    return form(title, file_part())


@case(REQUEST, "file-without-filename.body")
def file_without_filename() -> bytes:
    """Legal (RFC 7578 4.2: SHOULD): the file's part has a type and no file name."""
    headers = b'Content-Disposition: form-data; name="image"\r\nContent-Type: image/png'
    return form(part(headers, plain_png()))


@case(REQUEST, "ordinary-form.body")
def ordinary_form() -> bytes:
    """Legal: one file. What is special is in the headers it is sent with."""
    return form(file_part())


@case(REQUEST, "title-in-latin-1.body")
def title_latin_1() -> bytes:
    """Legal (RFC 7578 4.5): a text part that says its charset, ISO-8859-1, and keeps to it."""
    headers = (
        b'Content-Disposition: form-data; name="title"\r\n'
        b"Content-Type: text/plain; charset=ISO-8859-1"
    )
    return form(part(headers, "Schön".encode("latin-1")), file_part())


@case(REQUEST, "two-file-names.body")
def two_file_names() -> bytes:
    """Legal (RFC 6266 4.3): an old and an extended file name, of which the extended one counts."""
    headers = (
        b'Content-Disposition: form-data; name="image"; filename="=?utf-8?B?w6Quam0=?="; '
        b"filename*=utf-8''%C3%A4.png\r\nContent-Type: image/png"
    )
    return form(part(headers, plain_png()))


@case(REQUEST, "blank-title.body")
def blank_title() -> bytes:
    """Legal: what a browser sends for a text field that was left empty."""
    return form(text_part(b"title", b""), file_part())


@case(REQUEST, "blank-visibility.body")
def blank_visibility() -> bytes:
    """Legal: the same for the visibility."""
    return form(text_part(b"visibility", b""), file_part())


@case(REQUEST, "misspelt-visibility.body")
def misspelt_visibility() -> bytes:
    """A mistake that must not be silent: `visiblity=private` would leave the image shared."""
    return form(text_part(b"visiblity", b"private"), file_part())


@case(REQUEST, "two-files.body")
def two_files() -> bytes:
    """Two files in one form: one of them must not be dropped without a word."""
    return form(file_part(), file_part(plain_png(20, 20)))


@case(REQUEST, "register-latin-1.body")
def register_latin_1() -> bytes:
    """Illegal (RFC 8259 8.1): JSON in ISO-8859-1. @UNIQUE@ is the sender's to fill in."""
    return '{"username": "Jos\xe9-@UNIQUE@", "password": "p\xe4ss!"}'.encode("latin-1")


@case(REQUEST, "form-login-latin-1.body")
def login_latin_1() -> bytes:
    """Illegal for UTF-8: bytes E9 and F6 alone, percent-encoded in a form."""
    return b"username=Zo%E9-@UNIQUE@&password=p%F6ss!"


@case(REQUEST, "not-gzip.body")
def not_gzip() -> bytes:
    """Illegal: says Content-Encoding gzip and is not."""
    return b"this is not gzip"


@case(REQUEST, "animation-of-two.gif")
def small_animation() -> bytes:
    """Legal: two frames of 10x10."""
    frames = [Image.new("RGB", (10, 10), colour) for colour in ("black", "red")]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)


# ---------------------------------------------------------------------------------------------
# Bodies of messages


@case(MESSAGE, "not-json.body")
def not_json() -> bytes:
    """Illegal: no CloudEvents document. What is special is in the properties it is sent with."""
    return b"x"


@case(MESSAGE, "five-and-a-half-megabytes.body")
def large_message() -> bytes:
    """Illegal, and in base64 larger than what a function can be handed."""
    return b"x" * 5_500_000
