"""Dropout whose mask is a function of (seed, step, layer, sample): the same on every device, in any division of the batch."""

import torch
from torch import Tensor, nn

from nin_onnx.train.randomness import random_words

__all__ = ["SeededDropout"]


class SeededDropout(nn.Module):
    """Dropout of single activations; the training loop sets `key` and `first` before each pass.

    The mask is compared from random bytes, eight to a number: several times faster than `bernoulli_` on a CPU. So the rate is
    rounded to a multiple of 1/256, which 0.5 is. `scaling` says when the activations that stay are brought to the size of
    the others: `training` multiplies by 1 / (1 - rate) then, as PyTorch does; `test` by 1 - rate later, as the author did.
    """

    def __init__(self, rate: float, scaling: str = "training") -> None:
        super().__init__()
        self.dropped = min(round(rate * 256), 255)
        self.scaling = scaling
        self.key: int | Tensor = 0
        """Of the layer in this step, from `randomness.key`; replays of a CUDA graph read it anew if it is an int64 tensor []."""
        self.first = 0
        """Place of the first image in its batch."""

    def forward(self, x: Tensor) -> Tensor:
        kept_share = 1 - self.dropped / 256
        if not self.training:
            return x * kept_share if self.scaling == "test" and self.dropped else x
        if not self.dropped:
            return x
        n, c, h, w = x.shape
        size = -(-c * h * w // 8)
        words = random_words(self.key, self.first * size, n * size, x.device).view(n, size)
        noise = words.view(torch.uint8)[:, : c * h * w]
        noise = noise.reshape(n, h, w, c).permute(0, 3, 1, 2)  # lies in memory as x does in training: channels last
        kept = (noise >= self.dropped).to(x.dtype)
        if self.scaling == "training":
            kept.mul_(1 / kept_share)
        return x * kept
