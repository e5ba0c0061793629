"""The locally connected layer of §4.6: a convolution with weights of its own at every position."""

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["LocallyConnected2d"]


class LocallyConnected2d(nn.Module):
    """[N, C, H, W] -> [N, channels, H, W]; `kernel` is odd, and zeros lie past the border."""

    def __init__(self, in_channels: int, channels: int, kernel: int, height: int, width: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.weight = nn.Parameter(torch.empty(height * width, in_channels * kernel**2, channels))
        self.bias = nn.Parameter(torch.zeros(channels, height, width))

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        padded = functional.pad(x, (self.kernel // 2,) * 4)
        window = range(self.kernel)
        seen = torch.cat([padded[:, :, i : i + height, j : j + width] for i in window for j in window], dim=1)
        positions = seen.flatten(2).permute(2, 0, 1)  # [H·W, N, C·kernel²]
        summed = (positions @ self.weight).permute(1, 2, 0)  # [N, channels, H·W]
        return summed.reshape(-1, summed.shape[1], height, width) + self.bias
