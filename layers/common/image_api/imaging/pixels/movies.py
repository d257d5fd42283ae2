"""The frames of a picture that moves, one after another: all at once would fill the memory."""

from __future__ import annotations

from PIL import Image

from image_api.imaging.model import StoredPicture
from image_api.imaging.pixels.colours import profile_of, to_eight_bits
from image_api.imaging.pixels.decoding import open_image, refuse_damage


class Frames:
    """Decodes each as it is asked for, which costs least in their order."""

    def __init__(self, stored: StoredPicture, clean: bytes) -> None:
        self._stored = stored
        self._clean = clean
        self._source = open_image(stored.format, clean)
        self.profile = profile_of(self._source)
        self.loop: int | None = self._source.info.get("loop")
        # An APNG may begin with a picture for those who cannot play it.
        self._first = 1 if getattr(self._source, "default_image", False) else 0
        self.count = getattr(self._source, "n_frames", 1) - self._first
        self._canvas = stored.crop or (0, 0, stored.width, stored.height)

    def frame(self, index: int) -> Image.Image:
        """In eight bits, cropped, and neither turned nor in sRGB."""
        if self._first + index < self._source.tell():
            # A decoder that goes back has lost the palette, or what lay beneath a frame.
            self._source = open_image(self._stored.format, self._clean)
        with refuse_damage():
            self._source.seek(self._first + index)
            self._source.load()
            # A copy, because the decoder draws the next frame over this one.
            frame = self._source.copy()
        if self._canvas != (0, 0, *frame.size):
            frame = frame.crop(self._canvas)
        return to_eight_bits(frame)

    def survey(self) -> tuple[list[float], bool]:
        """How long each frame is shown, in milliseconds, and whether any is translucent."""
        durations_ms: list[float] = []
        translucent = False
        for index in range(self.count):
            frame = self.frame(index)
            durations_ms.append(self._source.info.get("duration", 0))
            translucent = translucent or frame.mode in ("LA", "RGBA")
        return durations_ms, translucent
