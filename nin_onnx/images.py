"""One image, a file or in memory, of any common format, mode and size, as pixels of a given size."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nin_onnx.fit import Fit

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["FORMATS", "ImageLike", "as_pixels", "read_image"]

ImageLike: TypeAlias = "str | os.PathLike[str] | NDArray[Any] | Image.Image"
"""A file's path; a Pillow image; or uint8 [height, width] or [height, width, channels]: gray, gray and alpha, RGB or RGBA."""

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""What is read. Pillow knows more, and hands some of it to other programs: nothing that is downloaded may run code."""


def read_image(path: Path, height: int, width: int, channels: int, fit: Fit) -> NDArray[np.uint8]:
    """The pixels [height, width, channels] of an image, gray (1 channel) or red, green, blue (3).

    It is turned as its EXIF orientation says; what is transparent shows black behind it; 16 bits become 8 by rounding; color
    profiles have no part in it; of several frames the first counts. `stretch` resizes it whole; `crop` scales it until it
    covers the size, and cuts the same from both ends. Both are bilinear, and average where they shrink.
    Raises `ValueError` that says what is wrong with the file.
    """
    from PIL import Image

    Image.init()
    with (
        _said_what_is_wrong(),
        Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN]) as file,
    ):
        return _fitted(file, height, width, channels, fit)


def as_pixels(image: ImageLike, height: int, width: int, channels: int, fit: Fit) -> NDArray[np.uint8]:
    """The pixels [height, width, channels] of an image in any form, which become such as `read_image` says.

    Needs Pillow, but for an array of that size. Raises `ValueError` for what is no image.
    """
    if isinstance(image, str | os.PathLike):
        return read_image(Path(image), height, width, channels, fit)
    if not isinstance(image, np.ndarray):
        from PIL import Image

        if not isinstance(image, Image.Image):
            raise ValueError(f"a '{type(image).__name__}': expected an array, a path or a Pillow image")
        with _said_what_is_wrong():  # of a file that Pillow has opened, it reads the pixels now
            return _fitted(image, height, width, channels, fit)
    _check_array(image)
    if image.ndim == 2:
        image = image[..., None]
    if image.shape[:2] == (height, width) and image.shape[2] in (1, channels):
        return np.broadcast_to(image, (height, width, channels))
    from PIL import Image

    return _fitted(Image.fromarray(image[..., 0] if image.shape[2] == 1 else image), height, width, channels, fit)


def _check_array(image: NDArray[Any]) -> None:
    form = f"an array {image.dtype} [{', '.join(map(str, image.shape))}]"
    if image.dtype != np.uint8:
        raise ValueError(f"{form}: expected pixels 0…255 as uint8")
    if image.ndim == 3 and image.shape[0] in (1, 3) and image.shape[2] > 4:
        raise ValueError(f"{form}: expected the channels last: image.transpose(1, 2, 0)")
    if image.ndim not in (2, 3) or not image.size or (image.ndim == 3 and image.shape[2] > 4):
        raise ValueError(f"{form}: expected [height, width], or [height, width, channels] with 1 to 4 channels")


@contextlib.contextmanager
def _said_what_is_wrong() -> Iterator[None]:
    """Makes a `ValueError` of one line of whatever a broken image leads Pillow to."""
    from PIL import UnidentifiedImageError

    try:
        yield
    except MemoryError:
        raise
    except UnidentifiedImageError as error:
        raise ValueError("no image, or of another format") from error
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
        raise ValueError(" ".join(reason.split())) from error


def _fitted(image: "Image.Image", height: int, width: int, channels: int, fit: Fit) -> NDArray[np.uint8]:
    """What `read_image` makes of the image in a file."""
    from PIL import Image, ImageOps

    if 0 in image.size:
        raise ValueError(f"an image of {image.height} × {image.width}, which has no pixels")
    image = _colors(ImageOps.exif_transpose(image))
    if channels == 1:
        image = image.convert("L")
    if fit == "crop":
        image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    else:
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image, np.uint8).reshape(height, width, channels)


def _colors(image: "Image.Image") -> "Image.Image":
    """The same image in mode RGB."""
    from PIL import Image

    if image.mode == "F":
        raise ValueError("fractions for pixels, of which nothing says what white is")
    if image.mode.startswith("I"):  # 16 bits, in Pillow's modes I;16, I;16B and (PGM) I
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("pixels of more than 16 bits")
        image = Image.fromarray(((values + 128) // 257).astype(np.uint8))  # 65535 = 255 · 257
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    return image.convert("RGB")
