"""The processes that train together: one alone, or those that torchrun started, on one machine or several."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from nin_onnx.errors import TrainingError

__all__ = ["Team", "joined", "leads"]


@dataclass(frozen=True)
class Team:
    """The place of this process among `size`."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def part(self, count: int) -> slice:
        """Which of `count` things in a row fall to this process."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def sum(self, tensor: Tensor) -> Tensor:
        """`tensor` summed over all processes."""
        if self.size > 1:
            tensor = tensor.clone()
            distributed.all_reduce(tensor)
        return tensor

    def gather(self, tensor: Tensor) -> Tensor:
        """The `tensor` of each process: [size, …]."""
        if self.size == 1:
            return tensor[None]
        parts = [torch.empty_like(tensor) for _ in range(self.size)]
        distributed.all_gather(parts, tensor)
        return torch.stack(parts)

    def any(self, wishes: Iterable[bool], device: torch.device) -> tuple[bool, ...]:
        """Of each wish, whether one of the processes has it."""
        if self.size == 1:
            return tuple(wishes)
        counts = self.sum(torch.tensor(list(wishes), dtype=torch.int64, device=device))
        return tuple(bool(count) for count in counts.tolist())

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Give every process the leader's `tensors`, in their place."""
        if self.size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, 0)

    def wait(self) -> None:
        """Go on when every process is here."""
        if self.size > 1:
            distributed.barrier()


def leads() -> bool:
    """Whether this process speaks for the training: the first of a team, or one alone."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def joined(device: torch.device) -> Iterator[Team]:
    """The team of this process; a process that ends takes the others with it, each with its reason (`TrainingError`)."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:  # torchrun did not start this
        yield Team()
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    team = Team(distributed.get_rank(), distributed.get_world_size())
    try:
        yield team
    except RuntimeError as error:
        if isinstance(error, distributed.DistError) or "gloo" in str(error):
            raise TrainingError(f"process {team.rank} lost another one of this training: that one says why") from error
        raise
    finally:
        distributed.destroy_process_group()
