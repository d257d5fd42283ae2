"""HEIC, HEIF and AVIF beyond what encoders write: what is accepted, and what is served of it."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable
from io import BytesIO

import pillow_heif
import pytest
from PIL import Image, ImageChops, ImageStat

from image_api.errors import DamagedImage, InvalidImage, TooManyPixels, UnsupportedFormat
from image_api.imaging import Rendition
from image_api.imaging.headers import av1 as av1_reader
from image_api.imaging.headers import formats, heif_movies
from image_api.imaging.headers.boxes import Budget, Cursor
from image_api.imaging.headers.formats import identify
from image_api.imaging.headers.icc import clean_profile
from image_api.imaging.pixels import encoding
from image_api.imaging.pixels.colours import to_srgb
from image_api.imaging.pixels.rendering import render
from tests import heif_files, samples
from tests.heif_files import Coded, Item, av1, grid_file, grid_item, hevc
from tests.samples import box

Coder = Callable[..., Coded]
SECRET = b"Ada Lovelace, 12 St James's Square"
RED, TEAL = (200, 60, 30), (0, 128, 128)


def mean_colours(rendition: Rendition) -> list[float]:
    return ImageStat.Stat(samples.opened(rendition.data).convert("RGBA")).mean


def assert_plain(data: bytes, size: tuple[int, int], colour: tuple[int, ...]) -> None:
    """Each rendition is of this one colour, and the header tells the image's size."""
    header = identify(data)
    assert (header.width, header.height) == size
    renditions = render(data)
    assert (renditions[0].width, renditions[0].height) == size
    for rendition in renditions:
        picture = samples.opened(rendition.data)
        assert picture.size == (rendition.width, rendition.height)
        expected = (*colour, 255)[:4]
        ground = Image.new("RGBA", picture.size, expected)
        difference = ImageChops.difference(picture.convert("RGBA"), ground)
        assert max(high for _, high in ImageStat.Stat(difference).extrema) <= 8


# --- memory of the decoder ----------------------------------------------------------------------


@pytest.mark.parametrize("side", [16, 600])
@pytest.mark.parametrize(
    ("mode", "bits", "pixel", "expected"),
    [
        ("L", 8, b"\xb4", (180, 180, 180)),
        ("LA", 8, b"\xb4\x80", (180, 180, 180, 128)),
        ("RGB", 8, b"\xc8\x1e\x1e", (200, 30, 30)),
        ("RGBA", 8, b"\xc8\x1e\x1e\x80", (200, 30, 30, 128)),
        ("RGBa", 8, b"\x64\x0f\x0f\x80", (200, 30, 30, 128)),
        *(
            row
            for bits in (10, 12)
            for row in (
                ("I;16", bits, b"\0\xb4", (180, 180, 180)),
                ("LA;16", bits, b"\0\xb4\0\x80", (180, 180, 180, 128)),
                ("RGB;16", bits, b"\0\xc8\0\x1e\0\x1e", (200, 30, 30)),
                ("RGBA;16", bits, b"\0\xc8\0\x1e\0\x1e\0\x80", (200, 30, 30, 128)),
            )
        ),
    ],
)
def test_a_heic_of_any_mode_shows_its_own_pixels(
    mode: str, bits: int, pixel: bytes, expected: tuple[int, ...], side: int
) -> None:
    """And not what the memory of the process held before."""
    output = BytesIO()
    heif = pillow_heif.from_bytes(mode, (side, side), pixel * side * side)
    heif.save(output, quality=-1, chroma=444, bit_depth=bits)

    assert_plain(output.getvalue(), (side, side), expected)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_a_heic_is_decoded_pixel_for_pixel(mode: str) -> None:
    picture = samples.translucent(150, 130).convert(mode)
    data = samples.heic(picture, quality=-1, chroma=444, matrix_coefficients=0)

    clean = formats.clean(data)
    with Image.open(BytesIO(data)) as expected:
        expected.load()

    assert render(data)[0].data == render(clean)[0].data
    difference = ImageChops.difference(
        samples.opened(clean).convert("RGBA"), expected.convert("RGBA")
    )
    assert difference.getbbox(alpha_only=False) is None


# --- derived items ------------------------------------------------------------------------------


@pytest.mark.parametrize("coded", [hevc, av1])
@pytest.mark.parametrize("output", [(192, 128), (129, 65), (150, 100)])
def test_a_grid_that_tiles_exactly_is_shown(coded: Coder, output: tuple[int, int]) -> None:
    data = grid_file([coded(64, 64, TEAL)] * 6, 2, 3, output)

    assert_plain(data, output, TEAL)


def test_the_tiles_of_a_grid_are_in_their_order() -> None:
    colours = [(200, 60, 30), (30, 200, 60), (60, 30, 200), (220, 220, 40)]
    data = grid_file([hevc(64, 64, colour) for colour in colours], 2, 2)

    picture = samples.opened(render(data)[0].data)

    for index, colour in enumerate(colours):
        seen = picture.getpixel((32 + index % 2 * 64, 32 + index // 2 * 64))
        assert isinstance(seen, tuple)
        assert max(abs(a - b) for a, b in zip(seen, colour, strict=True)) < 8


def tile_of_another_size() -> bytes:
    return grid_file([*[hevc()] * 3, hevc(128, 64)], 2, 2)


def tile_missing() -> bytes:
    return grid_file([hevc()] * 3, 2, 2)


def tile_twice() -> bytes:
    tile = Item.of(hevc())
    return heif_files.file_of([grid_item(1, 2, 128, 64), tile], [(b"dimg", 1, [2, 2])])


def output_of_another_size() -> bytes:
    top = grid_item(1, 2, 100, 64)
    top.properties = [heif_files.size(128, 64)]
    return heif_files.file_of([top, *[Item.of(hevc())] * 2], [(b"dimg", 1, [2, 3])])


def smaller_than_declared(coded: Coded) -> bytes:
    """What lies where no tile is? Nothing says so."""
    return grid_file([dataclasses.replace(coded, width=160, height=160)], 1, 1)


BROKEN_GRIDS = {
    "a tile is missing": tile_missing(),
    "a tile is there twice": tile_twice(),
    "a tile is of another size": tile_of_another_size(),
    "output and size differ": output_of_another_size(),
    "output leaves a column out": grid_file([hevc()] * 6, 2, 3, (128, 128)),
    "output leaves a row out": grid_file([hevc()] * 6, 2, 3, (192, 64)),
    "output is larger than its tiles": grid_file([hevc()] * 6, 2, 3, (193, 128)),
    "a tile of HEVC is smaller than it says": smaller_than_declared(hevc()),
    "a tile of AV1 is smaller than it says": smaller_than_declared(av1()),
    "tiles of two codecs": grid_file([hevc(), av1()], 1, 2),
}


@pytest.mark.parametrize("name", BROKEN_GRIDS)
def test_a_grid_that_does_not_tile_exactly_is_refused(name: str) -> None:
    with pytest.raises((DamagedImage, UnsupportedFormat)):
        identify(BROKEN_GRIDS[name])


def small_grid(width: int) -> Item:
    return grid_item(width // 4, 4, 64, 64)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (heif_files.levels(small_grid, 4, 16, hevc()), "a grid of other grids"),
        (heif_files.levels(small_grid, 2, 4, av1()), "a grid of other grids"),
        (
            heif_files.levels(lambda n: heif_files.overlay_item(n, 64, 64), 5, 30, hevc()),
            "an overlay",
        ),
        (
            heif_files.file_of(
                [Item(b"iden", [heif_files.size(64, 64)], inline=b"\0"), Item.of(hevc())],
                [(b"dimg", 1, [2])],
            ),
            "another picture",
        ),
        (
            heif_files.file_of(
                [Item(b"tmap", [heif_files.size(64, 64)], data=bytes(60)), Item.of(av1())],
                [(b"dimg", 1, [2])],
            ),
            "two pictures",
        ),
        (heif_files.file_of([Item(b"unci", [heif_files.size(64, 64)], b"x")]), "HEVC"),
        (heif_files.file_of([Item(b"jpeg", [heif_files.size(64, 64)], b"x")]), "HEVC"),
    ],
    ids=["grids", "grids of AV1", "overlays", "identity", "tone map", "uncompressed", "jpeg"],
)
def test_pictures_made_of_pictures_are_refused_in_words(data: bytes, words: str) -> None:
    with pytest.raises(UnsupportedFormat, match=words):
        identify(data)


@pytest.mark.parametrize("turn", [heif_files.turned(1), heif_files.aperture(32, 32)])
def test_tiles_that_are_turned_or_cropped_are_refused(turn: bytes) -> None:
    items = [grid_item(1, 2, 128, 64), *[Item.of(hevc(), turn)] * 2]
    with pytest.raises(UnsupportedFormat, match="tiles"):
        identify(heif_files.file_of(items, [(b"dimg", 1, [2, 3])]))


def test_what_no_decoder_of_avif_opens_is_refused_at_once() -> None:
    assert identify(samples.avif(Image.new("L", (32_768, 16)))).width == 32_768
    with pytest.raises(TooManyPixels, match="32,768"):
        identify(samples.avif(Image.new("L", (32_769, 16))))
    with pytest.raises(UnsupportedFormat, match="tiles of less than 64"):
        identify(grid_file([av1(32, 64)] * 4, 2, 2))


@pytest.mark.parametrize("brand", [b"hevc", b"msf1", b"mif1", b"heic"])
def test_the_movie_of_a_heic_is_nobodys(brand: bytes) -> None:
    brands = (brand, b"mif1", b"heic", b"hevc", b"msf1")
    data = heif_files.file_of([Item.of(hevc())], brands=brands, behind=box(b"moov", SECRET))

    assert_plain(data, (64, 64), RED)
    assert SECRET not in formats.clean(data)


def test_layers_count_as_often_as_they_are_coded() -> None:
    small, large = av1(), av1(6_200, 6_200, (99,))

    def layered(coded: Coded, count: int) -> bytes:
        return heif_files.file_of([Item.of(dataclasses.replace(coded, data=coded.data * count))])

    assert_plain(layered(small, 4), (64, 64), RED)
    with pytest.raises(DamagedImage, match="more is coded"):
        identify(layered(small, 5))
    assert identify(layered(large, 1)).width == 6_200
    with pytest.raises(DamagedImage, match="more is coded"):
        identify(layered(large, 2))


def test_tiles_far_larger_than_their_picture_are_refused() -> None:
    huge = Coded(b"hvc1", 9_000, 9_000, hevc().configuration, hevc().data)
    with pytest.raises(TooManyPixels):
        identify(grid_file([huge], 1, 1, (100, 100)))
    large = Coded(b"hvc1", 7_000, 7_000, hevc().configuration, hevc().data)
    with pytest.raises(TooManyPixels, match="over all tiles"):
        identify(grid_file([large] * 4, 2, 2, (7_001, 7_001)))


@pytest.mark.parametrize("coded", [hevc(), av1()], ids=["HEVC", "AV1"])
def test_a_picture_that_codes_another_size_than_it_says_is_refused(coded: Coded) -> None:
    for width, height in ((64, 32), (32, 64), (65, 64), (7_000, 7_000)):
        lying = dataclasses.replace(coded, width=width, height=height)
        with pytest.raises(DamagedImage, match="another size"):
            identify(heif_files.file_of([Item.of(lying)]))


@pytest.mark.parametrize("coded", [hevc(), av1()], ids=["HEVC", "AV1"])
def test_an_item_that_codes_many_pictures_is_refused(coded: Coded) -> None:
    """Decoders decode them all, whatever they show."""
    many = dataclasses.replace(coded, data=coded.data * 500)

    with pytest.raises(DamagedImage, match="more is coded"):
        identify(heif_files.file_of([Item.of(many)]))


@pytest.mark.parametrize("coded", [hevc(), av1()], ids=["HEVC", "AV1"])
def test_an_item_without_a_picture_is_refused(coded: Coded) -> None:
    # A temporal delimiter, a set of parameters.
    none = dataclasses.replace(
        coded, data=b"\x12\0" if coded.kind == b"av01" else b"\0\0\0\3\x40\1\0"
    )
    with pytest.raises(DamagedImage):
        identify(heif_files.file_of([Item.of(none), Item.of(coded)]))


# --- transparency -------------------------------------------------------------------------------


@pytest.mark.parametrize("coded", [hevc, av1])
def test_tiles_may_each_have_a_transparency(coded: Coder) -> None:
    items = [
        grid_item(1, 2, 128, 64),
        *[Item.of(coded(64, 64, TEAL))] * 2,
        *[Item.of(coded(64, 64, (128,)), heif_files.ALPHA)] * 2,
    ]
    references = [(b"dimg", 1, [2, 3]), (b"auxl", 4, [2]), (b"auxl", 5, [3])]

    assert_plain(heif_files.file_of(items, references), (128, 64), (*TEAL, 128))


@pytest.mark.parametrize("coded", [hevc, av1])
def test_a_grid_may_have_a_grid_of_transparency(coded: Coder) -> None:
    items = [
        grid_item(1, 2, 128, 64),
        *[Item.of(coded(64, 64, TEAL))] * 2,
        grid_item(1, 2, 128, 64, heif_files.ALPHA),
        *[Item.of(coded(64, 64, (128,)))] * 2,
    ]
    references = [(b"dimg", 1, [2, 3]), (b"dimg", 4, [5, 6]), (b"auxl", 4, [1])]

    assert_plain(heif_files.file_of(items, references), (128, 64), (*TEAL, 128))


ALPHA_ITEM = Item.of(hevc(64, 64, (128,)), heif_files.ALPHA)
BROKEN_ALPHAS = {
    "two of them": ([ALPHA_ITEM, ALPHA_ITEM], [(b"auxl", 2, [1]), (b"auxl", 3, [1])]),
    "of another size": (
        [Item.of(hevc(128, 64, (128,)), heif_files.ALPHA)],
        [(b"auxl", 2, [1])],
    ),
    "an overlay": (
        [heif_files.overlay_item(1, 64, 64), ALPHA_ITEM],
        [(b"auxl", 2, [1]), (b"dimg", 2, [3])],
    ),
}
BROKEN_ALPHAS["an overlay"][0][0].properties.append(heif_files.ALPHA)


@pytest.mark.parametrize("name", BROKEN_ALPHAS)
def test_a_transparency_keeps_the_rules_of_its_picture(name: str) -> None:
    others, references = BROKEN_ALPHAS[name]
    with pytest.raises(InvalidImage):
        identify(heif_files.file_of([Item.of(hevc()), *others], references))


def test_planes_of_other_kinds_go() -> None:
    depth = Item.of(
        hevc(64, 64, (128,)), heif_files.full_box(b"auxC", b"urn:mpeg:hevc:2015:auxid:2\0")
    )
    data = heif_files.file_of([Item.of(hevc()), depth], [(b"auxl", 2, [1])])

    assert_plain(data, (64, 64), RED)
    assert hevc(64, 64, (128,)).data not in formats.clean(data)


# --- crops and turns ----------------------------------------------------------------------------


def marked(width: int = 256, height: int = 192) -> Image.Image:
    """Four quarters, of which a crop of the middle keeps a part each."""
    return samples.quarters(width, height)


@pytest.mark.parametrize(
    ("picture", "served"), [(marked(), "image/jpeg"), (samples.translucent(), "image/png")]
)
def test_an_avif_too_large_for_its_encoder_is_made_anew_as_another_format(
    monkeypatch: pytest.MonkeyPatch, picture: Image.Image, served: str
) -> None:
    monkeypatch.setattr(encoding, "MAX_RENDERED_AVIF_PIXELS", picture.width * picture.height - 1)
    turned = samples.avif(picture, exif=samples.exif(6))

    assert render(turned)[0].content_type == served
    assert render(turned, size=(40, 40))[0].content_type == "image/avif"
    assert render(samples.avif(picture))[0].content_type == "image/avif"


@pytest.mark.parametrize("mirror", [None, 0, 1])
@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_the_crop_of_an_avif_is_applied_and_then_its_turns(
    quarters: int, mirror: int | None
) -> None:
    properties = [heif_files.aperture(128, 64, (16, 1), (-12, 1)), heif_files.turned(quarters)]
    expected = marked().crop((80, 52, 208, 116)).rotate(90 * quarters, expand=True)
    if mirror is not None:
        properties.append(heif_files.mirrored(mirror))
        flip = (Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.FLIP_LEFT_RIGHT)[mirror]
        expected = expected.transpose(flip)
    data = heif_files.file_of([Item.of(heif_files.av1_of(marked()), *properties)])

    header = identify(data)
    image, _, thumbnail = render(data)

    assert (header.width, header.height) == expected.size
    for rendition in (image, thumbnail):
        picture = samples.opened(rendition.data).convert("RGB")
        assert picture.size == expected.size
        assert b"clap" not in rendition.data
        assert b"irot" not in rendition.data
        assert max(ImageStat.Stat(ImageChops.difference(picture, expected)).mean) < 12
    assert image.content_type == "image/avif"


def test_an_avif_mirrored_before_it_is_turned_is_shown_so() -> None:
    data = heif_files.file_of(
        [Item.of(heif_files.av1_of(marked()), heif_files.mirrored(1), heif_files.turned(1))]
    )
    expected = marked().transpose(Image.Transpose.FLIP_LEFT_RIGHT).rotate(90, expand=True)

    picture = samples.opened(render(data)[0].data).convert("RGB")

    assert picture.size == expected.size
    assert max(ImageStat.Stat(ImageChops.difference(picture, expected)).mean) < 12


def test_the_crop_of_an_avif_holds_for_an_update_too() -> None:
    stored = Image.new("RGB", (64, 64), (0, 0, 255))
    stored.paste((255, 128, 0), (16, 24, 48, 40))
    data = heif_files.file_of([Item.of(heif_files.av1_of(stored), heif_files.aperture(32, 16))])

    for size in (None, (200, 100)):
        for rendition in render(data, size=size):
            red, green, blue, _ = mean_colours(rendition)
            assert red > 245
            assert abs(green - 128) < 12
            assert blue < 12


@pytest.mark.parametrize(
    "crop",
    [
        heif_files.aperture(65, 16),
        heif_files.aperture(32, 16, (40, 1)),
        heif_files.aperture(32, 16, (0, 0)),
        heif_files.aperture(0, 16),
    ],
)
@pytest.mark.parametrize("coded", [hevc(), av1()], ids=["HEVC", "AV1"])
def test_a_crop_outside_of_its_picture_is_refused(coded: Coded, crop: bytes) -> None:
    with pytest.raises(DamagedImage, match="crop"):
        identify(heif_files.file_of([Item.of(coded, crop)]))


# --- what is blanked, and what is spared --------------------------------------------------------


def test_a_gain_map_goes_and_the_picture_stays() -> None:
    tone_map = Item(b"tmap", [heif_files.size(64, 64)], data=b"\1" * 62)
    data = heif_files.file_of(
        [Item.of(av1(), heif_files.DEPTH), tone_map, Item.of(av1(64, 64, (99,)))],
        [(b"dimg", 2, [1, 3])],
        brands=(b"avif", b"avif", b"mif1", b"miaf", b"tmap"),
        tables=box(b"grpl", heif_files.full_box(b"altr", struct.pack(">4I", 9, 2, 2, 1))),
    )

    assert_plain(data, (64, 64), RED)
    assert b"tmap" not in render(data)[0].data


def test_bytes_that_a_wanted_item_shares_are_spared() -> None:
    for coded in (av1(), hevc()):
        layers = Item(b"lhv1", [heif_files.size(64, 64)], coded.data)
        thumbnail = Item.of(coded)
        data = heif_files.file_of([Item.of(coded), layers, thumbnail], [(b"thmb", 3, [1])])

        assert_plain(data, (64, 64), RED)


@pytest.mark.parametrize("coded", [hevc, av1])
def test_a_primary_picture_that_is_named_as_a_thumbnail_is_shown(coded: Coder) -> None:
    data = heif_files.file_of(
        [Item.of(coded(64, 64, RED)), Item.of(coded(128, 128, TEAL))], [(b"thmb", 1, [2])]
    )

    assert_plain(data, (64, 64), RED)


def secret_places() -> dict[str, bytes]:
    """Files that hold a secret somewhere beside their pixels."""
    coded = av1()
    text = heif_files.full_box(b"udes", b"en\0" + SECRET + b"\0")

    def item(*properties: bytes, name: bytes = b"") -> Item:
        made = Item.of(coded, heif_files.DEPTH, heif_files.SRGB, *properties)
        made.name = name
        return made

    return {
        "name of the item": heif_files.file_of([item(name=SECRET)]),
        "description": heif_files.file_of([item(text)]),
        "description of another item": heif_files.file_of([item(), Item(b"mime", [text], b"x")]),
        "EXIF": heif_files.file_of([item(), Item(b"Exif", [], SECRET)], [(b"cdsc", 2, [1])]),
        "metadata in meta": heif_files.file_of([item(), Item(b"mime", [], inline=SECRET)]),
        "bytes of no item": heif_files.file_of([item()], media_behind=SECRET),
        "a box of meta": heif_files.file_of([item()], tables=box(b"xml ", SECRET)),
        "a data reference": heif_files.file_of([item()], tables=box(b"dinf", SECRET)),
        "free space": heif_files.file_of([item()], behind=box(b"free", SECRET)),
        "C2PA": heif_files.file_of([item()], behind=box(b"uuid", bytes(16) + SECRET)),
        "a movie of a still": heif_files.file_of([item()], behind=box(b"moov", SECRET)),
        "behind the kind of transparency": heif_files.file_of(
            [item(), Item.of(av1(64, 64, (255,)), heif_files.full_box(
                b"auxC", b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0" + SECRET
            ))],
            [(b"auxl", 2, [1])],
        ),
    }  # fmt: skip


SECRET_PLACES = secret_places()


@pytest.mark.parametrize("place", SECRET_PLACES)
def test_nothing_but_the_picture_is_served(place: str) -> None:
    data = SECRET_PLACES[place]
    assert SECRET in data

    for rendition in render(data):
        assert SECRET not in rendition.data
    assert_plain(data, (64, 64), RED)
    assert len(render(data)[0].data) == len(data)


def with_profile(profile: bytes, *properties: bytes) -> bytes:
    colour = box(b"colr", b"prof" + profile)
    return heif_files.file_of([Item.of(av1(), heif_files.DEPTH, colour, *properties)])


def test_the_profile_of_an_avif_keeps_its_colours_and_nothing_else() -> None:
    profile = samples.display_p3_profile()
    told = samples.with_profile_tag(profile, b"mmod", b"mmod" + bytes(4) + SECRET)
    assert SECRET in told

    image = render(with_profile(told))[0]

    assert SECRET not in image.data
    assert clean_profile(profile) in image.data
    assert len(image.data) == len(with_profile(told))


def without_texts(profile: bytes) -> bytes:
    """A profile as short as it can be: it names neither itself nor its owner."""
    count = int.from_bytes(profile[128:132], "big")
    entries = [struct.unpack_from(">4s2I", profile, 132 + 12 * index) for index in range(count)]
    kept = [entry for entry in entries if entry[0] not in (b"desc", b"cprt")]
    places: dict[int, int] = {}
    table, body = b"", b""
    for name, start, length in kept:
        if start not in places:
            places[start] = 132 + 12 * len(kept) + len(body)
            body += profile[start : start + length + -length % 4]
        table += struct.pack(">4s2I", name, places[start], length)
    whole = profile[:128] + len(kept).to_bytes(4, "big") + table + body
    return len(whole).to_bytes(4, "big") + whole[4:]


def test_an_avif_whose_profile_has_no_room_to_be_cleaned_is_made_anew() -> None:
    profile = without_texts(clean_profile(samples.display_p3_profile()))
    assert len(clean_profile(profile)) > len(profile)

    image = render(with_profile(profile))[0]

    assert b"prof" not in image.data
    assert image.content_type == "image/avif"
    original = samples.opened(with_profile(clean_profile(samples.display_p3_profile())))
    expected = to_srgb(original, profile).convert("RGB").getpixel((32, 32))
    seen = samples.opened(image.data).convert("RGB").getpixel((32, 32))
    assert isinstance(expected, tuple)
    assert isinstance(seen, tuple)
    assert max(abs(a - b) for a, b in zip(expected, seen, strict=True)) < 6


# --- tables that claim too much -----------------------------------------------------------------


def meta_of(*tables: bytes) -> bytes:
    entries = heif_files.full_box(b"infe", struct.pack(">HH", 1, 0) + b"hvc1\0", version=2)
    return b"".join(
        (
            box(b"ftyp", b"heic" + bytes(4) + b"mif1heic"),
            heif_files.full_box(
                b"meta",
                heif_files.full_box(b"pitm", b"\0\1")
                + heif_files.full_box(b"iinf", b"\0\1" + entries)
                + b"".join(tables),
            ),
            box(b"mdat", bytes(70_000)),
        )
    )


ASSOCIATION = heif_files.full_box(b"ipma", struct.pack(">IHBB", 1, 1, 1, 1))
ENDLESS_ASSOCIATIONS = heif_files.full_box(b"ipma", struct.pack(">I", 1_400_000), flags=1)
CLAIMS = {
    "references behind their box": meta_of(
        heif_files.full_box(b"iref", box(b"dimg", struct.pack(">HH", 2, 0xFFFF)) * 1_990)
    ),
    "associations behind their box": meta_of(
        box(b"iprp", box(b"ipco", heif_files.size(64, 64)) + ENDLESS_ASSOCIATIONS)
    ),
    "places behind their box": meta_of(
        heif_files.full_box(b"iloc", b"\x44\0" + struct.pack(">H", 0xFFFF), version=1)
    ),
    "places of no length": meta_of(
        heif_files.full_box(
            b"iloc", b"\0\0" + struct.pack(">H", 99) + struct.pack(">4H", 1, 0, 0, 0xFFFF) * 99,
            version=1,
        )
    ),
    "two lists of places": meta_of(heif_files.full_box(b"iloc", bytes(8)) * 2),
    "two tables of properties": meta_of(box(b"iprp", box(b"ipco", b"") * 2)),
    "two tables of associations": meta_of(
        box(b"iprp", box(b"ipco", heif_files.size(64, 64)) + ASSOCIATION * 2)
    ),
    "an item in two tables of associations": meta_of(
        box(
            b"iprp",
            box(b"ipco", heif_files.size(64, 64))
            + ASSOCIATION
            + heif_files.full_box(b"ipma", struct.pack(">IHBH", 1, 1, 1, 1), flags=1),
        )
    ),
    "a reference twice": meta_of(
        heif_files.full_box(b"iref", box(b"dimg", struct.pack(">3H", 1, 1, 1)) * 2)
    ),
    "a property that is not there": meta_of(box(b"iprp", box(b"ipco", b"") + ASSOCIATION)),
    "an item twice": heif_files.file_of([Item.of(hevc()), Item.of(hevc(128))]).replace(
        struct.pack(">HH4s", 2, 0, b"hvc1"), struct.pack(">HH4s", 1, 0, b"hvc1")
    ),
    "a list of items twice": meta_of(heif_files.full_box(b"iinf", b"\0\0")),
    "a file twice": heif_files.file_of([Item.of(hevc())], behind=heif_files.full_box(b"meta", b"")),
    "its size twice": heif_files.file_of([Item.of(hevc(), heif_files.size(64, 65))]),
    "a turn twice": heif_files.file_of(
        [Item.of(hevc(), heif_files.turned(1), heif_files.turned(2))]
    ),
    "no size": heif_files.file_of([Item(b"hvc1", [hevc().configuration], hevc().data)]),
    "no description of its coding": heif_files.file_of(
        [Item(b"hvc1", [heif_files.size(64, 64)], hevc().data)]
    ),
    "thousands of items": heif_files.file_of([Item.of(hevc())] + [Item(b"mime")] * 1_000),
}  # fmt: skip


@pytest.mark.parametrize("claim", CLAIMS)
def test_tables_that_claim_too_much_are_refused(claim: str) -> None:
    with pytest.raises(DamagedImage):
        identify(CLAIMS[claim])


def test_pixels_may_not_lie_among_the_tables() -> None:
    data = heif_files.file_of([Item.of(hevc())])
    (iloc,) = heif_files.found(data, b"iloc")
    inside = bytearray(data)
    inside[iloc.stop - 8 : iloc.stop - 4] = (40).to_bytes(4, "big")

    with pytest.raises(DamagedImage):
        identify(bytes(inside))


def test_a_property_that_must_be_understood_and_is_not_is_refused_in_words() -> None:
    data = heif_files.file_of([Item.of(av1(), box(b"nove", b"x"))])
    (ipma,) = heif_files.found(data, b"ipma")
    essential = bytearray(data)
    essential[ipma.stop - 1] |= 0x80

    with pytest.raises(UnsupportedFormat, match="nove"):
        identify(bytes(essential))


# --- sequences ----------------------------------------------------------------------------------


def sequence(**options: object) -> bytes:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("teal", "red")]
    return samples.avif(frames[0], save_all=True, append_images=frames[1:], duration=100, **options)


def colours_of_frames(data: bytes) -> list[object]:
    return [frame.convert("RGB").getpixel((32, 32)) for frame, _ in samples.moving_frames(data)]


def test_a_sequence_tells_no_time_of_day() -> None:
    data = heif_files.at_time(sequence(), 3_600_000_000)
    stamp = (3_600_000_000).to_bytes(4, "big")
    assert stamp in data

    image = render(data)[0]

    assert image.data == heif_files.plain_sequence(data)
    assert stamp not in image.data


def test_a_sequence_that_is_made_anew_tells_no_time_of_day() -> None:
    image = render(sequence(), size=(40, 40))[0]

    assert image.animated
    assert image.data == heif_files.plain_sequence(image.data)


def test_the_sound_of_a_sequence_is_not_served() -> None:
    data = heif_files.with_sound(sequence(), b"SPOKEN-WORDS" * 40)
    assert colours_of_frames(data) == colours_of_frames(sequence())

    image = render(data)[0]

    assert colours_of_frames(image.data) == colours_of_frames(sequence())
    for secret in (b"SPOKEN-WORDS", b"soun", b"mp4a", b"Somebody"):
        assert secret not in image.data


@pytest.mark.parametrize("kind", [b"udta", b"meta", b"uuid", b"free"])
@pytest.mark.parametrize("parent", [b"moov", b"trak", b"mdia", b"minf", b"stbl"])
def test_nothing_beside_its_tables_is_left_in_a_sequence(parent: bytes, kind: bytes) -> None:
    data = heif_files.with_box_behind(sequence(), parent, box(kind, SECRET))

    image = render(data)[0]

    assert SECRET not in image.data
    assert colours_of_frames(image.data) == colours_of_frames(sequence())


def test_names_in_a_sequence_go() -> None:
    data = bytearray(heif_files.with_box_behind(sequence(), b"hdlr", b"A person's own player\0"))
    entry = data.index(b"av01\0\0\0\0\0\0\0\1") + 8
    data[entry + 34 : entry + 42] = b"\7Encoder"

    image = render(bytes(data))[0]

    assert b"own player" not in image.data
    assert b"Encoder" not in image.data


def test_a_still_that_is_also_a_movie_is_a_still() -> None:
    data = sequence().replace(b"ftypavis", b"ftypavif", 1)

    image = render(data)[0]

    assert not image.animated
    assert samples.opened(image.data).n_frames == 1  # type: ignore[attr-defined]
    for secret in (b"moov", b"avis", b"mvhd"):
        assert secret not in image.data


def test_a_sequence_by_its_other_brand_moves_too() -> None:
    data = sequence().replace(b"ftypavis", b"ftypmsf1", 1)

    assert render(data)[0].animated
    assert colours_of_frames(render(data)[0].data) == colours_of_frames(data)


def changed_number(data: bytes, kind: bytes, offset: int, value: int, index: int = 0) -> bytes:
    """A number of four bytes in a box of this kind, counted from the box's start."""
    place = heif_files.found(data, kind)[index].start + offset
    return data[:place] + value.to_bytes(4, "big") + data[place + 4 :]


BROKEN_SEQUENCES = {
    "frames behind the end": changed_number(sequence(), b"stco", 16, 1 << 20),
    "a frame of no length": changed_number(sequence(), b"stsz", 20, 0),
    "more frames than sizes": changed_number(sequence(), b"stsc", 20, 9),
    "millions of frames": changed_number(sequence(), b"stsz", 16, 3_000_000),
    "millions of equal frames": changed_number(
        changed_number(sequence(), b"stsz", 16, 3_000_000), b"stsz", 12, 1
    ),
    "millions of chunks": changed_number(sequence(), b"stco", 12, 3_000_000),
    "another size than is coded": changed_number(sequence(), b"tkhd", 100, 4_000 << 16),
    "its tables twice": heif_files.with_box_behind(
        sequence(), b"stbl", heif_files.full_box(b"stsz", bytes(8))
    ),
    "two movies": sequence() + box(b"moov", b""),
}


@pytest.mark.parametrize("name", BROKEN_SEQUENCES)
def test_a_sequence_whose_tables_lie_is_refused(name: str) -> None:
    with pytest.raises(InvalidImage):
        identify(BROKEN_SEQUENCES[name])


def test_frames_that_are_never_shown_count_too() -> None:
    """Two samples, in one of which a thousand frames are coded."""
    data = sequence()
    (sizes,) = heif_files.found(data, b"stsz")
    first = int.from_bytes(data[sizes.start + 20 : sizes.start + 24], "big")
    (places,) = heif_files.found(data, b"stco")
    start = int.from_bytes(data[places.start + 16 : places.start + 20], "big")
    many = data[start : start + first] * 1_000
    changed = changed_number(data, b"stsz", 20, len(many))
    changed = changed_number(changed, b"stsz", 24, first)
    changed = changed_number(changed, b"stco", 16, len(data) + 8)

    with pytest.raises(DamagedImage, match="more frames than it shows"):
        identify(changed + box(b"mdat", many + many[:first]))


@pytest.mark.parametrize("handler", [b"vide", b"text", b"soun"])
def test_only_tracks_of_pictures_move(handler: bytes) -> None:
    data = sequence()
    name = heif_files.found(data, b"hdlr")[1].start + 16
    changed = data[:name] + handler + data[name + 4 :]

    image = render(changed)[0]

    assert image.animated == (handler == b"vide")
    assert (b"trak" in image.data) == (handler == b"vide")


@pytest.mark.parametrize(
    ("subsampling", "bytes_per_pixel"), [("4:4:4", 3), ("4:2:2", 2), ("4:2:0", 1.5), ("4:0:0", 1)]
)
def test_a_sequence_of_av1_tells_how_finely_it_is_coded(
    subsampling: str, bytes_per_pixel: float
) -> None:
    data = sequence(subsampling=subsampling)
    contents = av1_reader.Contents()
    media = heif_files.found(data, b"mdat")[0]

    av1_reader.read_units(Cursor(data, media.start + 8, media.stop, Budget()), contents)

    assert contents.bytes_per_pixel == bytes_per_pixel
    assert contents.sizes == {(64, 64)}
    # The still picture is the first frame.
    assert contents.frames == 2


def test_a_sequence_may_be_as_large_as_its_decoder_has_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    needed = 64 * 64 * 3 * 10
    monkeypatch.setattr(heif_movies, "MAX_AVIF_FRAMES_BYTES", needed)
    assert identify(sequence(subsampling="4:4:4")).width == 64
    monkeypatch.setattr(heif_movies, "MAX_AVIF_FRAMES_BYTES", needed - 1)
    with pytest.raises(TooManyPixels, match="bit depth"):
        identify(sequence(subsampling="4:4:4"))


def test_a_large_sequence_is_served_but_not_made_anew() -> None:
    """Its encoder would take more memory than there is."""
    frames = [Image.new("RGB", (2100, 2100), colour) for colour in ("teal", "red")]
    data = samples.avif(frames[0], save_all=True, append_images=frames[1:], duration=100)
    # The sample entry is the last box to hold properties.
    turned = heif_files.with_box_behind_entry(data, heif_files.turned(1))

    assert identify(data).width == 2100
    for size in ((2100, 2100), (3000, 1500)):
        with pytest.raises(TooManyPixels, match="made with at most"):
            render(data, size=size)
    with pytest.raises(TooManyPixels, match="made with at most"):
        identify(turned)


def test_a_sequence_is_turned_as_its_track_says() -> None:
    frames = [marked(), marked().transpose(Image.Transpose.ROTATE_180)]
    data = samples.avif(frames[0], save_all=True, append_images=frames[1:], duration=100)

    image = render(heif_files.with_box_behind_entry(data, heif_files.turned(1)))[0]

    assert image.animated
    for (seen, _), frame in zip(samples.moving_frames(image.data), frames, strict=True):
        expected = frame.rotate(90, expand=True)
        assert seen.size == expected.size
        difference = ImageChops.difference(seen.convert("RGB"), expected)
        assert max(ImageStat.Stat(difference).mean) < 12
