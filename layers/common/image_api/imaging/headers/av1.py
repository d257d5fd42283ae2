"""What AV1 says before it is decoded: the size of frames, and their number."""

from __future__ import annotations

from dataclasses import dataclass, field

from image_api.errors import DamagedImage
from image_api.imaging.headers.bits import BitReader
from image_api.imaging.headers.boxes import Cursor

_SEQUENCE_HEADER, _FRAME_HEADER, _FRAME = 1, 3, 6
_KEY_FRAME, _SWITCH_FRAME = 0, 3
_MAIN, _FULL_CHROMA, _PROFESSIONAL = range(3)
_SRGB_AS_IT_IS = 1 << 16 | 13 << 8
_SELECTED_BY_FRAMES = 2
_HEADER_BYTES = 256
_STEPS_OF_A_SEQUENCE_HEADER = 60
_STEPS_OF_A_FRAME_HEADER = 15


@dataclass(slots=True)
class Sequence:
    """A sequence header (5.5), as far as it is needed to bound the size of frames."""

    reduced: bool
    width: int = 0
    height: int = 0
    frames_may_be_larger: bool = False
    presentation_time_bits: int = 0
    bytes_per_pixel: float = 6
    """Of a decoded frame."""
    screen_content: int = _SELECTED_BY_FRAMES
    integer_motion: int = _SELECTED_BY_FRAMES
    frame_id_bits: int = 0


@dataclass(slots=True)
class Contents:
    frames: int = 0
    """To be decoded, shown or not."""
    sizes: set[tuple[int, int]] = field(default_factory=set)
    bytes_per_pixel: float = 0
    """The most of any sequence."""
    sequence: Sequence | None = None
    sequence_header: bytes = b""


def read_units(cursor: Cursor, contents: Contents) -> None:
    """All open bitstream units up to the cursor's end, counted in `contents`."""
    while cursor.left_bytes:
        header = cursor.number(1)
        if header & 4:
            cursor.skip(1)
        length = _leb128(cursor) if header & 2 else cursor.left_bytes
        start = cursor.position
        cursor.skip(length)
        kind = header >> 3 & 15
        if kind not in (_SEQUENCE_HEADER, _FRAME_HEADER, _FRAME):
            continue
        head = cursor.data[start : min(start + length, start + _HEADER_BYTES)]
        if kind != _SEQUENCE_HEADER:
            contents.frames += 1
            if contents.sequence and contents.sequence.frames_may_be_larger:
                cursor.budget.spend(_STEPS_OF_A_FRAME_HEADER)
                _check_frame(BitReader(head), contents.sequence)
        elif head != contents.sequence_header:
            cursor.budget.spend(_STEPS_OF_A_SEQUENCE_HEADER)
            contents.sequence_header = head
            contents.sequence = _sequence(BitReader(head))
            contents.sizes.add((contents.sequence.width, contents.sequence.height))
            contents.bytes_per_pixel = max(
                contents.bytes_per_pixel, contents.sequence.bytes_per_pixel
            )


def _leb128(cursor: Cursor) -> int:
    value = 0
    for index in range(8):
        byte = cursor.number(1)
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value
    raise DamagedImage("The image is damaged: the length of its coded pixels makes no sense")


def _sequence(reader: BitReader) -> Sequence:
    profile = reader.bits(3)
    reader.bits(1)
    sequence = Sequence(reduced=reader.flag())
    if sequence.reduced:
        reader.bits(5)
    else:
        _skip_operating_points(reader, sequence)
    width_bits, height_bits = reader.bits(4) + 1, reader.bits(4) + 1
    sequence.width, sequence.height = reader.bits(width_bits) + 1, reader.bits(height_bits) + 1
    sequence.frames_may_be_larger = not sequence.reduced and (
        1 << width_bits > 2 * sequence.width or 1 << height_bits > 2 * sequence.height
    )
    if sequence.reduced:
        reader.bits(3)
    else:
        _read_tools(reader, sequence)
    reader.bits(3)
    sequence.bytes_per_pixel = _bytes_per_pixel(reader, profile)
    return sequence


def _skip_operating_points(reader: BitReader, sequence: Sequence) -> None:
    delay_bits = 0
    has_model = False
    if reader.flag():
        reader.bits(32 + 32)
        has_equal_intervals = reader.flag()
        if has_equal_intervals:
            reader.exp_golomb()
        has_model = reader.flag()
        if has_model:
            delay_bits = reader.bits(5) + 1
            reader.bits(32 + 5)
            time_bits = reader.bits(5) + 1
            sequence.presentation_time_bits = 0 if has_equal_intervals else time_bits
    has_display_delay = reader.flag()
    for _ in range(reader.bits(5) + 1):
        reader.bits(12)
        if reader.bits(5) > 7:
            reader.bits(1)
        if has_model and reader.flag():
            reader.bits(2 * delay_bits + 1)
        if has_display_delay and reader.flag():
            reader.bits(4)


def _read_tools(reader: BitReader, sequence: Sequence) -> None:
    if reader.flag():
        delta_bits = reader.bits(4) + 2
        sequence.frame_id_bits = delta_bits + reader.bits(3) + 1
    reader.bits(3 + 4)
    has_order = reader.flag()
    if has_order:
        reader.bits(2)
    sequence.screen_content = _SELECTED_BY_FRAMES if reader.flag() else reader.bits(1)
    if sequence.screen_content and not reader.flag():
        sequence.integer_motion = reader.bits(1)
    if has_order:
        reader.bits(3)


def _bytes_per_pixel(reader: BitReader, profile: int) -> float:
    """From the colour configuration (5.5.2): how deep samples are, and how many of a pixel."""
    is_deep = reader.flag()
    has_twelve_bits = profile == _PROFESSIONAL and is_deep and reader.flag()
    sample_bytes = 2 if is_deep else 1
    if profile != _FULL_CHROMA and reader.flag():
        return sample_bytes
    colours = reader.bits(24) if reader.flag() else 0
    if profile == _MAIN:
        return sample_bytes * 1.5
    if profile == _FULL_CHROMA or colours == _SRGB_AS_IT_IS:
        return sample_bytes * 3
    reader.bits(1)
    if not has_twelve_bits:
        return sample_bytes * 2
    halves_width = reader.flag()
    return sample_bytes * (3 if not halves_width else 1.5 if reader.flag() else 2)


def _check_frame(reader: BitReader, sequence: Sequence) -> None:
    """Refuses a frame that may be larger than the sequence that it is in says."""
    if reader.flag():
        return  # Shows one that is there already.
    kind = reader.bits(2)
    is_shown = reader.flag()
    if is_shown:
        reader.bits(sequence.presentation_time_bits)
    else:
        reader.bits(1)
    if kind != _SWITCH_FRAME and not (kind == _KEY_FRAME and is_shown):
        reader.bits(1)
    reader.bits(1)
    screen_content = sequence.screen_content
    if screen_content == _SELECTED_BY_FRAMES:
        screen_content = reader.bits(1)
    if screen_content and sequence.integer_motion == _SELECTED_BY_FRAMES:
        reader.bits(1)
    reader.bits(sequence.frame_id_bits)
    if kind == _SWITCH_FRAME or reader.flag():
        raise DamagedImage("The image is damaged: its frames differ in size")
