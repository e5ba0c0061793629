"""A classifier while it learns: one update at a time, and all that the next update needs."""

import copy

import torch
from torch import Tensor
from torch.nn import functional

from nin_onnx.train.augmentation import augment, draw
from nin_onnx.train.device import autocast, precision
from nin_onnx.train.network import Classifier, channels_last, initialise
from nin_onnx.train.randomness import Purpose, key, seeded
from nin_onnx.train.recipe import Recipe
from nin_onnx.train.schedule import average_weights, parameter_groups

__all__ = ["Learner"]


class Learner:
    """The weights, their moving average, and the optimizer's momentum, on one device; `begin` or `restore` comes first."""

    def __init__(self, recipe: Recipe, classifier: Classifier, device: torch.device) -> None:
        self.recipe, self.device = recipe, device
        self.dtype = precision(recipe.train.precision, device)
        classifier.to(device)
        self.preprocessing = classifier.preprocessing
        self.network = channels_last(classifier.network)
        self.average = copy.deepcopy(self.network) if recipe.schedule.average else None
        self.dropouts = self.network.dropouts()
        settings = recipe.optimizer
        groups = parameter_groups(self.network, settings)
        self.sgd = torch.optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum, fused=True)
        for weight in self.network.parameters():  # made here, not by the first step: `restore` finds all that `state` names
            self.sgd.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
        self.silent = torch.zeros((), dtype=torch.int64, device=device)
        """Steps in a row in which no gradient reached the first layer."""

    def begin(self, seed: int) -> None:
        """Draw the first weights; every later random choice follows from `seed` too."""
        self.seed = seed
        settings = self.recipe.network
        initialise(self.network, settings.initialisation, settings.std, seeded(seed, Purpose.INITIALISATION))
        if self.average is not None:
            self.average.load_state_dict(self.network.state_dict())

    def result(self) -> Classifier:
        """What is judged and kept: the classifier with the averaged weights, or with the last ones where none are averaged."""
        return Classifier(self.preprocessing, self.network if self.average is None else self.average)

    def step(self, images: Tensor, labels: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """Update number `number` from uint8 `images` [N, height, width, channels]; the summed loss and the count of errors."""
        self.network.train()
        augmentation = self.recipe.augmentation
        choices = draw(augmentation, len(images), seeded(self.seed, Purpose.AUGMENTATION, number))
        x = augment(self.preprocessing(images), augmentation, choices)
        x = x.contiguous(memory_format=torch.channels_last)  # [N, C, H, W]
        for layer, dropout in enumerate(self.dropouts):
            dropout.key = key(self.seed, Purpose.DROPOUT, number, layer)
        loss, wrong = (torch.zeros((), device=self.device) for _ in range(2))
        size = self.recipe.train.micro_batch
        for micro, (part, truth) in enumerate(zip(x.split(size), labels.split(size), strict=True)):
            for dropout in self.dropouts:
                dropout.first = micro * size
            with autocast(self.device, self.dtype):
                maps = self.network(part)
            logits = maps.float().mean((2, 3))
            part_loss = functional.cross_entropy(
                logits, truth, reduction="sum", label_smoothing=self.recipe.optimizer.label_smoothing
            )
            (part_loss / len(images)).backward()
            loss += part_loss.detach()
            wrong += (logits.argmax(1) != truth).sum()
        first = self.network.convolutions()[0].bias
        assert first is not None
        assert first.grad is not None
        self.silent = torch.where(first.grad.any(), 0, self.silent + 1)
        self.sgd.step()
        self.sgd.zero_grad()
        if self.average is not None:
            average_weights(self.average, self.network, self.recipe.schedule.average, number)
        return loss, wrong

    def state(self) -> dict[str, Tensor]:
        """All that the next step needs but for the seed, by name; not copied."""
        state = {f"network/{name}": weight.detach() for name, weight in self.network.named_parameters()}
        if self.average is not None:
            state |= {f"average/{name}": weight.detach() for name, weight in self.average.named_parameters()}
        momentum = {name: self.sgd.state[weight]["momentum_buffer"] for name, weight in self.network.named_parameters()}
        return state | {f"momentum/{name}": tensor for name, tensor in momentum.items()}

    def restore(self, state: dict[str, Tensor], seed: int) -> None:
        """Put back what `state` gave; raises `ValueError` where it is another network's."""
        self.seed = seed
        mine = self.state()
        if {name: tensor.shape for name, tensor in state.items()} != {name: tensor.shape for name, tensor in mine.items()}:
            raise ValueError("its tensors are not this network's")
        for name, tensor in mine.items():
            tensor.copy_(state[name])
