"""What every runtime is tried with beside the data set: the golden images in batches of several sizes, twice, among others."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_onnx.golden import Golden
from nin_onnx.runtimes.parity import Parity, defect, largest_difference

__all__ = ["AGAIN", "NEIGHBORS", "SIZES", "Probe", "examine", "probes"]

SIZES = (1, 2, 7, 32)
"""Batches: alone, the smallest, one that fits no vector register, one that fills several."""
AGAIN, NEIGHBORS = "again", "neighbors"


@dataclass(frozen=True, eq=False)
class Probe:
    """Images to run in batches of one size; as many as fill all batches."""

    images: NDArray[Any]
    batch: int


def probes(images: NDArray[Any], fixed: int | None = None) -> dict[str, Probe]:
    """The probes made of golden `images`, by name; `fixed`: the only batch that the model takes, where it takes but one."""
    sizes = SIZES if fixed is None else (fixed,)
    found = {f"batch {size}": Probe(_cycled(images, size), size) for size in sizes}
    middle = found[f"batch {_middle(sizes)}"]
    found[AGAIN] = middle
    if middle.batch > 1:
        others = middle.images.copy()
        odd = _odd(len(others), middle.batch)
        others[odd] = others.max() - others[odd] + others.min()  # every other image as its negative
        found[NEIGHBORS] = replace(middle, images=others)
    return found


def examine(parity: Parity, outputs: Mapping[str, Mapping[str, NDArray[Any]]], golden: Golden) -> Parity:
    """What the probes add to the comparison with the golden vectors; `outputs` by probe and by name."""
    sizes = [int(name.split()[1]) for name in outputs if name.startswith("batch ")]
    if parity.problem or not sizes:
        return parity
    for name, arrays in outputs.items():
        for output, expected in golden.outputs.items():
            problem = defect(arrays, output, (len(_cycled(expected, _size(name, sizes))), *expected.shape[1:]))
            if problem:
                return replace(parity, problem=f"{name}: {problem}")
    batches = {str(size): _worst(outputs[f"batch {size}"], _expected(golden, size), golden) for size in sizes}
    middle = outputs[f"batch {_middle(sizes)}"]
    repeatable = all(np.array_equal(outputs[AGAIN][name], middle[name]) for name in golden.outputs)
    neighbors = None
    if NEIGHBORS in outputs:
        kept = ~_odd(len(middle[next(iter(golden.outputs))]), _middle(sizes))
        among_others = {name: outputs[NEIGHBORS][name][kept] for name in golden.outputs}
        neighbors = _worst(among_others, {name: middle[name][kept] for name in golden.outputs}, golden)
    found = replace(parity, batches=batches, repeatable=repeatable, neighbors=neighbors)
    return replace(found, problem=next(_problems(found), None))


def _problems(parity: Parity) -> Iterator[str]:
    for size, worst in parity.batches.items():
        if worst > parity.tolerance:
            yield f"differs from the golden vectors by {worst:.1e} in batches of {size}, at most {parity.tolerance:g} is allowed"
    if not parity.repeatable:
        yield "the same images twice give different outputs"
    if parity.neighbors is not None and parity.neighbors > parity.tolerance / 10:
        yield (
            f"an image's outputs depend on the other images of its batch: they move by {parity.neighbors:.1e}, "
            f"at most {parity.tolerance / 10:g} is allowed"
        )


def _worst(outputs: Mapping[str, NDArray[Any]], expected: Mapping[str, NDArray[Any]], golden: Golden) -> float:
    return max(largest_difference(outputs[name], expected[name]) / golden.scale(name) for name in golden.outputs)


def _expected(golden: Golden, size: int) -> dict[str, NDArray[Any]]:
    return {name: _cycled(array, size) for name, array in golden.outputs.items()}


def _cycled(array: NDArray[Any], size: int) -> NDArray[Any]:
    """The rows of `array`, from the first again where the last batch of `size` would not be full."""
    return array[np.arange(-(-len(array) // size) * size) % len(array)]


def _odd(count: int, batch: int) -> NDArray[np.bool_]:
    """Which of `count` rows stand at an odd place of their batch."""
    odd: NDArray[np.bool_] = np.arange(count) % batch % 2 == 1
    return odd


def _middle(sizes: tuple[int, ...] | list[int]) -> int:
    """The batch for what is run again: an odd one with neighbors, where there is a choice."""
    return 7 if 7 in sizes else sizes[0]


def _size(probe: str, sizes: list[int]) -> int:
    return int(probe.split()[1]) if probe.startswith("batch ") else _middle(sizes)
