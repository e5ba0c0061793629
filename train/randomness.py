"""Every random choice of a training is a function of (seed, purpose, step), so that it can be repeated from anywhere."""

from enum import IntEnum

import numpy as np
import torch

__all__ = ["Purpose", "reseed", "seeded"]


class Purpose(IntEnum):
    """What the random numbers are for; part of the key, so that no two uses share them."""

    INITIALISATION = 0
    ORDER = 1
    AUGMENTATION = 2
    DROPOUT = 3


def reseed(generator: torch.Generator, seed: int, purpose: Purpose, *position: int) -> torch.Generator:
    """Set `generator` to the beginning of the stream of (seed, purpose, position)."""
    # PyTorch's CPU generator keeps 32 bits of its seed; SeedSequence spreads the key over them.
    key = np.random.SeedSequence((seed, purpose, *position)).generate_state(1, np.uint32)[0]
    return generator.manual_seed(int(key))


def seeded(seed: int, purpose: Purpose, *position: int) -> torch.Generator:
    """A new CPU generator at the beginning of the stream of (seed, purpose, position)."""
    return reseed(torch.Generator(), seed, purpose, *position)
