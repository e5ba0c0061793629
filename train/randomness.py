"""Every random choice of a training is a function of (seed, purpose, step, sample), so that it can be repeated from anywhere."""

from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

__all__ = ["Purpose", "key", "random_words", "seeded"]


class Purpose(IntEnum):
    """What the random numbers are for; part of the key, so that no two uses share them."""

    INITIALIZATION = 0
    ORDER = 1
    AUGMENTATION = 2
    DROPOUT = 3


def key(seed: int, purpose: Purpose, *position: int) -> int:
    """A number of 64 bits, signed, that (seed, purpose, position) is spread over."""
    return int(np.random.SeedSequence((seed, purpose, *position)).generate_state(1, np.uint64).view(np.int64)[0])


def seeded(seed: int, purpose: Purpose, *position: int) -> torch.Generator:
    """A new CPU generator at the beginning of the stream of (seed, purpose, position)."""
    return torch.Generator().manual_seed(key(seed, purpose, *position) & 0xFFFFFFFF)  # it keeps 32 bits of its seed


def random_words(start: int | Tensor, first: int, count: int, device: torch.device) -> Tensor:
    """Numbers `first` to `first + count` of the stream of `start`: int64 [count], every bit random, the same on every device.

    SplitMix64, of which any place can be calculated without those before it (Steele, Lea, Flood 2014, "Fast splittable
    pseudorandom number generators", OOPSLA; the constants of its Figure 16's mix64variant13).
    """
    words = torch.arange(first + 1, first + count + 1, device=device)
    words.mul_(_signed(0x9E3779B97F4A7C15)).add_(start)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        words.bitwise_xor_(_shifted(words, shift)).mul_(_signed(factor))
    return words.bitwise_xor_(_shifted(words, 31))


def _signed(word: int) -> int:
    """The int64 with the bits of `word`, 64 of them."""
    return word - (1 << 64) if word >> 63 else word


def _shifted(words: Tensor, bits: int) -> Tensor:
    """`words` moved right by `bits`, zeros moving in: PyTorch's own shift would repeat the sign."""
    return words.bitwise_right_shift(bits).bitwise_and_((1 << (64 - bits)) - 1)
