"""What is read of AV1 and HEVC before they are decoded, of headers written bit by bit."""

from __future__ import annotations

import struct

import pytest

from image_api.errors import DamagedImage
from image_api.imaging.headers import av1
from image_api.imaging.headers.boxes import Budget, Cursor
from image_api.imaging.headers.formats import identify
from tests import heif_files
from tests.heif_files import Coded, Item
from tests.samples import box

WIDTH, HEIGHT = 96, 64


def bits(value: int, count: int) -> str:
    return f"{value:0{count}b}"


def exp_golomb(value: int) -> str:
    code = f"{value + 1:b}"
    return "0" * (len(code) - 1) + code


def packed(text: str) -> bytes:
    """With the bit that ends what it says, and up to a whole byte."""
    whole = text + "1"
    whole += "0" * (-len(whole) % 8)
    return int(whole, 2).to_bytes(len(whole) // 8, "big")


# --- AV1 ----------------------------------------------------------------------------------------

SEQUENCE_HEADER, FRAME_HEADER, TILE_GROUP, FRAME = 1, 3, 4, 6
KEY, INTER, INTRA_ONLY, SWITCH = range(4)
PLAIN = "0" + "0" + bits(0, 5) + bits(0, 12) + bits(4, 5)
"""No timing, no delays, one operating point."""
PLAIN_TOOLS = "0" + bits(0, 7) + "0" + "1" + "1"
"""No frame numbers, no order; frames choose whether they are screen content."""
FULL_COLOUR = "1" + "1" + "0"
"""Deep samples and a single one of a pixel, so that no bit before may be missing."""


def unit(kind: int, body: bytes) -> bytes:
    return bytes([kind << 3 | 2, len(body)]) + body


def sequence_header(
    points: str = PLAIN,
    tools: str = PLAIN_TOOLS,
    colours: str = FULL_COLOUR,
    *,
    profile: int = 0,
    size_bits: tuple[int, int] = (7, 7),
) -> bytes:
    across, down = size_bits
    size = (
        bits(across - 1, 4) + bits(down - 1, 4) + bits(WIDTH - 1, across) + bits(HEIGHT - 1, down)
    )
    start = bits(profile, 3) + "1" + "0" + points + size
    return unit(SEQUENCE_HEADER, packed(start + tools + "000" + colours))


def reduced_sequence_header(colours: str) -> bytes:
    size = bits(15, 4) * 2 + bits(WIDTH - 1, 16) + bits(HEIGHT - 1, 16)
    return unit(SEQUENCE_HEADER, packed("000" + "1" + "1" + bits(4, 5) + size + "000000" + colours))


def still(header: bytes, data: bytes) -> bytes:
    configuration = box(b"av1C", b"\x81\0\0\0" + header)
    return heif_files.file_of([Item.of(Coded(b"av01", WIDTH, HEIGHT, configuration, data))])


def contents_of(data: bytes) -> av1.Contents:
    contents = av1.Contents()
    av1.read_units(Cursor(data, 0, len(data), Budget()), contents)
    return contents


def timed(*, equal: bool, model: bool) -> str:
    """An operating point with a tier and all that there may be of timing."""
    intervals = "1" + exp_golomb(4) if equal else "0"
    timing = "1" + "01" * 32 + intervals
    if model:
        # Delays of 10 bits, presentation times of 21.
        timing += "1" + bits(9, 5) + "10" * 16 + bits(17, 5) + bits(20, 5)
    else:
        timing += "0"
    point = "01" * 6 + bits(8, 5) + "1"
    if model:
        point += "1" + "01" * 10 + "1"
    return timing + "1" + bits(1, 5) + (point + "1" + "0110") * 2


@pytest.mark.parametrize("model", [False, True])
@pytest.mark.parametrize("equal", [False, True])
def test_the_size_is_found_behind_any_timing(equal: bool, model: bool) -> None:
    contents = contents_of(sequence_header(timed(equal=equal, model=model)))

    assert contents.sizes == {(WIDTH, HEIGHT)}
    assert contents.bytes_per_pixel == 2
    assert contents.sequence is not None
    expected = 21 if model and not equal else 0
    assert contents.sequence.presentation_time_bits == expected


@pytest.mark.parametrize("order", ["0", "1" + "10"])
@pytest.mark.parametrize("numbers", ["0", "1" + bits(9, 4) + bits(5, 3)])
@pytest.mark.parametrize("screen", ["1" + "1", "1" + "0" + "1", "0" + "1" + "0" + "0", "0" + "0"])
def test_the_colours_are_found_behind_any_tools(numbers: str, order: str, screen: str) -> None:
    tools = numbers + "1010101" + order + screen + ("010" if order[0] == "1" else "")

    contents = contents_of(sequence_header(tools=tools))

    assert contents.bytes_per_pixel == 2
    assert contents.sequence is not None
    assert contents.sequence.frame_id_bits == (17 if numbers[0] == "1" else 0)


SRGB = "1" + bits(1, 8) + bits(13, 8) + bits(0, 8)
BT_709 = "1" + bits(1, 8) + bits(1, 8) + bits(1, 8)


@pytest.mark.parametrize(
    ("profile", "colours", "expected"),
    [
        (0, "0" + "1" + "0", 1),
        (0, "0" + "0" + BT_709 + "1", 1.5),
        (0, "1" + "0" + "0" + "1", 3),
        (1, "0" + "0" + "1", 3),
        (1, "1" + SRGB, 6),
        (2, "0" + "0" + BT_709 + "1", 2),
        (2, "1" + "0" + "0" + "0" + "1", 4),
        (2, "1" + "1" + "0" + SRGB, 6),
        (2, "1" + "1" + "1" + "0", 2),
        (2, "1" + "1" + "0" + "0" + "1" + "0", 6),
        (2, "1" + "1" + "0" + BT_709 + "1" + "1" + "0", 4),
        (2, "1" + "1" + "0" + "0" + "1" + "1" + "1", 3),
    ],
    ids=[
        "grey", "4:2:0", "4:2:0 of 10 bits", "4:4:4", "sRGB of 10 bits", "4:2:2",
        "4:2:2 of 10 bits", "sRGB of 12 bits", "grey of 12 bits", "4:4:4 of 12 bits",
        "4:2:2 of 12 bits", "4:2:0 of 12 bits",
    ],
)  # fmt: skip
def test_av1_tells_the_bytes_of_a_decoded_pixel(
    profile: int, colours: str, expected: float
) -> None:
    header = sequence_header(colours=colours, profile=profile)

    assert contents_of(header).bytes_per_pixel == expected


def frame(
    kind: int, *, shown: bool, larger: bool, times: int = 0, numbers: int = 0, screen: str = "1"
) -> bytes:
    """All bits but those of interest say the opposite of `larger`, so that none can be mistaken.

    `screen`: as the sequence has it, of `PLAIN_TOOLS` when it is 1.
    """
    other = "0" if larger else "1"
    head = "0" + bits(kind, 2) + str(int(shown)) + other * (times if shown else 1)
    if kind != SWITCH and not (kind == KEY and shown):
        head += other
    head += other
    head += {"1": other + ("1" if other == "1" else ""), "00": "", "011": other}[screen]
    head += other * numbers
    if kind != SWITCH:
        head += str(int(larger))
    return unit(FRAME, packed(head + other * 40))


ROOMY = 9, 9
"""Bits of a width and height that leave room for frames of several times the size."""
SEQUENCES: dict[str, tuple[str, str, dict[str, int], str]] = {
    "plain": (PLAIN, PLAIN_TOOLS, {}, "1"),
    "timed": (timed(equal=False, model=True), PLAIN_TOOLS, {"times": 21}, "1"),
    "timed equally": (timed(equal=True, model=True), PLAIN_TOOLS, {}, "1"),
    "numbered": (PLAIN, "1" + bits(9, 4) + bits(5, 3) + PLAIN_TOOLS[1:], {"numbers": 17}, "1"),
    "without screen content": (PLAIN, "0" + bits(0, 7) + "0" + "00", {}, "00"),
    "of screen content": (PLAIN, "0" + bits(0, 7) + "0" + "011", {}, "011"),
}


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("shown", [False, True])
@pytest.mark.parametrize("kind", [KEY, INTER, INTRA_ONLY])
def test_a_frame_larger_than_all_of_them_is_refused(kind: int, shown: bool, name: str) -> None:
    points, tools, lengths, screen = SEQUENCES[name]
    header = sequence_header(points, tools, size_bits=ROOMY)

    def made(*, larger: bool) -> bytes:
        data = frame(kind, shown=shown, larger=larger, screen=screen, **lengths)
        return still(header, data)

    assert identify(made(larger=False)).width == WIDTH
    with pytest.raises(DamagedImage, match="its frames differ in size"):
        identify(made(larger=True))


def test_a_frame_that_may_always_have_another_size_is_refused() -> None:
    header = sequence_header(size_bits=ROOMY)
    with pytest.raises(DamagedImage, match="its frames differ in size"):
        identify(still(header, frame(SWITCH, shown=True, larger=True)))


def test_a_frame_that_is_shown_again_has_no_size_of_its_own() -> None:
    again = unit(FRAME_HEADER, packed("1" + "111" + "1" * 20))
    data = frame(KEY, shown=True, larger=False) + again

    assert identify(still(sequence_header(size_bits=ROOMY), data)).width == WIDTH


@pytest.mark.parametrize("size_bits", [(9, 7), (7, 9)])
def test_room_in_one_direction_is_room_for_a_larger_frame(size_bits: tuple[int, int]) -> None:
    header = sequence_header(size_bits=size_bits)
    with pytest.raises(DamagedImage, match="its frames differ in size"):
        identify(still(header, frame(KEY, shown=True, larger=True)))


def test_frames_without_room_to_be_much_larger_are_not_looked_into() -> None:
    data = frame(KEY, shown=True, larger=True)

    assert identify(still(sequence_header(), data)).width == WIDTH


def test_a_reduced_header_tells_size_and_colours_and_has_no_larger_frames() -> None:
    data = unit(FRAME, b"\xff" * 8)
    header = reduced_sequence_header("0" + "0" + "0" + "1")

    assert contents_of(header).bytes_per_pixel == 1.5
    assert identify(still(header, data)).width == WIDTH


def test_units_of_a_layer_and_of_long_lengths_are_read() -> None:
    head = packed("0" * 40)
    layered = bytes([FRAME << 3 | 4 | 2, 0x20, len(head)]) + head
    long = bytes([FRAME << 3 | 2, 0x80 | 72, 0x81, 0]) + head.ljust(200, b"\0")
    to_the_end = bytes([FRAME << 3]) + head

    contents = contents_of(sequence_header() + layered + long + to_the_end)

    assert contents.frames == 3
    assert contents.sizes == {(WIDTH, HEIGHT)}


def test_only_frames_count_as_frames() -> None:
    tiles = unit(TILE_GROUP, bytes(9))

    contents = contents_of(sequence_header() + unit(FRAME_HEADER, packed("0" * 40)) + tiles * 5)

    assert contents.frames == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (bytes([FRAME << 3 | 2]) + b"\xff" * 8, "the length of its coded pixels makes no sense"),
        (bytes([FRAME << 3 | 2, 9]) + bytes(8), "incomplete"),
        (unit(SEQUENCE_HEADER, sequence_header()[2:5]), "a header of its coded pixels is incomp"),
        (
            unit(SEQUENCE_HEADER, packed("00010" + "1" + "01" * 32 + "1" + "0" * 33 + "1" * 99)),
            "its coded pixels begin with nonsense",
        ),
    ],
    ids=["endless length", "cut off", "cut-off sequence header", "endless number"],
)
def test_av1_that_makes_no_sense_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(DamagedImage, match=words):
        identify(still(sequence_header(), data))


# --- HEVC ---------------------------------------------------------------------------------------

SLICE, PARAMETERS = 19, 33
GREY, HALF_BOTH, HALF_WIDTH, FULL = range(4)


def nal(kind: int, body: bytes, layer: int = 0) -> bytes:
    escaped = b""
    for byte in body:
        if escaped[-2:] == b"\0\0" and byte <= 3:
            escaped += b"\3"
        escaped += bytes([byte])
    return struct.pack(">H", kind << 9 | layer << 3 | 1) + escaped


def parameters(
    width: int = WIDTH,
    height: int = HEIGHT,
    *,
    chroma: int = HALF_BOTH,
    window: tuple[int, int, int, int] | None = None,
    sub_layers: tuple[str, ...] = (),
    filler: str = "10",
    layer: int = 0,
) -> bytes:
    """`sub_layers`: for each whether it has a profile, and whether a level."""
    text = bits(0, 4) + bits(len(sub_layers), 3) + "1" + filler * 48 + "".join(sub_layers)
    if sub_layers:
        text += "00" * (8 - len(sub_layers))
    for described in sub_layers:
        text += filler * (44 * int(described[0]) + 4 * int(described[1]))
    text += exp_golomb(0) + exp_golomb(chroma) + ("1" if chroma == FULL else "")
    text += exp_golomb(width) + exp_golomb(height)
    text += "0" if window is None else "1" + "".join(exp_golomb(side) for side in window)
    return nal(PARAMETERS, packed(text), layer)


def heic(stored: bytes, *units: bytes, size: tuple[int, int] = (WIDTH, HEIGHT)) -> bytes:
    """One set of parameters beside the pixels, and these units as pixels."""
    head = bytes(21) + b"\3\1" + struct.pack(">B2H", PARAMETERS, 1, len(stored))
    data = b"".join(len(each).to_bytes(4, "big") + each for each in units)
    return heif_files.file_of([Item.of(Coded(b"hvc1", *size, box(b"hvcC", head + stored), data))])


PICTURE = nal(SLICE, b"\x80" + bytes(4) + b"\1")


@pytest.mark.parametrize(
    "sub_layers", [("00",), ("10",), ("01",), ("10", "01"), ("11", "00", "01", "10", "11", "11")]
)
def test_the_size_is_found_behind_any_sub_layers(sub_layers: tuple[str, ...]) -> None:
    assert identify(heic(parameters(sub_layers=sub_layers), PICTURE)).width == WIDTH


def test_bytes_that_keep_headers_from_looking_like_starts_are_passed_over() -> None:
    stored = parameters(filler="00")
    assert stored.count(b"\0\0\3") == 5

    assert identify(heic(stored, PICTURE)).width == WIDTH


@pytest.mark.parametrize(
    ("chroma", "across", "down"),
    [(GREY, 1, 1), (HALF_BOTH, 2, 2), (HALF_WIDTH, 2, 1), (FULL, 1, 1)],
)
def test_the_window_is_counted_in_samples_of_colour(chroma: int, across: int, down: int) -> None:
    stored = parameters(chroma=chroma, window=(1, 2, 3, 5))
    size = WIDTH - 3 * across, HEIGHT - 8 * down

    header = identify(heic(stored, PICTURE, size=size))

    assert (header.width, header.height) == size
    with pytest.raises(DamagedImage, match="its coded pixels have another size"):
        identify(heic(stored, PICTURE))


@pytest.mark.parametrize(
    "window", [(WIDTH // 2, 0, 0, 0), (0, WIDTH, 0, 0), (0, 0, HEIGHT // 2, 0), (0, 0, 0, 999)]
)
def test_a_window_that_leaves_nothing_is_refused(window: tuple[int, int, int, int]) -> None:
    with pytest.raises(DamagedImage, match="its coded pixels have no size"):
        identify(heic(parameters(window=window), PICTURE))


def test_parameters_among_the_pixels_count_too() -> None:
    assert identify(heic(parameters(), parameters(), PICTURE)).width == WIDTH
    with pytest.raises(DamagedImage, match="its coded pixels have another size"):
        identify(heic(parameters(), parameters(width=2 * WIDTH), PICTURE))


def test_another_layer_has_its_own_size_and_pictures() -> None:
    other = nal(SLICE, b"\x80" + bytes(4) + b"\1", layer=1)
    others = [parameters(width=2 * WIDTH, layer=1), other, other]

    assert identify(heic(parameters(), PICTURE, *others)).width == WIDTH
    with pytest.raises(DamagedImage, match="more is coded than one picture"):
        identify(heic(parameters(), PICTURE, PICTURE))


def test_units_too_short_to_say_anything_are_passed_over() -> None:
    assert identify(heic(parameters(), PICTURE, b"", b"\x26", b"\x26\1")).width == WIDTH


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        (parameters()[:12], "a header of its coded pixels is incomplete"),
        (parameters()[:15] + bytes(9), "its coded pixels begin with nonsense"),
    ],
    ids=["cut off", "endless number"],
)
def test_hevc_that_makes_no_sense_is_refused(stored: bytes, words: str) -> None:
    with pytest.raises(DamagedImage, match=words):
        identify(heic(stored, PICTURE))
