"""A classifier while it learns: one update at a time, and all that the next update needs."""

import contextlib
import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from nin_onnx.train.augmentation import augment, draw
from nin_onnx.train.capture import Captured
from nin_onnx.train.device import autocast, precision
from nin_onnx.train.initialisation import initialise
from nin_onnx.train.network import Classifier, channels_last, logits
from nin_onnx.train.optimizer import Optimizer
from nin_onnx.train.randomness import Purpose, key, seeded
from nin_onnx.train.recipe import Recipe
from nin_onnx.train.schedule import average_weights
from nin_onnx.train.team import Team

__all__ = ["Learner"]


class Learner:
    """The weights, their moving average, and the optimizer's momentum, on one device; `begin` or `restore` comes first."""

    def __init__(
        self,
        recipe: Recipe,
        classifier: Classifier,
        device: torch.device,
        team: Team | None = None,
        echo: Callable[[str], None] = lambda line: None,
        *,
        deterministic: bool = False,
    ) -> None:
        self.recipe, self.device, self.team = recipe, device, team or Team()
        self.dtype = precision(recipe.train.precision, device)
        classifier.to(device)
        self.preprocessing = classifier.preprocessing
        self.network = channels_last(classifier.network)
        self.micro_batch = recipe.train.micro_batch or (recipe.train.batch_size if device.type == "cuda" else 32)
        self.dropouts = self.network.dropouts()
        self.keys = [torch.zeros((), dtype=torch.int64, device=device) for _ in self.dropouts]
        for dropout, place in zip(self.dropouts, self.keys, strict=True):
            dropout.key = place
        self.forward: nn.Module = self.network.for_training()
        self.unsynchronised: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
        if self.team.size > 1:
            parallel = DistributedDataParallel(self.forward, gradient_as_bucket_view=True)
            self.forward, self.unsynchronised = parallel, parallel.no_sync
            # Its first pass sums the gradients in another order than those that follow; a resumed run has had it too.
            parallel(torch.zeros(1, *self.network.architecture.input, device=device)).sum().backward()
            parallel.zero_grad()
        # Deterministic runs go without, so that a resumed one, which begins with other passes, ends with the same bytes.
        alone = self.team.size == 1 and device.type == "cuda" and not deterministic
        self.captured = (
            Captured(self._forward_backward, list(self.network.parameters()), recipe.train.batch_size, echo) if alone else None
        )
        self.average = copy.deepcopy(self.network) if recipe.schedule.average else None
        self.optimizer = Optimizer(self.network, recipe.optimizer)
        self.first_bias = next(weight for name, weight in self.network.named_parameters() if name.endswith("bias"))
        self.silent = torch.zeros((), dtype=torch.int64, device=device)
        """Steps in a row in which no gradient reached the first layer."""

    def begin(self, seed: int) -> None:
        """Draw the first weights; every later random choice follows from `seed` too."""
        self.seed = seed
        initialise(self.network, self.recipe.network, seeded(seed, Purpose.INITIALISATION))
        if self.average is not None:
            self.average.load_state_dict(self.network.state_dict())

    def result(self) -> Classifier:
        """What is judged and kept: the classifier with the averaged weights, or with the last ones where none are averaged."""
        return Classifier(self.preprocessing, self.network if self.average is None else self.average)

    def step(self, images: Tensor, labels: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """Update number `number` from a batch, uint8 `images` [N, height, width, channels] and `labels` [N].

        In a team every process is given the whole batch, and learns from its part of it. Gives the summed loss and the count
        of errors of that part, on the device.
        """
        self.network.train()
        augmentation, mine = self.recipe.augmentation, self.team.part(len(labels))
        choices = draw(augmentation, key(self.seed, Purpose.AUGMENTATION, number), mine, self.device)
        x = augment(self.preprocessing(images[mine]), augmentation, choices).contiguous(memory_format=torch.channels_last)
        for layer, place in enumerate(self.keys):
            place.fill_(key(self.seed, Purpose.DROPOUT, number, layer))
        if self.captured is not None:
            loss, wrong = self.captured(x, labels)
        else:
            loss, wrong = self._forward_backward(x, labels[mine], len(labels), mine.start)
        assert self.first_bias.grad is not None
        self.silent.copy_(torch.where(self.first_bias.grad.any(), 0, self.silent + 1))
        self.optimizer.step()
        if self.average is not None:
            average_weights(self.average, self.network, self.recipe.schedule.average, number)
        return loss, wrong

    def _forward_backward(self, x: Tensor, truth: Tensor, whole: int = 0, first: int = 0) -> tuple[Tensor, Tensor]:
        """Leave the gradients of `x` [N, C, H, W], the images from `first` on in a batch of `whole`, or all of it."""
        micro_batches, truths = x.split(self.micro_batch), truth.split(self.micro_batch)
        loss, wrong = (torch.zeros((), device=self.device) for _ in range(2))
        for micro, (part, labels) in enumerate(zip(micro_batches, truths, strict=True), 1):
            for dropout in self.dropouts:
                dropout.first = first
            with contextlib.nullcontext() if micro == len(truths) else self.unsynchronised():
                with autocast(self.device, self.dtype):
                    scores = logits(self.forward(part).float())
                part_loss = functional.cross_entropy(
                    scores, labels, reduction="sum", label_smoothing=self.recipe.optimizer.label_smoothing
                )
                (part_loss * (self.team.size / (whole or len(truth)))).backward()  # a team takes the mean of its gradients
            loss += part_loss.detach()
            wrong += (scores.argmax(1) != labels).sum()
            first += len(labels)
        return loss, wrong

    def state(self) -> dict[str, Tensor]:
        """All that the next step needs but for the seed, by name; not copied."""
        state = {f"network/{name}": weight.detach() for name, weight in self.network.named_parameters()}
        if self.average is not None:
            state |= {f"average/{name}": weight.detach() for name, weight in self.average.named_parameters()}
        momentum = {f"momentum/{name}": tensor for name, tensor in self.optimizer.momentum().items()}
        return state | momentum | {"silent": self.silent}

    def restore(self, state: dict[str, Tensor], seed: int) -> None:
        """Put back what `state` gave; raises `ValueError` where it is another network's."""
        self.seed = seed
        mine = self.state()
        if {name: tensor.shape for name, tensor in state.items()} != {name: tensor.shape for name, tensor in mine.items()}:
            raise ValueError("its tensors are not this network's")
        for name, tensor in mine.items():
            tensor.copy_(state[name])
