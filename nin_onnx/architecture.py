"""The networks as tables of rows.

Source: Lin, Chen, Yan, "Network in Network", arXiv:1312.4400 v3, and the layer definitions that the author released
(mavenlin/cuda-convnet, folder NIN). Every `Conv` and `LocallyConnected` is followed by a ReLU; whether the class maps under
global average pooling are too, the recipe says.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from nin_onnx.errors import UnknownNameError

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Conv",
    "Dropout",
    "FullyConnected",
    "GlobalAveragePool",
    "LocallyConnected",
    "MaxPool",
    "Row",
    "Shape",
    "architecture",
]

Shape = tuple[int, int, int]
"""Channels, height, width."""


@dataclass(frozen=True)
class Conv:
    """A convolution with bias, stride 1, and the ReLU behind it; with kernel 1 the paper's cccp layer."""

    name: str
    channels: int
    kernel: int = 1
    padding: int = 0


@dataclass(frozen=True)
class LocallyConnected:
    """A convolution that keeps the size and has weights of its own at every position, and the ReLU behind it (§4.6)."""

    name: str
    channels: int
    kernel: int = 3


@dataclass(frozen=True)
class MaxPool:
    """Overlapping max pooling in ceil mode: the last window may reach past the right and bottom border."""

    name: str
    kernel: int = 3
    stride: int = 2


@dataclass(frozen=True)
class Dropout:
    """Dropout of single activations; the recipe sets the rate (0.5 in the paper)."""

    name: str


@dataclass(frozen=True)
class GlobalAveragePool:
    """The mean of each class map is that class's logit (paper §3.2)."""

    name: str


@dataclass(frozen=True)
class FullyConnected:
    """A linear layer over all that comes in: its outputs are the logits (Table 5, §4.6)."""

    name: str
    units: int


Row = Conv | LocallyConnected | MaxPool | Dropout | GlobalAveragePool | FullyConnected


@dataclass(frozen=True)
class Architecture:
    """A network: what goes in, how many classes come out, and its rows from input to output."""

    name: str
    input: Shape
    classes: int
    rows: tuple[Row, ...]

    @property
    def class_maps(self) -> bool:
        """Whether there is a map for each class, whose mean is the class's logit."""
        return isinstance(self.rows[-1], GlobalAveragePool)

    @property
    def maps(self) -> Conv | LocallyConnected:
        """The row that makes the last maps: the class maps, or what the fully connected layer sees."""
        return [row for row in self.rows if isinstance(row, Conv | LocallyConnected)][-1]

    def adapted(self, shape: "Shape", classes: int) -> "Architecture":
        """The same network for images of another shape and for so many classes; its last maps stay one for each class."""
        rows: dict[Row, Row] = {self.maps: replace(self.maps, channels=classes)}
        if isinstance(last := self.rows[-1], FullyConnected):
            rows[last] = replace(last, units=classes)
        return replace(self, input=shape, classes=classes, rows=tuple(rows.get(row, row) for row in self.rows))


def mlpconv(number: int, kernel: int, conv: int, first: int, second: int) -> tuple[Row, Row, Row]:
    """The paper's mlpconv layer: a convolution that keeps the size, and two cccp layers (§3.1)."""
    return (
        Conv(f"conv{number}", conv, kernel, kernel // 2),
        Conv(f"cccp{2 * number - 1}", first),
        Conv(f"cccp{2 * number}", second),
    )


def mlpconvs(maps: int) -> tuple[Row, ...]:
    """The CIFAR networks up to their last maps, `maps` of them."""
    return (
        *mlpconv(1, 5, 192, 160, 96), MaxPool("pool1"), Dropout("drop1"),
        *mlpconv(2, 5, 192, 192, 192), MaxPool("pool2"), Dropout("drop2"),
        *mlpconv(3, 3, 192, 192, maps),
    )  # fmt: skip


_CIFAR10 = Architecture("nin-cifar10", (3, 32, 32), 10, (*mlpconvs(10), GlobalAveragePool("pool3")))
_CIFAR100 = Architecture("nin-cifar100", (3, 32, 32), 100, (*mlpconvs(100), GlobalAveragePool("pool3")))
_SVHN = Architecture("nin-svhn", (3, 32, 32), 10, (
    *mlpconv(1, 5, 128, 96, 64), MaxPool("pool1"), Dropout("drop1"),
    *mlpconv(2, 5, 320, 256, 128), MaxPool("pool2"), Dropout("drop2"),
    *mlpconv(3, 5, 384, 256, 10), GlobalAveragePool("pool3"),
))  # fmt: skip
_MNIST = Architecture("nin-mnist", (1, 28, 28), 10, (
    *mlpconv(1, 5, 96, 64, 48), MaxPool("pool1"), Dropout("drop1"),
    *mlpconv(2, 5, 128, 96, 48), MaxPool("pool2"), Dropout("drop2"),
    *mlpconv(3, 5, 128, 96, 10), GlobalAveragePool("pool3"),
))  # fmt: skip
_DIGITS = Architecture("nin-digits", (1, 8, 8), 10, (  # not in the paper: a small one for an example that runs in a minute
    *mlpconv(1, 3, 32, 32, 32), MaxPool("pool1"), Dropout("drop1"),
    *mlpconv(2, 3, 64, 64, 64), MaxPool("pool2"), Dropout("drop2"),
    *mlpconv(3, 3, 64, 64, 10), GlobalAveragePool("pool3"),
))  # fmt: skip

# Table 5: a fully connected layer over the 10×8×8 maps in place of the pooling; the paper gives no other size (640 → 10).
_CIFAR10_FC = Architecture("nin-cifar10-fc", (3, 32, 32), 10, (*mlpconvs(10), FullyConnected("fc", 10)))
_CIFAR10_FC_DROPOUT = Architecture(
    "nin-cifar10-fc-dropout", (3, 32, 32), 10, (*mlpconvs(10), Dropout("drop3"), FullyConnected("fc", 10))
)

# §4.6: "a conventional CNN" with three convolutions and one locally connected layer of 10 maps. The paper gives no sizes, and
# points to Hinton et al. 2012 (arXiv:1207.0580): 64 filters of 5×5, each followed by overlapping pooling, and local filters of
# 3×3. Here all three pools take the maximum, and there is no response normalization.
_CNN: tuple[Row, ...] = (
    Conv("conv1", 64, 5, 2), MaxPool("pool1"),
    Conv("conv2", 64, 5, 2), MaxPool("pool2"),
    Conv("conv3", 64, 5, 2), MaxPool("pool3"),
    LocallyConnected("local4", 10),
)  # fmt: skip
_CNN_GAP = Architecture("cnn-gap", (3, 32, 32), 10, (*_CNN, GlobalAveragePool("pool4")))
_CNN_FC = Architecture("cnn-fc", (3, 32, 32), 10, (*_CNN, FullyConnected("fc", 10)))
_CNN_FC_DROPOUT = Architecture("cnn-fc-dropout", (3, 32, 32), 10, (*_CNN, Dropout("drop4"), FullyConnected("fc", 10)))

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        network.name: network
        for network in (
            *(_CIFAR10, _CIFAR100, _SVHN, _MNIST, _DIGITS),
            *(_CIFAR10_FC, _CIFAR10_FC_DROPOUT, _CNN_GAP, _CNN_FC, _CNN_FC_DROPOUT),
        )
    }
)


def architecture(name: str) -> Architecture:
    """Return the architecture of that name; raises `UnknownNameError`."""
    if name not in ARCHITECTURES:
        raise UnknownNameError("architecture", name, ARCHITECTURES)
    return ARCHITECTURES[name]
