"""GIF (CompuServe GIF89a): a screen, then blocks: pictures, and extensions before them."""

from __future__ import annotations

from dataclasses import dataclass

from image_api.errors import DamagedImage
from image_api.imaging.container import GIF, Container, Kept
from image_api.imaging.model import check_size

_TRAILER, _EXTENSION, _PICTURE = 0x3B, 0x21, 0x2C
_PLAIN_TEXT, _GRAPHIC_CONTROL, _APPLICATION = 0x01, 0xF9, 0xFF
_LOOP = (b"NETSCAPE2.0", b"ANIMEXTS1.0")


@dataclass(slots=True)
class _Reader:
    data: bytes
    position: int = 0

    def take(self, count: int) -> bytes:
        end = self.position + count
        if end > len(self.data):
            raise DamagedImage("The GIF is cut off: its last block is incomplete")
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def take_colours(self, flags: int) -> None:
        if flags & 0x80:
            self.take(3 << ((flags & 7) + 1))

    def skip_sub_blocks(self) -> int:
        """Past the terminator; how many sub-blocks there were."""
        count, position = 0, self.position
        try:
            while size := self.data[position]:
                position += size + 1
                count += 1
        except IndexError as error:
            raise DamagedImage("The GIF is cut off: its last block is incomplete") from error
        self.position = position + 1
        return count


def inspect(data: bytes) -> Container:
    reader = _Reader(data)
    screen = reader.take(13)
    width, height = (int.from_bytes(screen[i : i + 2], "little") for i in (6, 8))
    reader.take_colours(screen[10])
    kept = Kept(data, [(0, reader.position)])
    control: tuple[int, int] | None = None
    frames = 0
    ended = False
    largest = (width, height)
    while reader.position < len(data):
        start = reader.position
        kind = reader.take(1)[0]
        if kind == _TRAILER:
            kept.keep(start, reader.position)
            ended = True
            break
        if kind == _EXTENSION:
            label = reader.take(1)[0]
            name = data[reader.position + 1 : reader.position + 12]
            sub_blocks = reader.skip_sub_blocks()
            if label == _GRAPHIC_CONTROL:
                control = (start, reader.position)
            elif label == _PLAIN_TEXT:
                # Nothing draws these any more; the control before it goes with it.
                control = None
            elif label == _APPLICATION and name in _LOOP and sub_blocks == 2:
                kept.keep(start, reader.position)
        elif kind == _PICTURE:
            place = reader.take(9)
            left, top, across, down = (
                int.from_bytes(place[i : i + 2], "little") for i in (0, 2, 4, 6)
            )
            if across == 0 or down == 0:
                raise DamagedImage("The GIF is damaged: a frame has no area")
            largest = (max(largest[0], left + across), max(largest[1], top + down))
            frames += 1
            if frames == 1:
                # Decoders widen the screen to the first frame.
                width, height = largest
            reader.take_colours(place[8])
            reader.take(1)
            reader.skip_sub_blocks()
            if control is not None:
                kept.keep(*control)
                control = None
            kept.keep(start, reader.position)
            check_size(*largest, frames)
        else:
            raise DamagedImage("The GIF is damaged: it holds an unknown block")
    if frames == 0:
        check_size(width, height)
        raise DamagedImage("The GIF is damaged or cut off: it holds no picture")
    if frames > 1 and not ended:
        # Some writers leave the last byte out; of an animation, frames may be missing too.
        raise DamagedImage("The GIF is cut off: its end is missing")
    return Container(
        GIF,
        data,
        width,
        height,
        frames=frames,
        web_safe=True,
        parts=None if kept.is_everything else kept.parts(),
    )
