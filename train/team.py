"""The processes that train together: one alone, or those that torchrun started, on one machine or several."""

import gc
import os
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed

from nin_onnx.errors import TrainingError

__all__ = ["Team", "joined", "leads"]

PATIENCE = timedelta(hours=2)  # the leader may have a large data set to download and to whiten while the others wait


@dataclass(frozen=True)
class Team:
    """The place of this process among `size`."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    @property
    def leads_its_machine(self) -> bool:
        """Whether this is the process that downloads."""
        return self.size == 1 or os.environ.get("LOCAL_RANK", "0") == "0"

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
    """The team of this process; one that ends takes the others with it, each with its reason (`TrainingError`)."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:  # torchrun did not start this
        yield Team()
        return
    if device.type == "cuda":
        distributed.init_process_group("nccl", timeout=PATIENCE, device_id=device)
    else:
        distributed.init_process_group("gloo", timeout=PATIENCE)
    team = Team(distributed.get_rank(), distributed.get_world_size())
    try:
        yield team
    except BaseException as error:
        if device.type == "cpu":  # with NCCL this may wait for processes that never come; torchrun ends those
            traceback.clear_frames(error.__traceback__)
            _leave()
        if isinstance(error, distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error)):
            raise TrainingError(f"process {team.rank} lost another one of this training: that one says why") from error
        raise
    _leave()


def _leave() -> None:
    """End the group. What still refers to it goes first: gloo's threads would end the interpreter's last moments in SIGABRT."""
    gc.collect()
    distributed.destroy_process_group()
