"""The `moov` box of an AVIF sequence (ISO/IEC 14496-12): tracks, and where their samples lie."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from image_api.errors import DamagedImage, TooManyPixels
from image_api.imaging.headers import av1
from image_api.imaging.headers.boxes import Box, Budget, Cursor, boxes_in, only_one_each
from image_api.imaging.model import MAX_AVIF_FRAMES_BYTES, MAX_FRAMES, check_size

_PICTURES = (b"pict", b"vide")
_CONTAINERS = {b"mdia", b"minf", b"stbl"}
_SAMPLE_TABLES = {b"stsd", b"stsc", b"stsz"}
_SAMPLE_ENTRY_BYTES = 78
_FRAMES_IN_MEMORY = 10
_REPEATABLE = frozenset({b"free", b"skip", b"uuid", b"sbgp", b"sgpd", b"colr"})


@dataclass(slots=True)
class Track:
    box: Box
    number: int = 0
    handler: bytes = b""
    codec: bytes = b""
    size: tuple[int, int] = (0, 0)
    plane_of: int = 0
    boxes: list[Box] = field(default_factory=list)
    """All boxes within, but for those of the next four."""
    references: list[Box] = field(default_factory=list)
    """To other tracks."""
    sources: list[Box] = field(default_factory=list)
    """The files that its samples are in, which is this one."""
    entry: Box | None = None
    properties: list[Box] = field(default_factory=list)
    """Those of the sample entry, which are as those of an item."""
    samples: list[tuple[int, int]] = field(default_factory=list)

    def find(self, kind: bytes) -> Box | None:
        return next((box for box in self.boxes if box.kind == kind), None)


@dataclass(slots=True)
class Movie:
    box: Box
    boxes: list[Box]
    tracks: list[Track]
    """Those to be shown, in AV1: the colours, and their alpha if there is any."""

    @property
    def frames(self) -> int:
        return len(self.tracks[0].samples)


def read_movie(data: bytes, box: Box, end: int, budget: Budget) -> Movie | None:
    """None where no track holds pictures. `end` is where the file's boxes end."""
    boxes = only_one_each(
        boxes_in(data, box.body, box.end, budget), frozenset({b"trak"}) | _REPEATABLE
    )
    tracks = [_read_track(data, each, budget) for each in boxes if each.kind == b"trak"]
    pictures = [track for track in tracks if track.codec == b"av01" and track.number]
    shown = [
        track
        for handler in _PICTURES
        for track in pictures
        if track.handler == handler and not track.plane_of
    ]
    if not shown:
        return None
    colours = shown[0]
    alpha = next((track for track in pictures if track.plane_of == colours.number), None)
    movie = Movie(box, boxes, [colours] if alpha is None else [colours, alpha])
    for track in movie.tracks:
        _read_samples(data, track, end, budget)
    if len({(track.size, len(track.samples)) for track in movie.tracks}) != 1:
        raise DamagedImage("The image is damaged: its transparency has another length or size")
    check_size(*colours.size, movie.frames)
    _check_memory(colours.size, [_bytes_per_pixel(data, track, budget) for track in movie.tracks])
    return movie


def _check_memory(size: tuple[int, int], bytes_per_pixel: list[float]) -> None:
    width, height = size
    if width * height * sum(bytes_per_pixel) * _FRAMES_IN_MEMORY > MAX_AVIF_FRAMES_BYTES:
        raise TooManyPixels(
            f"The animation has {width}x{height} pixels, too many at this bit depth; "
            "export it smaller, or with 8 bits for each colour"
        )


def _read_track(data: bytes, trak: Box, budget: Budget) -> Track:
    track = Track(trak)
    waiting = [trak]
    while waiting:
        parent = waiting.pop()
        inside = only_one_each(boxes_in(data, parent.body, parent.end, budget), _REPEATABLE)
        track.boxes += inside
        waiting += [box for box in inside if box.kind in _CONTAINERS]
    if len({box.kind for box in track.boxes} - _REPEATABLE) != len(
        [box for box in track.boxes if box.kind not in _REPEATABLE]
    ):
        raise DamagedImage("The image is damaged: a track of it has one of its tables twice")
    for box in track.boxes:
        cursor = Cursor(data, box.body, box.end, budget)
        if box.kind == b"tkhd":
            _read_track_header(cursor, track)
        elif box.kind == b"hdlr":
            cursor.skip(8)
            position = cursor.position
            cursor.skip(4)
            track.handler = data[position : cursor.position]
        elif box.kind == b"tref":
            track.references = list(boxes_in(data, box.body, box.end, budget))
            for reference in track.references:
                if reference.kind == b"auxl":
                    one = Cursor(data, reference.body, reference.end, budget)
                    track.plane_of = one.number(4)
        elif box.kind == b"dinf":
            for table in boxes_in(data, box.body, box.end, budget):
                one = Cursor(data, table.body, table.end, budget)
                one.skip(8)
                track.sources += boxes_in(data, one.position, table.end, budget)
        elif box.kind == b"stsd":
            _read_sample_entry(cursor, track)
    return track


def _read_track_header(cursor: Cursor, track: Track) -> None:
    version, _ = cursor.version_and_flags()
    cursor.skip(16 if version else 8)
    track.number = cursor.number(4)
    cursor.skip(4 + (8 if version else 4) + 16 + 36)
    track.size = cursor.number(4) >> 16, cursor.number(4) >> 16


def _read_sample_entry(cursor: Cursor, track: Track) -> None:
    cursor.version_and_flags()
    count = cursor.number(4)
    entries = list(boxes_in(cursor.data, cursor.position, cursor.end, cursor.budget))
    if count != len(entries) or count != 1:
        return  # Pictures of several kinds in turn: as good as none.
    (entry,) = entries
    if entry.kind != b"av01":
        return
    start = entry.body + _SAMPLE_ENTRY_BYTES
    if start > entry.end:
        raise DamagedImage("The image is damaged: a track of it does not say what it holds")
    track.entry = entry
    track.codec = entry.kind
    track.properties = list(boxes_in(cursor.data, start, entry.end, cursor.budget))


def _read_samples(data: bytes, track: Track, end: int, budget: Budget) -> None:
    offsets = _table(data, track, b"stco", budget) or _table(data, track, b"co64", budget)
    if offsets is None or any(track.find(kind) is None for kind in _SAMPLE_TABLES):
        raise DamagedImage("The image is damaged: the places of its frames are not given")
    sizes = _sample_sizes(data, track, budget)
    runs = _table(data, track, b"stsc", budget) or ()
    next_sample = 0
    for first, stop, of_each in _chunk_runs(runs, len(offsets)):
        for offset in offsets[first:stop]:
            position = offset
            for size in sizes[next_sample : next_sample + of_each]:
                track.samples.append((position, position + size))
                position += size
            next_sample += of_each
            if next_sample > len(sizes):
                raise DamagedImage("The image is damaged: it counts its frames in two ways")
    if next_sample != len(sizes) or not sizes:
        raise DamagedImage("The image is damaged: it counts its frames in two ways")
    if any(start == stop or stop > end for start, stop in track.samples):
        raise DamagedImage("The image is cut off: frames are missing")


def _table(data: bytes, track: Track, kind: bytes, budget: Budget) -> tuple[int, ...] | None:
    """The numbers of a table that consists of nothing else; three in a row for `stsc`."""
    box = track.find(kind)
    if box is None:
        return None
    cursor = Cursor(data, box.body, box.end, budget)
    cursor.version_and_flags()
    count = _checked_count(cursor.number(4))
    return cursor.numbers(3 * count if kind == b"stsc" else count, 8 if kind == b"co64" else 4)


def _sample_sizes(data: bytes, track: Track, budget: Budget) -> tuple[int, ...]:
    box = track.find(b"stsz")
    assert box is not None
    cursor = Cursor(data, box.body, box.end, budget)
    cursor.version_and_flags()
    size = cursor.number(4)
    count = _checked_count(cursor.number(4))
    return (size,) * count if size else cursor.numbers(count, 4)


def _checked_count(count: int) -> int:
    if count > MAX_FRAMES:
        check_size(1, 1, count)
    return count


def _chunk_runs(runs: tuple[int, ...], chunks: int) -> Iterable[tuple[int, int, int]]:
    """Ranges of chunks that hold the same number of samples, and that number."""
    firsts = runs[::3]
    ends = [*firsts[1:], chunks + 1]
    for first, end, of_each in zip(firsts, ends, runs[1::3], strict=True):
        if not (1 <= first < end <= chunks + 1 and of_each):
            raise DamagedImage("The image is damaged: the order of its frames makes no sense")
        yield first - 1, end - 1, of_each


def _bytes_per_pixel(data: bytes, track: Track, budget: Budget) -> float:
    """Of a decoded frame. Refuses what codes more than it shows: hidden frames are rare."""
    contents = av1.Contents()
    for box in track.properties:
        if box.kind == b"av1C":
            cursor = Cursor(data, box.body, box.end, budget)
            cursor.skip(4)
            av1.read_units(cursor, contents)
    for start, stop in track.samples:
        av1.read_units(Cursor(data, start, stop, budget), contents)
    if contents.sizes - {track.size}:
        raise DamagedImage("The image is damaged: its coded frames have another size")
    if contents.frames > 2 * len(track.samples) + 2:
        raise DamagedImage("The image is damaged: it has more frames than it shows")
    if contents.sequence is None:
        raise DamagedImage("The image is damaged: it does not say how its frames are coded")
    return contents.bytes_per_pixel
