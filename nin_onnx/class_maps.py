"""Class maps drawn over the image they are of, as in the paper's Figure 4."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nin_onnx.classifier import Prediction
from nin_onnx.errors import ModelError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["draw", "strongest"]

SHARE = 0.1  # of a map's activations that are shown
SIDE = 128  # pixels that a panel has at least
GAP, CAPTION = 8, 18
COLOR = (255, 112, 0)
COVER = 0.8  # how much of the image the strongest activation hides


def strongest(maps: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Of each map of [classes, h, w] its top 10 % where they are positive, the largest of all maps as 1; 0 elsewhere."""
    flat = maps.reshape(len(maps), -1).astype(np.float32)
    count = math.ceil(SHARE * flat.shape[1])
    kept = np.zeros_like(flat)
    order = np.argsort(-flat, axis=1, kind="stable")[:, :count]
    np.put_along_axis(kept, order, np.take_along_axis(flat, order, 1).clip(min=0), 1)
    return (kept / (kept.max() or 1)).reshape(maps.shape)


def draw(pixels: NDArray[np.uint8], prediction: Prediction, count: int = 5) -> "Image.Image":
    """The image [height, width, channels], and the maps of its `count` most probable labels over it, the first one framed."""
    from PIL import Image, ImageDraw, ImageFont

    if prediction.class_maps is None:
        raise ModelError("the model gives no class maps: they need global average pooling in place of a fully connected layer")
    times = math.ceil(SIDE / max(pixels.shape[:2]))
    height, width = (side * times for side in pixels.shape[:2])
    colors = Image.fromarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3))).resize((width, height), Image.Resampling.NEAREST)
    maps = strongest(prediction.class_maps)
    shown = np.argsort(-prediction.probabilities, kind="stable")[:count]
    step = width + GAP
    sheet = Image.new("RGB", (GAP + step * (1 + len(shown)), GAP + height + CAPTION), "white")
    sheet.paste(colors, (GAP, GAP))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    for place, index in enumerate(shown, 1):
        left = GAP + place * step
        sheet.paste(_covered(colors, maps[index]), (left, GAP))
        if place == 1:
            pen.rectangle((left - 3, GAP - 3, left + width + 2, GAP + height + 2), outline=COLOR, width=3)
        caption = f"{prediction.labels[index]}  {100 * prediction.probabilities[index]:.1f} %"
        while len(caption) > 1 and pen.textlength(caption, font) > width:
            caption = f"{caption[:-2]}…"
        pen.text((left, GAP + height + 4), caption, fill="black", font=font)
    return sheet


def _covered(image: "Image.Image", strength: NDArray[np.float32]) -> "Image.Image":
    """The image in gray, with color where the map [h, w] is strong."""
    from PIL import Image

    mask = Image.fromarray(np.round(255 * COVER * strength).astype(np.uint8)).resize(image.size, Image.Resampling.BICUBIC)
    return Image.composite(Image.new("RGB", image.size, COLOR), image.convert("L").convert("RGB"), mask)
