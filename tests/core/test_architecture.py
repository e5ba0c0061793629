"""The tables against what the author released, and against the paper."""

import itertools

import pytest

from nin_onnx.architecture import (
    ARCHITECTURES,
    Architecture,
    Conv,
    Dropout,
    GlobalAveragePool,
    LocallyConnected,
    MaxPool,
    architecture,
)
from nin_onnx.costs import layers
from nin_onnx.errors import UnknownNameError

# What the author released: channels/kernel/padding of each convolution, "P" for max pooling and the dropout behind it.
RELEASED = {
    "nin-cifar10": "192/5/2 160/1/0 96/1/0 P 192/5/2 192/1/0 192/1/0 P 192/3/1 192/1/0 10/1/0",
    "nin-cifar100": "192/5/2 160/1/0 96/1/0 P 192/5/2 192/1/0 192/1/0 P 192/3/1 192/1/0 100/1/0",
    "nin-svhn": "128/5/2 96/1/0 64/1/0 P 320/5/2 256/1/0 128/1/0 P 384/5/2 256/1/0 10/1/0",
    "nin-mnist": "96/5/2 64/1/0 48/1/0 P 128/5/2 96/1/0 48/1/0 P 128/5/2 96/1/0 10/1/0",
}
EVERY = pytest.mark.parametrize("network", ARCHITECTURES.values(), ids=ARCHITECTURES)


@pytest.mark.parametrize("name", RELEASED)
def test_the_layers_are_those_that_the_author_released(name: str) -> None:
    rows = architecture(name).rows
    written = {Conv: "{0.channels}/{0.kernel}/{0.padding}", MaxPool: "P"}
    assert " ".join(written[type(row)].format(row) for row in rows if type(row) in written) == RELEASED[name]
    assert [after for before, after in itertools.pairwise(rows) if isinstance(before, MaxPool)] == [
        Dropout("drop1"),
        Dropout("drop2"),
    ]
    assert [(row.kernel, row.stride) for row in rows if isinstance(row, MaxPool)] == [(3, 2), (3, 2)]
    assert isinstance(rows[-1], GlobalAveragePool)


@pytest.mark.parametrize("name", ["cnn-gap", "cnn-fc", "cnn-fc-dropout"])
def test_the_conventional_networks_have_three_convolutions_and_a_local_layer_of_10_maps(name: str) -> None:
    """Paper §4.6."""
    rows = architecture(name).rows
    assert [type(row) for row in rows if isinstance(row, Conv | LocallyConnected)] == [Conv, Conv, Conv, LocallyConnected]
    assert architecture(name).maps.channels == 10


@EVERY
def test_an_adapted_network_gives_the_classes_that_were_asked_for(network: Architecture) -> None:
    channels, height, width = network.input
    adapted = network.adapted((channels, height + 9, width + 4), 7)
    assert layers(adapted)[-1].output == (7, 1, 1)
    assert layers(adapted)[0].input == (channels, height + 9, width + 4)
    assert adapted.maps.channels == 7
    assert [row.name for row in adapted.rows] == [row.name for row in network.rows]
    assert network.adapted(network.input, network.classes) == network


@EVERY
def test_every_row_of_a_network_has_a_name_of_its_own(network: Architecture) -> None:
    names = [row.name for row in network.rows]
    assert len(set(names)) == len(names)


def test_an_unknown_architecture_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(
        UnknownNameError, match=r"^unknown architecture 'nin-cifar': did you mean 'nin-cifar10'\? known are cnn-fc, "
    ):
        architecture("nin-cifar")
