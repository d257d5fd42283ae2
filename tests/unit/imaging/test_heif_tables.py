"""HEIF and AVIF whose tables are incomplete, contradict each other, or say what few writers say."""

from __future__ import annotations

import dataclasses
import re
import struct
from collections.abc import Callable, Iterable, Sequence

import pytest
from PIL import Image

from image_api.errors import DamagedImage, InvalidImage, UnsupportedFormat
from image_api.imaging.headers.formats import identify
from image_api.imaging.pixels.rendering import render
from tests import heif_files, samples
from tests.heif_files import Coded, Item, Reference, av1, file_of, full_box, grid_item, hevc
from tests.samples import box

SECRET = b"Ada Lovelace, 12 St James's Square. "
"""Of whole numbers of four bytes."""
GREY = (128,)


def pixels(data: bytes) -> bytes:
    return samples.opened(render(data)[0].data).convert("RGBA").tobytes()


def assert_refused(data: bytes, words: str, error: type[InvalidImage] = DamagedImage) -> None:
    with pytest.raises(error, match=words):
        identify(data)


# --- where items lie ----------------------------------------------------------------------------


def place(number: int, *extents: tuple[int, int], method: int = 0, source: int = 0) -> bytes:
    """`extents` are a start and a length each."""
    head = struct.pack(">4H", number, method, source, len(extents))
    return head + b"".join(struct.pack(">2I", *extent) for extent in extents)


def placed(
    items: Sequence[Item],
    places: Callable[[int], list[bytes]],
    references: Iterable[Reference] = (),
) -> bytes:
    """The file with these places, as functions of where the bytes of items begin."""

    def made(start: int) -> bytes:
        listed = places(start)
        table = b"\x44\0" + struct.pack(">H", len(listed)) + b"".join(listed)
        data = file_of(items, references, tables=full_box(b"iloc", table, version=1))
        kind = heif_files.found(data, b"iloc")[0].start + 4
        return data[:kind] + b"free" + data[kind + 4 :]

    (media,) = heif_files.found(made(0), b"mdat")
    return made(media.start + 8)


@pytest.mark.parametrize("coded", [hevc(), av1()], ids=["HEVC", "AV1"])
def test_a_picture_in_several_pieces_is_put_together(coded: Coded) -> None:
    first, second = 10, len(coded.data) - 10
    swapped = dataclasses.replace(coded, data=coded.data[first:] + coded.data[:first])

    data = placed(
        [Item.of(swapped)], lambda start: [place(1, (start + second, first), (start, second))]
    )

    assert pixels(data) == pixels(file_of([Item.of(coded)]))


def test_a_grid_whose_description_is_in_pieces_is_refused() -> None:
    top = grid_item(1, 1, 64, 64)
    top.data, top.inline = top.inline, b""
    tile = Item.of(hevc())

    def file(*pieces: int) -> bytes:
        def places(start: int) -> list[bytes]:
            extents, position = [], start
            for piece in pieces:
                extents.append((position, piece))
                position += piece
            return [place(1, *extents), place(2, (position, len(tile.data)))]

        return placed([top, tile], places, [(b"dimg", 1, [2])])

    assert identify(file(12)).width == 64
    assert_refused(file(6, 6), "its description is in several pieces")


@pytest.mark.parametrize("listed", [[], [place(1)]], ids=["not listed", "in no piece"])
def test_an_item_that_lies_nowhere_is_refused(listed: list[bytes]) -> None:
    data = placed([Item.of(hevc())], lambda _: listed)
    assert_refused(data, "the place of its pixels is not given")


@pytest.mark.parametrize("elsewhere", [{"source": 1}, {"method": 1}, {"method": 2}])
def test_an_item_in_another_file_or_item_is_refused(elsewhere: dict[str, int]) -> None:
    coded = hevc()

    def places(start: int) -> list[bytes]:
        return [place(1, (start, len(coded.data)), **elsewhere)]

    data = placed([Item.of(coded)], places)
    assert_refused(data, "whose pixels are in another file", UnsupportedFormat)


def test_an_item_in_two_places_is_refused() -> None:
    coded = hevc()

    def places(start: int) -> list[bytes]:
        return [place(1, (start, len(coded.data)))] * 2

    assert_refused(placed([Item.of(coded)], places), "one of its items lies in two places")


def test_pixels_outside_of_the_media_are_refused() -> None:
    """There they would be blanked, or be served with what is not theirs."""
    coded = hevc()
    behind = box(b"free", coded.data)

    def file(shift: int) -> bytes:
        data = bytearray(file_of([Item.of(coded)], behind=behind))
        (table,) = heif_files.found(bytes(data), b"iloc")
        (start,) = struct.unpack_from(">I", data, table.stop - 8)
        struct.pack_into(">I", data, table.stop - 8, start + shift)
        return bytes(data)

    assert identify(file(0)).width == 64
    assert_refused(file(len(behind)), "its pixels lie outside of where they may")


def test_tiles_may_share_some_bytes_and_not_too_many() -> None:
    """Each would be read again."""
    message = struct.pack(">IH", 100_002, 39 << 9 | 1) + b"\xff" * 100_000
    tile = dataclasses.replace(hevc(), data=hevc().data + message)

    assert identify(heif_files.grid_file([tile] * 36, 6, 6)).width == 384
    data = heif_files.grid_file([tile] * 49, 7, 7)
    assert len(data) < 200_000
    assert_refused(data, "its items share too many bytes")


# --- items that others need ---------------------------------------------------------------------


def test_a_grid_without_tiles_is_refused() -> None:
    assert_refused(file_of([grid_item(1, 1, 64, 64)]), "tiles of its grid are missing")


def test_a_grid_of_a_tile_that_is_not_there_is_refused() -> None:
    data = file_of([grid_item(1, 1, 64, 64), Item.of(hevc())], [(b"dimg", 1, [3])])
    assert_refused(data, "one of its parts is missing")


def test_a_plane_that_does_not_say_what_it_is_for_is_no_transparency() -> None:
    plane = Item.of(hevc(64, 64, GREY))
    data = file_of([Item.of(hevc()), plane], [(b"auxl", 2, [1])])

    assert render(data)[0].content_type == "image/jpeg"
    assert pixels(data) == pixels(file_of([Item.of(hevc())]))


def test_the_transparency_of_a_tile_is_one_picture_of_its_size() -> None:
    def file(*alphas: Item, more: Sequence[Reference] = ()) -> bytes:
        items = [grid_item(1, 2, 128, 64), *[Item.of(hevc())] * 2, *alphas]
        references = [(b"dimg", 1, [2, 3]), (b"auxl", 4, [2]), (b"auxl", 5, [3]), *more]
        return file_of(items, references)

    right = Item.of(hevc(64, 64, GREY), heif_files.ALPHA)
    wrong = Item.of(hevc(128, 64, GREY), heif_files.ALPHA)
    grid = grid_item(1, 1, 64, 64, heif_files.ALPHA)

    assert identify(file(right, right)).width == 128
    assert_refused(file(right, wrong), "its transparency has another size")
    of_grids = file(right, grid, Item.of(hevc(64, 64, GREY)), more=[(b"dimg", 5, [6])])
    assert_refused(of_grids, "its transparency has another size")


def test_only_a_picture_in_layers_may_code_another_size() -> None:
    coded = dataclasses.replace(av1(128, 128), width=64, height=64)

    assert_refused(file_of([Item.of(coded)]), "its coded pixels have another size")
    assert identify(file_of([Item.of(coded, box(b"a1op", b"\0"))])).width == 64


@pytest.mark.parametrize("turn", [heif_files.turned(1), heif_files.mirrored(0)])
def test_an_avif_that_is_turned_before_it_is_cropped_is_refused(turn: bytes) -> None:
    crop = heif_files.aperture(32, 16)

    assert identify(file_of([Item.of(av1(), crop, turn)])).width in (16, 32)
    data = file_of([Item.of(av1(), turn, crop)])
    assert_refused(data, "turned before they are cropped", UnsupportedFormat)


# --- tables that are not there ------------------------------------------------------------------


def test_a_list_of_items_without_room_for_anything_is_refused() -> None:
    data = box(b"ftyp", b"heic" + bytes(4) + b"mif1heic") + box(b"meta", b"\0\0\0")
    assert_refused(data, "its list of items is empty")


@pytest.mark.parametrize("table", [b"pitm", b"iinf"])
def test_a_file_that_names_no_picture_is_refused(table: bytes) -> None:
    data = file_of([Item.of(hevc())]).replace(table, b"free")
    assert_refused(data, "without a still picture", UnsupportedFormat)


@pytest.mark.parametrize("coded", [hevc(), av1()], ids=["HEVC", "AV1"])
@pytest.mark.parametrize("order", ["+ipco ipma", "ipco+ipma", "ipco ipma+", "+ipma+ipco+", "64"])
def test_what_else_lies_among_the_properties_is_passed_over(coded: Coded, order: str) -> None:
    picture = file_of([Item.of(coded)])
    (properties,) = heif_files.found(picture, b"ipco")
    (associations,) = heif_files.found(picture, b"ipma")
    long = b"\0\0\0\1ipco" + (properties.stop - properties.start + 8).to_bytes(8, "big")
    parts = {
        "ipco": picture[properties],
        "ipma": picture[associations],
        "+": box(b"uuid", bytes(16) + SECRET),
        "64": long + picture[properties][8:] + box(b"free", SECRET) + picture[associations],
    }
    changed = b"".join(parts[part] for part in re.findall(r"ip..|64|\+", order))
    room = len(changed) - (associations.stop - properties.start)
    data = heif_files.with_box_behind(picture, b"iprp", bytes(room))
    start = properties.start
    data = data[:start] + changed + data[start + len(changed) :]

    served = render(data)[0].data

    assert pixels(data) == pixels(picture)
    assert SECRET in data and SECRET not in served


# --- sequences ----------------------------------------------------------------------------------


def sequence(mode: str = "RGB") -> bytes:
    frames = [Image.new(mode, (64, 64), colour) for colour in ("teal", "red")]
    if mode == "RGBA":
        for frame in frames:
            frame.putalpha(128)
    return samples.avif(frames[0], save_all=True, append_images=frames[1:], duration=100)


def number_at(data: bytes, kind: bytes, offset: int) -> int:
    (start, *_) = (place.start for place in heif_files.found(data, kind))
    return int.from_bytes(data[start + offset : start + offset + 4], "big")


def with_number(data: bytes, kind: bytes, offset: int, value: int, index: int = 0) -> bytes:
    """A number of four bytes in a box of this kind, counted from the box's start."""
    start = heif_files.found(data, kind)[index].start + offset
    return data[:start] + value.to_bytes(4, "big") + data[start + 4 :]


def frames_of(data: bytes) -> list[bytes]:
    return [frame.convert("RGB").tobytes() for frame, _ in samples.moving_frames(data)]


def track_of(entry: bytes) -> bytes:
    table = full_box(b"stsd", struct.pack(">I", 1) + entry)
    return box(b"trak", box(b"mdia", box(b"minf", box(b"stbl", table))))


def of_no_sequence_header() -> bytes:
    """Two frames of nothing but a temporal delimiter."""
    data = sequence()
    (entries,) = heif_files.found(data, b"stsd")
    configuration = data.index(b"av1C", entries.start)
    data = data[:configuration] + b"free" + data[configuration + 4 :]
    for index in range(2):
        data = with_number(data, b"stsz", 20 + 4 * index, 2)
    return with_number(data, b"stco", 16, len(data) + 8) + box(b"mdat", b"\x12\0" * 2)


CONTRADICTIONS = {
    "its alpha is of another size": (
        with_number(sequence("RGBA"), b"tkhd", 100, 32 << 16, index=1),
        "its transparency has another length or size",
    ),
    "a table in two places": (
        heif_files.with_box_behind(sequence(), b"minf", full_box(b"stts", bytes(4))),
        "a track of it has one of its tables twice",
    ),
    "a track of nothing": (
        heif_files.with_box_behind(sequence(), b"moov", track_of(box(b"av01", bytes(40)))),
        "a track of it does not say what it holds",
    ),
    "no places": (sequence().replace(b"stco", b"free"), "the places of its frames are not given"),
    "no sizes": (sequence().replace(b"stsz", b"free"), "the places of its frames are not given"),
    "no chunks": (sequence().replace(b"stsc", b"free"), "the places of its frames are not given"),
    "fewer frames than sizes": (
        with_number(sequence(), b"stsc", 20, 1), "it counts its frames in two ways"
    ),
    "chunks from nought": (
        with_number(sequence(), b"stsc", 16, 0), "the order of its frames makes no sense"
    ),
    "chunks behind the last": (
        with_number(sequence(), b"stsc", 16, 2), "the order of its frames makes no sense"
    ),
    "chunks of nothing": (
        with_number(sequence(), b"stsc", 20, 0), "the order of its frames makes no sense"
    ),
    "no sequence header": (
        of_no_sequence_header(), "it does not say how its frames are coded"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_sequence_that_contradicts_itself_is_refused(name: str) -> None:
    assert_refused(*CONTRADICTIONS[name])


def test_a_track_of_several_kinds_of_frames_does_not_move() -> None:
    data = with_number(sequence(), b"stsd", 12, 2)

    image = render(data)[0]

    assert not image.animated
    assert b"moov" not in image.data


def test_frames_may_lie_where_only_long_numbers_reach() -> None:
    data = sequence()
    head = full_box(b"co64", struct.pack(">I", 1))
    start = number_at(data, b"stco", 16) + len(head) + 8
    table = full_box(b"co64", struct.pack(">IQ", 1, start))
    data = heif_files.with_box_behind(data, b"stbl", table).replace(b"stco", b"free")

    image = render(data)[0]

    assert image.animated
    assert frames_of(image.data) == frames_of(sequence())


def test_what_a_track_says_of_others_is_not_served() -> None:
    reference = box(b"tref", box(b"cdsc", SECRET))
    data = heif_files.with_box_behind(sequence(), b"trak", reference)

    image = render(data)[0]

    assert SECRET not in image.data
    assert frames_of(image.data) == frames_of(sequence())


def test_what_a_sequence_says_of_its_frames_beside_their_look_is_not_served() -> None:
    data = heif_files.with_box_behind_entry(sequence(), box(b"uuid", bytes(16) + SECRET))

    image = render(data)[0]

    assert SECRET not in image.data
    assert frames_of(image.data) == frames_of(sequence())
