"""Images of every mode and format against pixels that were written down, and files that are none."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from nin_onnx.fit import Fit
from nin_onnx.images import FORMATS, read_image

COLORS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 100, 50)]
"""Of the four quarters of a picture: top left, top right, bottom left, bottom right."""


def quarters(colors: list[Any], mode: str, side: int = 16) -> Image.Image:
    """A square picture of four even quarters."""
    image = Image.new(mode, (2 * side, 2 * side))
    for at, color in enumerate(colors):
        image.paste(color, (at % 2 * side, at // 2 * side, (at % 2 + 1) * side, (at // 2 + 1) * side))
    return image


def png(width: int, height: int, depth: int, color: int, rows: bytes, *chunks: bytes) -> bytes:
    """A PNG file by its specification: signature, IHDR, further chunks, IDAT, IEND. Each row begins with its filter, 0."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    more = [chunk(content[:4], content[4:]) for content in chunks]
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def read(content: bytes | Image.Image, tmp_path: Path, channels: int = 3, size: tuple[int, int] = (2, 2), **options: Any) -> Any:
    """`read_image` of a file that holds `content`, as nested lists; without a size in it, [height, width] is 2×2."""
    fit: Fit = options.pop("fit", "stretch")
    path = tmp_path / "image"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        content.save(path, **{"format": "PNG"} | options)
    return read_image(path, *size, channels, fit).tolist()


def test_a_true_color_png_made_by_hand_gives_its_pixels(tmp_path: Path) -> None:
    rows = b"\0" + bytes([255, 0, 0, 0, 255, 0]) + b"\0" + bytes([0, 0, 255, 200, 100, 50])
    assert read(png(2, 2, 8, 2, rows), tmp_path) == [[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [200, 100, 50]]]


def test_gray_is_the_luma_of_the_standard(tmp_path: Path) -> None:
    rows = b"\0" + bytes([255, 0, 0, 0, 255, 0]) + b"\0" + bytes([0, 0, 255, 200, 100, 50])
    luma = [round(0.299 * red + 0.587 * green + 0.114 * blue) for red, green, blue in COLORS]  # ITU-R BT.601
    assert np.ravel(read(png(2, 2, 8, 2, rows), tmp_path, channels=1)).tolist() == luma


def test_a_palette_gives_its_colors(tmp_path: Path) -> None:
    palette = b"PLTE" + bytes(value for color in COLORS for value in color)
    assert np.reshape(read(png(2, 2, 8, 3, b"\0\0\1\0\2\3", palette), tmp_path), (4, 3)).tolist() == [list(c) for c in COLORS]


def test_16_bits_of_gray_become_8_by_rounding(tmp_path: Path) -> None:
    values = [0, 128, 129, 65535, 257 * 77, 257 * 77 + 128, 257 * 77 + 129, 40000]
    expected = [0, 0, 1, 255, 77, 77, 78, round(40000 * 255 / 65535)]
    rows = b"\0" + struct.pack(">8H", *values)
    assert np.ravel(read(png(8, 1, 16, 0, rows), tmp_path, channels=1, size=(1, 8))).tolist() == expected
    pgm = b"P5 8 1 65535 " + struct.pack(">8H", *values)
    assert np.ravel(read(pgm, tmp_path, channels=1, size=(1, 8))).tolist() == expected
    for order in ("<", ">"):
        tiff = Image.fromarray(np.array([values], f"{order}u2"))
        assert np.ravel(read(tiff, tmp_path, channels=1, size=(1, 8), format="TIFF")).tolist() == expected


def test_black_and_white_of_one_bit_span_the_whole_byte(tmp_path: Path) -> None:
    assert read(b"P4 2 1 \x40", tmp_path, channels=1, size=(1, 2)) == [[[255], [0]]]  # a set bit is black


@pytest.mark.parametrize("alpha", [0, 51, 255])
def test_what_is_transparent_shows_black_behind_it(tmp_path: Path, alpha: int) -> None:
    rows = (b"\0" + bytes([200, 100, 50, alpha] * 2)) * 2
    expected = [round(value * alpha / 255) for value in (200, 100, 50)]
    assert read(png(2, 2, 8, 6, rows), tmp_path) == [[expected] * 2] * 2
    gray = (b"\0" + bytes([200, alpha] * 2)) * 2
    assert read(png(2, 2, 8, 4, gray), tmp_path, channels=1) == [[[round(200 * alpha / 255)]] * 2] * 2


def test_a_transparent_entry_of_a_palette_is_black(tmp_path: Path) -> None:
    palette = b"PLTE" + bytes(value for color in COLORS for value in color)
    found = read(png(2, 2, 8, 3, b"\0\0\1\0\2\3", palette, b"tRNS\xff\x00"), tmp_path)
    assert np.reshape(found, (4, 3)).tolist() == [[255, 0, 0], [0, 0, 0], [0, 0, 255], [200, 100, 50]]


def test_cmyk_is_turned_into_red_green_and_blue(tmp_path: Path) -> None:
    inks = [(0, 255, 255, 0), (255, 0, 255, 0), (255, 255, 0, 0), (0, 0, 0, 255)]  # red, green, blue, black
    found = read(quarters(inks, "CMYK"), tmp_path, format="TIFF", size=(32, 32))
    middles = [found[8][8], found[8][24], found[24][8], found[24][24]]
    assert middles == [[255, 0, 0], [0, 255, 0], [0, 0, 255], [0, 0, 0]]


TURNED = {1: "0123", 2: "1032", 3: "3210", 4: "2301", 5: "0213", 6: "2031", 7: "3120", 8: "1302"}
"""EXIF orientation: the quarters as stored, in the order in which they are to be seen."""


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_picture_is_turned_as_its_orientation_says(tmp_path: Path, orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    grays = [0, 80, 160, 240]
    found = np.array(read(quarters(grays, "L"), tmp_path, channels=1, size=(32, 32), format=kind, exif=exif))
    seen = [found[y, x, 0] for y, x in ((8, 8), (8, 24), (24, 8), (24, 24))]
    assert seen == pytest.approx([grays[int(at)] for at in TURNED[orientation]], abs=3)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_format_is_read(tmp_path: Path, kind: str) -> None:
    found = np.array(read(quarters([10, 90, 170, 250], "L"), tmp_path, channels=1, size=(32, 32), format=kind))
    assert found[[8, 8, 24, 24], [8, 24, 8, 24], 0] == pytest.approx([10, 90, 170, 250], abs=3)


def test_the_first_of_several_frames_counts(tmp_path: Path) -> None:
    frames = [Image.new("L", (4, 4), value) for value in (60, 200)]
    for kind in ("GIF", "TIFF"):
        assert read(frames[0], tmp_path, channels=1, format=kind, save_all=True, append_images=frames[1:]) == [[[60]] * 2] * 2


def test_stretching_keeps_the_whole_picture(tmp_path: Path) -> None:
    rows = b"\0" + bytes([0] * 8 + [100] * 8 + [200] * 8)
    wide = png(24, 1, 8, 0, rows)
    assert read(wide, tmp_path, channels=1, size=(1, 24)) == [[[0]] * 8 + [[100]] * 8 + [[200]] * 8]
    small = np.ravel(read(wide, tmp_path, channels=1, size=(2, 3))).tolist()
    assert small == pytest.approx([8, 100, 192] * 2, abs=6)  # each a mean over its third, and a little beyond it


def test_cropping_keeps_the_middle_at_its_own_proportions(tmp_path: Path) -> None:
    stripes = [0] * 8 + [100] * 8 + [200] * 8
    wide, tall = (b"\0" + bytes(stripes)) * 8, b"".join(b"\0" + bytes([value] * 8) for value in stripes)
    assert read(png(24, 8, 8, 0, wide), tmp_path, channels=1, size=(8, 8), fit="crop") == [[[100]] * 8] * 8
    assert read(png(8, 24, 8, 0, tall), tmp_path, channels=1, size=(8, 8), fit="crop") == [[[100]] * 8] * 8
    assert read(png(8, 24, 8, 0, tall), tmp_path, channels=1, size=(24, 8), fit="crop") == [[[value]] * 8 for value in stripes]


def test_cropping_gives_what_is_cut_from_the_picture_scaled_as_a_whole(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 50), np.uint8)
    noisy = png(50, 30, 8, 0, b"".join(b"\0" + row.tobytes() for row in noise))
    scaled = np.array(read(noisy, tmp_path, channels=1, size=(6, 10)))
    assert read(noisy, tmp_path, channels=1, size=(6, 6), fit="crop") == scaled[:, 2:8].tolist()
    assert read(noisy, tmp_path, channels=1, size=(3, 5), fit="crop") == read(noisy, tmp_path, channels=1, size=(3, 5))


def test_shrinking_averages_and_leaves_no_moiré(tmp_path: Path) -> None:
    board = b"".join(b"\0" + bytes((0, 255)[(row + column) % 2] for column in range(64)) for row in range(64))
    found = np.array(read(png(64, 64, 8, 0, board), tmp_path, channels=1, size=(8, 8)))
    assert np.abs(found[1:-1, 1:-1] - 127.5).max() <= 1


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 2 2\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no image, or of another format"),
        (b"a note", "no image, or of another format"),
        (EPS, "no image, or of another format"),  # Ghostscript would run it
        (png(2, 2, 8, 2, b"\0" * 14)[:-25], "truncated"),
        (png(2, 2, 8, 2, b"\0" * 5), "truncated"),
    ],
    ids=["empty", "text", "PostScript", "truncated", "too short"],
)
def test_what_is_no_image_is_said_to_be_none(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        read(content, tmp_path)
    assert "\n" not in str(caught.value)
    assert str(caught.value)


def test_pixels_without_a_known_white_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fractions for pixels"):
        read(Image.new("F", (2, 2), 0.5), tmp_path, format="TIFF")
    with pytest.raises(ValueError, match="more than 16 bits"):
        read(Image.new("I", (2, 2), 70_000), tmp_path, format="TIFF")


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="decompression bomb"):
        read(png(60_000, 60_000, 8, 0, b""), tmp_path)


def written(kind: str) -> bytes:
    buffer = io.BytesIO()
    quarters([10, 90, 170, 250], "L", 4).save(buffer, kind)
    return buffer.getvalue()


PICTURES = [written(kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")]


@given(st.sampled_from(PICTURES), st.integers(0, 2000), st.integers(0, 3), st.binary(max_size=3))
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of what it mends
def test_a_spoilt_picture_is_sound_or_a_value_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, at: int, cut: int, new: bytes
) -> None:
    at %= len(content)
    path = tmp_path_factory.mktemp("spoilt") / "image"
    path.write_bytes(content[:at] + new + content[at + cut :])
    try:
        image: NDArray[np.uint8] = read_image(path, 5, 6, 3, "crop")
    except ValueError as error:
        assert str(error)
        assert "\n" not in str(error)
    else:
        assert (image.shape, image.dtype.name) == ((5, 6, 3), "uint8")
