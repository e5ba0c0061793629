"""What every preprocessing step is."""

from collections.abc import Iterable
from typing import ClassVar

from torch import Tensor, nn

__all__ = ["Step"]


class Step(nn.Module):
    """One step: images [N, channels, height, width] in, the same shape out."""

    any_size: ClassVar[bool] = False
    """Whether it does the same to images of another size than that it was fitted to."""

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Learn the step's buffers from float64 batches of the training images, as the steps before it left them."""

    def settle(self) -> None:
        """Bring buffers that were read from a checkpoint of an older version to the form in which `fit` leaves them now."""
