"""Whether a JPEG's scans hold all of its pixels, which libjpeg says only in warnings.

libjpeg makes up what is missing, in grey, and Pillow drops its warnings. But a decoder that is fed
piece by piece asks for more where data is missing; so it gets the end marker, at which it would
begin to make things up, only when it has all its pixels.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

from PIL import Image, JpegImagePlugin

from image_api.errors import DamagedImage
from image_api.imaging.headers import jpeg

# A decoder looks up to eight bytes ahead. Ones are no code, so these add at most two blocks.
_LOOKED_AHEAD_AT = b"\xff\0" * 8
_END_OF_IMAGE = b"\xff\xd9"
# What may follow the last pixel within its scan: some cameras leave a little.
_REST_BYTES = 512
# To as many rows some encoders of video fill up a picture.
_ROWS_OF_ENCODERS = (16, 32, 64)


def load(image: JpegImagePlugin.JpegImageFile, clean: bytes) -> None:
    """As `image.load()`, of a cleaned file; DamagedImage where pixels are missing, or where data is
    left, as it is when something in between has been lost or overwritten."""
    scans = jpeg.scans_of(clean)
    if scans.are_arithmetic:
        image.load()
        complete = True
    elif scans.are_one:
        complete = _decode_one(image, clean, scans) or _has_more_rows(clean, scans)
    else:
        complete = _decode_several(image, clean, scans)
    if not complete:
        raise DamagedImage("The JPEG is damaged: its pixels do not fit its data")


class _Decoder:
    """Pillow's, one call of which says how far it came."""

    def __init__(self, image: JpegImagePlugin.JpegImageFile) -> None:
        # Pillow's own loop keeps to itself how much of its input a decoder has taken.
        tile = image.tile[0]
        self._decoder: Any = Image._getdecoder(
            image.mode, tile.codec_name, tile.args, image.decoderconfig
        )
        image.load_prepare()
        self._decoder.setimage(image.im, tile.extents)
        self._rest = b""
        image.tile = []
        image.fp = None

    def is_done_with(self, data: bytes | memoryview) -> bool:
        """Whether it has all pixels, after this much more."""
        data = self._rest + data if self._rest else data
        taken, error = self._decoder.decode(data)
        if error < 0:
            raise DamagedImage("The JPEG is damaged: it cannot be decoded")
        self._rest = b"" if taken < 0 else bytes(data[taken:])
        return bool(taken < 0)

    @property
    def took_all(self) -> bool:
        return not self._rest

    def close(self) -> None:
        self._decoder.cleanup()


def _decode_one(image: JpegImagePlugin.JpegImageFile, clean: bytes, scans: jpeg.Scans) -> bool:
    """False where the picture ends long before its data."""
    view = memoryview(clean)
    rest = max(scans.start, scans.end - _REST_BYTES)
    decoder = _Decoder(image)
    try:
        if decoder.is_done_with(view[:rest]):
            # Padding is of one byte, or of stuffed ones.
            return len(set(view[rest : scans.end])) <= 2
        if not decoder.is_done_with(view[rest : scans.end]) and not decoder.is_done_with(
            _LOOKED_AHEAD_AT
        ):
            raise DamagedImage("The JPEG is damaged or cut off: pixels are missing")
    finally:
        decoder.close()
    return True


def _decode_several(image: JpegImagePlugin.JpegImageFile, clean: bytes, scans: jpeg.Scans) -> bool:
    """Of progressive pictures and such: reads all scans before it makes the first pixel.

    False where the last scan is incomplete: then it takes nothing less than a block, while one
    that looks for the next marker throws each byte away.
    """
    decoder = _Decoder(image)
    try:
        for piece in (memoryview(clean)[: scans.end], _LOOKED_AHEAD_AT, b"\0"):
            # None of them has the end marker, without which it is never done.
            decoder.is_done_with(piece)
        return decoder.took_all and decoder.is_done_with(_END_OF_IMAGE)
    finally:
        decoder.close()


def _has_more_rows(clean: bytes, scans: jpeg.Scans) -> bool:
    """Whether what is left are rows below the picture."""
    at = scans.height_at
    height = int.from_bytes(clean[at : at + 2], "big")
    for rows in _ROWS_OF_ENCODERS:
        taller = -(-height // rows) * rows
        if height < taller < 65_536:
            patched = clean[:at] + taller.to_bytes(2, "big") + clean[at + 2 :]
            again = JpegImagePlugin.JpegImageFile(BytesIO(patched))
            again.draft(None, (1, 1))
            try:
                if _decode_one(again, patched, scans):
                    return True
            except DamagedImage:
                continue
    return False
