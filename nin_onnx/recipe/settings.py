"""A recipe as frozen data: its sections, its keys, and which values they may have."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple

from nin_onnx.architecture import Architecture, architecture
from nin_onnx.fit import Fit

__all__ = [
    "FROM_FOLDER",
    "PREPROCESSING",
    "AugmentationSettings",
    "FolderSettings",
    "NetworkSettings",
    "OptimizerSettings",
    "Promise",
    "Range",
    "Recipe",
    "ScheduleSettings",
    "TrainSettings",
]

FROM_FOLDER = "folder"
"""The data set of a user's own images."""
PREPROCESSING: Mapping[str, str] = MappingProxyType(
    {
        "scale": "nin_onnx.train.preprocessing.pixels:Scale",
        "standardize": "nin_onnx.train.preprocessing.pixels:Standardize",
        "mean_image": "nin_onnx.train.preprocessing.pixels:MeanImage",
        "gcn": "nin_onnx.train.preprocessing.contrast:GlobalContrast",
        "gcn55": "nin_onnx.train.preprocessing.contrast:GlobalContrast55",
        "zca": "nin_onnx.train.preprocessing.whitening:Whitening",
        "lcn": "nin_onnx.train.preprocessing.contrast:LocalContrast",
    }
)
"""Steps of the preprocessing, and the `module:class` of each, which only a training imports."""


class Range(NamedTuple):
    """Which values a key may have."""

    holds: Callable[[Any], bool]
    wording: str


Count = Annotated[int, Range(lambda value: value >= 1, "1 or more")]
Natural = Annotated[int, Range(lambda value: value >= 0, "0 or more")]
Positive = Annotated[float, Range(lambda value: 0 < value < math.inf, "a finite number above 0")]
NotNegative = Annotated[float, Range(lambda value: 0 <= value < math.inf, "a finite number, 0 or more")]
Share = Annotated[float, Range(lambda value: 0 <= value < 1, "from 0 to below 1")]
OpenShare = Annotated[float, Range(lambda value: 0 < value < 1, "between 0 and 1")]


@dataclass(frozen=True)
class NetworkSettings:
    """`[network]`: which architecture, and what the recipe decides about it."""

    architecture: str
    last_relu: bool = True
    """Whether the class maps go through a ReLU, as in the paper."""
    dropout: Share = 0.5
    dropout_scaling: Literal["training", "test"] = "training"
    """`training`: what stays is multiplied by 1 / (1 - dropout). `test`: by 1 - dropout later, as the author did."""
    initialization: Literal["normal", "he"] = "normal"
    """`normal`: N(0, std²), the author's. `he`: N(0, 2 / fan-in), the last layer's weights × 0.1."""
    std: Positive = 0.05
    layer_std: Mapping[str, Positive] = field(default_factory=dict)
    """`normal`: a std of their own for some layers."""
    maps_bias: NotNegative = 0.0
    """First bias of the layer that gives the class maps, 0 in the paper. With 0.5 every map begins above 0, where the last ReLU
    passes gradients. Without that ReLU, and under global average pooling, it would change no probability."""


@dataclass(frozen=True)
class Promise:
    """`promise`, in shipped recipes: what was measured. It decides nothing, and no run repeats it."""

    error: str
    """Per cent of the test images, over which seeds."""
    cost: str
    """Time, on what."""


@dataclass(frozen=True)
class FolderSettings:
    """`[folder]`: where the images of the data set `folder` lie, and how they become the network's input."""

    path: str
    """A sub-folder for each class, whose name is the label; like `test_path`, seen from where the command is given."""
    test_path: str | None = None
    """The test images, in the same way; where it is not named, a share of `path` is the test set."""
    test_share: OpenShare = 0.2
    """Of each class, drawn by `seed` and the files' names."""
    seed: Natural = 0
    height: Count | None = None
    """In pixels, as `width`; the architecture's where it is not named."""
    width: Count | None = None
    fit: Fit = "stretch"
    """`stretch`: to that size. `crop`: the shorter side to that size, and the middle of the longer one."""


@dataclass(frozen=True)
class AugmentationSettings:
    """`[augmentation]`, applied after preprocessing; off where not named (paper §4.2 pads by 4 and flips)."""

    padding: Natural = 0
    """Zeros on each side, of which a random crop of the first size is cut."""
    flip: bool = False


@dataclass(frozen=True)
class TrainSettings:
    """`[train]`: how long, and in which portions."""

    epochs: Count
    """With `schedule.kind` `plateau` at most so many."""
    batch_size: Count = 128
    micro_batch: Count | None = None
    """Images that go through the network at once; the gradient is that of the whole batch. Where it is not named, 32 on a CPU,
    so that the activations stay in its cache, and all on a GPU."""
    validation: Natural = 0
    """Images at the end of the training set that are held out and reported on after each epoch."""
    test_curve: bool = False
    """Whether the test error is counted after each epoch too, to be drawn beside the paper's Figure 3; choose nothing by it."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto`: bf16 where the hardware computes in it."""


@dataclass(frozen=True)
class OptimizerSettings:
    """`[optimizer]`: how gradients change the weights, and the paper's groups of parameters."""

    learning_rate: Positive
    """Of the weights, at the schedule's highest."""
    kind: Literal["sgd", "muon"] = "sgd"
    """`sgd`: stochastic gradient descent with momentum, the paper's. `muon`: weights of convolutions and fully connected
    layers, first and last too, as matrices [outputs, everything else], move by their Nesterov momentum made orthogonal, at
    the rate × √max(1, outputs / everything else) (Jordan et al. 2024, as `torch.optim.Muon`; in bf16 whatever `precision` is);
    all others as with `sgd`."""
    momentum: Share = 0.9
    weight_decay: NotNegative = 1e-4
    """Of the weights; biases have none. `sgd` adds it × weight to the gradient; `muon`'s matrices shrink by it × the learning
    rate in each step."""
    bias_lr_mult: NotNegative = 2.0
    """Learning rate of the biases over that of the weights."""
    last_layer_lr_mult: NotNegative = 0.1
    """Learning rate of the last layer over that of the others."""
    label_smoothing: Share = 0.0


@dataclass(frozen=True)
class ScheduleSettings:
    """`[schedule]`: the learning rate over time, and the averaging of the weights."""

    kind: Literal["stepped", "plateau", "one-cycle"]
    milestones: tuple[Count, ...] = ()
    """`stepped`: epochs after which the learning rate is divided by 10."""
    patience: Count = 5
    """`plateau`: epochs without a new lowest training error after which the learning rate is divided by 10, twice; the third time
    the training ends (paper §4: "until the accuracy on the training set stops improving")."""
    warmup: Share = 0.1
    """`one-cycle`: share of the steps that rise to the full learning rate; the rest falls to 0 along a cosine."""
    ema_decay: Share = 0.0
    """Decay, per step, of an exponential moving average of the weights; 0 keeps the last weights."""


@dataclass(frozen=True)
class Recipe:
    """All that decides the outcome of a training, but for the seed."""

    name: str
    dataset: str
    network: NetworkSettings
    train: TrainSettings
    optimizer: OptimizerSettings
    schedule: ScheduleSettings
    preprocessing: tuple[str, ...] = ("scale", "standardize")
    """Steps in front of the network, first to last: names in `PREPROCESSING`."""
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)
    experiment: str | None = None
    """The published figure that the result is measured by."""
    folder: FolderSettings | None = None
    """For the data set `folder` only."""

    def table(self, classes: int | None = None) -> Architecture:
        """The network's table; adapted to the size of a folder's images and to its `classes`."""
        table = architecture(self.network.architecture)
        if self.folder is None:
            return table
        channels, height, width = table.input
        return table.adapted((channels, self.folder.height or height, self.folder.width or width), classes or table.classes)
