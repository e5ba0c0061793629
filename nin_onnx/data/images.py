"""One image file, of any common format, mode and size, as pixels of a given size."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["FORMATS", "Fit", "read_image"]

Fit = Literal["stretch", "crop"]

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""What is read. Pillow knows more, and hands some of it to other programs: nothing that is downloaded may run code."""


def read_image(path: Path, height: int, width: int, channels: int, fit: Fit) -> NDArray[np.uint8]:
    """The pixels [height, width, channels] of an image, grey (1 channel) or red, green, blue (3).

    It is turned as its EXIF orientation says; what is transparent shows black behind it; 16 bits become 8 by rounding; colour
    profiles have no part in it; of several frames the first counts. `stretch` resizes it whole; `crop` scales it until it
    covers the size, and cuts the same from both ends. Both are bilinear, and average where they shrink.
    Raises `ValueError` that says what is wrong with the file.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    Image.init()
    try:
        with Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN]) as file:
            image = _colours(ImageOps.exif_transpose(file))
        if channels == 1:
            image = image.convert("L")
        if fit == "crop":
            image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
        else:
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(image, np.uint8).reshape(height, width, channels)
    except MemoryError:
        raise
    except UnidentifiedImageError as error:
        raise ValueError("no image, or of another format") from error
    except Exception as error:  # a broken image can lead Pillow to any
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
        raise ValueError(" ".join(reason.split())) from error


def _colours(image: "Image.Image") -> "Image.Image":
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
