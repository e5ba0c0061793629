"""The embedding API: images in, labels, probabilities and class maps out, with NumPy and ONNX Runtime alone."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, TypedDict, Unpack, get_args

import numpy as np
from numpy.typing import NDArray

from nin_onnx import models
from nin_onnx.card import CARD_KEY, Card
from nin_onnx.errors import ImageError, MissingExtraError, ModelError, UnknownNameError
from nin_onnx.fit import Fit
from nin_onnx.images import ImageLike, as_pixels
from nin_onnx.session import Provider, open_session, read_signature

__all__ = ["Classifier", "Prediction", "Scaling"]

BATCH = 32  # images that are run at once where the graph leaves that free: more gain little, and take their memory

Numbers = float | Sequence[float]


class Scaling(TypedDict, total=False):
    """The numbers that a model takes for pixels: (pixel · `scale` - `mean`) / `std`, each one, or one for each channel."""

    scale: Numbers | None
    mean: Numbers | None
    std: Numbers | None


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says of one image. Its arrays cannot be written to."""

    labels: tuple[str, ...]
    probabilities: NDArray[np.float32]
    """[classes], in the order of `labels`."""
    class_maps: NDArray[np.float32] | None
    """[classes, h, w]: where in the image each class was seen (paper §4.7); None from a model that has none."""

    @property
    def index(self) -> int:
        """Of the most probable class."""
        return int(self.probabilities.argmax())

    @property
    def label(self) -> str:
        """Of the most probable class."""
        return self.labels[self.index]

    @property
    def probability(self) -> float:
        """Of the most probable class."""
        return float(self.probabilities[self.index])

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The most probable labels with their probabilities, highest first."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self.labels[at], float(self.probabilities[at])) for at in order]


class Classifier:
    """An ONNX image classifier, ready to answer; threads may share it.

    `model` is a shipped name, an .onnx file, its folder or a run. A model with a card needs nothing else. Of one from
    elsewhere the caller says what its file does not: the `labels` (else the numbers of its classes); and if it takes
    floating point numbers, which: `scale`, `mean` and `std`, as `Scaling` has them. `size` is the
    (height, width) of a graph that leaves them free, `fit` how an image comes to it: stretched, or cropped. `providers` are
    ONNX Runtime's; `threads` is how many it computes with, by default as many as there are cores.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        labels: Sequence[str] | None = None,
        size: tuple[int, int] | None = None,
        fit: Fit | None = None,
        providers: Sequence[Provider] = ("CPUExecutionProvider",),
        threads: int | None = None,
        **scaling: Unpack[Scaling],
    ) -> None:
        if unknown := sorted(scaling.keys() - Scaling.__annotations__.keys()):
            raise TypeError(f"Classifier got an unexpected keyword argument '{unknown[0]}'")
        self.path = models.find(os.fspath(model))
        self._session = open_session(str(self.path), providers, threads)
        self._signature = read_signature(str(self.path), self._session)
        text = self._session.get_modelmeta().custom_metadata_map.get(CARD_KEY)
        self.card = None if text is None else Card.from_json(text)
        self.labels = self._find_labels(labels)
        self.height, self.width = self._find_size(size)
        self.channels = self._signature.channels
        self.fit: Fit = fit or (self.card.fit if self.card else "stretch")
        if self.fit not in get_args(Fit):
            raise UnknownNameError("fit", self.fit, get_args(Fit))
        self._scale, self._mean, self._std = self._find_scaling(**scaling)

    @property
    def providers(self) -> tuple[str, ...]:
        """ONNX Runtime's back ends that run the graph, the preferred one first."""
        return tuple(self._session.get_providers())

    def __call__(self, image: ImageLike) -> Prediction:
        """What the model says of one image; raises `ImageError` for what is none."""
        if isinstance(image, list | tuple) or (isinstance(image, np.ndarray) and image.ndim == 4):
            raise ImageError("several images were given where one is expected: classifier.batch(images)")
        return self.batch([image])[0]

    def batch(self, images: Iterable[ImageLike]) -> list[Prediction]:
        """What it says of each of several: any mixture, or an array uint8 [N, height, width] or [N, height, width, channels]."""
        single = isinstance(images, np.ndarray) and (images.ndim < 3 or (images.ndim == 3 and images.shape[2] <= 4))
        if single or isinstance(images, str | os.PathLike) or not isinstance(images, Iterable):  # Pillow's images are none
            raise ImageError("one image was given where several are expected: classifier(image)")
        waiting, step = list(images), self._signature.batch or BATCH
        found: list[Prediction] = []
        for first in range(0, len(waiting), step):
            found += self._run(np.stack([self.pixels(image) for image in waiting[first : first + step]]))
        return found

    def pixels(self, image: ImageLike) -> NDArray[np.uint8]:
        """What the model sees of an image: [height, width, channels]."""
        try:
            return as_pixels(image, self.height, self.width, self.channels, self.fit)
        except ImportError as error:
            if find_spec("PIL") is not None:
                raise
            raise MissingExtraError("an image that is not an array of the model's own size", "pillow", "images") from error
        except ValueError as error:
            name = f"'{os.fspath(image)}'" if isinstance(image, str | os.PathLike) else "an image"
            raise ImageError(f"{name} cannot be used ({error}): give another") from error

    def _run(self, pixels: NDArray[np.uint8]) -> list[Prediction]:
        """What the graph says of pixels [N, height, width, channels], no more than it takes at once."""
        count, takes = len(pixels), self._signature
        if takes.batch:  # the places that are left take the last image again
            pixels = np.concatenate([pixels, np.repeat(pixels[-1:], takes.batch - count, 0)])
        values: NDArray[Any] = pixels
        if takes.dtype is not np.uint8:
            values = ((pixels * self._scale - self._mean) / self._std).astype(takes.dtype)
        if takes.planar:
            values = np.ascontiguousarray(values.transpose(0, 3, 1, 2))
        wanted = [takes.scores, takes.class_maps] if takes.class_maps else [takes.scores]
        scores, *maps = self._session.run(wanted, {takes.input: values})
        if len(scores) != len(values) or scores.size != len(values) * len(self.labels):  # no graph must declare its shapes
            raise ModelError(
                f"'{self.path}' gives scores '{list(scores.shape)}' for {len(values)} images and {len(self.labels)} labels, "
                f"expected '{[len(values), len(self.labels)]}': give one label for each class, or another model"
            )
        probabilities = _probabilities(scores[:count].reshape(count, -1))
        class_maps = maps[0][:count].astype(np.float32, copy=False) if maps else [None] * count
        for array in (probabilities, class_maps):
            if isinstance(array, np.ndarray):
                array.flags.writeable = False
        return [Prediction(self.labels, *one) for one in zip(probabilities, class_maps, strict=True)]

    def _find_labels(self, given: Sequence[str] | None) -> tuple[str, ...]:
        classes = self._signature.classes
        known = self.card.labels if self.card else tuple(map(str, range(classes or 0)))
        labels = known if given is None else tuple(given)
        if not labels or len(labels) != (classes or len(labels)):
            raise ModelError(
                f"'{self.path}' tells {classes or 'an unknown number of'} classes apart, and {len(labels)} labels are known: "
                "give one for each class (labels)"
            )
        return labels

    def _find_size(self, given: tuple[int, int] | None) -> tuple[int, int]:
        """Height and width: the graph's own; where it leaves them free, those given, or else the card's."""
        own = (self._signature.height, self._signature.width)
        wanted = given or ((self.card.height, self.card.width) if self.card else own)
        height, width = (fixed or other for fixed, other in zip(own, wanted, strict=True))
        if not height or not width:
            raise ModelError(f"'{self.path}' takes images of any size: give that of its training (size=(height, width))")
        if given and (height, width) != tuple(given):
            raise ModelError(f"'{self.path}' takes images of {height} × {width}, not of {given[0]} × {given[1]}: leave size out")
        return height, width

    def _find_scaling(
        self, scale: Numbers | None = None, mean: Numbers | None = None, std: Numbers | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Return scale, mean and std; raises `ModelError` if they are lacking, or are in the graph already."""
        raw = self.card is not None or self._signature.dtype is np.uint8
        if raw and any(number is not None for number in (scale, mean, std)):
            raise ModelError(f"'{self.path}' takes raw pixels, its preprocessing is inside: leave scale, mean and std out")
        if not raw and scale is None:
            raise ModelError(
                f"'{self.path}' takes floating point numbers, and does not say how pixels become such: give scale, and mean and "
                "std where it was trained with them (scale=1/255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))"
            )
        return self._per_channel("scale", scale, 1), self._per_channel("mean", mean, 0), self._per_channel("std", std, 1)

    def _per_channel(self, name: str, given: Numbers | None, default: float) -> NDArray[np.float32]:
        array = np.asarray(default if given is None else given, np.float32)
        if array.shape not in ((), (self.channels,)) or (name != "mean" and not (array > 0).all()):
            kind = "number" if name == "mean" else "positive number"
            raise ModelError(f"{name} '{given}': expected one {kind}, or one for each of {self.channels} channels")
        return array


def _probabilities(scores: NDArray[Any]) -> NDArray[np.float32]:
    """Scores [N, classes], an image's as they are where they are probabilities, or else their softmax."""
    wide = scores.astype(np.float64)
    powers = np.exp(wide - wide.max(1, keepdims=True))
    are = (wide >= 0).all(1, keepdims=True) & (abs(wide.sum(1, keepdims=True) - 1) <= 1e-3)  # [N, 1]
    return np.where(are, wide, powers / powers.sum(1, keepdims=True)).astype(np.float32)
