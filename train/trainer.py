"""The training loop: a recipe in, a run folder with a trained classifier out."""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nin_onnx import data, machine
from nin_onnx.data.dataset import Dataset
from nin_onnx.errors import Interrupted, RecipeError, RunError, TrainingError
from nin_onnx.statistics import wilson_interval
from nin_onnx.train import checkpoint, device, progress
from nin_onnx.train.augmentation import augment
from nin_onnx.train.checkpoint import Checkpoint
from nin_onnx.train.evaluation import count_errors
from nin_onnx.train.network import Classifier, channels_last, initialise
from nin_onnx.train.randomness import Purpose, reseed, seeded
from nin_onnx.train.recipe import Recipe
from nin_onnx.train.run import Epoch, Run
from nin_onnx.train.schedule import average_weights, parameter_groups, set_rate

__all__ = ["resume", "train"]

PACKAGES = ("torch", "numpy", "safetensors")
CHECK_EVERY = 100  # steps between looks at the loss: each look waits for the device

Echo = Callable[[str], None]


def train(
    recipe: Recipe, folder: Path, *, seed: int = 0, data_dir: Path | None = None, on: str = "auto", echo: Echo = print
) -> dict[str, Any]:
    """Train `recipe` into the new run `folder`, and return its summary.

    With `train.validation` images held out the test set is not touched; without, it is looked at once, at the end.
    Raises `DataError`, `RecipeError`, `RunError`, `Interrupted`, and `TrainingError` where the network dies.
    """
    run = Run(folder)
    training = _Training(recipe, run, seed, data_dir, device.choose(on), echo)
    run.create(recipe)
    training.begin()
    return training.finish()


def resume(folder: Path, *, data_dir: Path | None = None, on: str = "auto", echo: Echo = print) -> dict[str, Any]:
    """Go on with an interrupted run from the end of its last whole epoch, and return its summary."""
    run = Run(folder)
    if run.model.exists():
        raise RunError(f"the run '{folder}' has ended: nin-onnx export {folder}")
    if not run.state.exists():
        raise RunError(f"'{folder}' holds no state.safetensors to resume from: train it afresh with another --out")
    tensors, state = checkpoint.read(run.state)
    training = _Training(run.recipe(), run, state["seed"], data_dir, device.choose(on), echo)
    training.restore(tensors, state)
    return training.finish()


class _Training:
    """The state of a training between two epochs."""

    def __init__(self, recipe: Recipe, run: Run, seed: int, data_dir: Path | None, on: torch.device, echo: Echo) -> None:
        self.recipe, self.run, self.seed, self.data_dir, self.device, self.echo = recipe, run, seed, data_dir, on, echo
        self.dtype = device.precision(recipe.train.precision, on)
        self.classifier = checkpoint.build_classifier(recipe)
        self.dataset = data.load(recipe.dataset, "train", data_dir, download=True)
        self._check()
        cut = len(self.dataset) - recipe.train.validation
        self.images, self.labels = _tensors(self.dataset[:cut], on)
        self.held_out = _tensors(self.dataset[cut:], on)
        self.classifier.preprocessing.fit(self.images.cpu())
        self.classifier.to(on)
        self.network = channels_last(self.classifier.network)
        # What is judged and kept: the trained weights themselves, or their moving average.
        self.result = copy.deepcopy(self.network) if recipe.schedule.average else self.network
        self.dropout = torch.Generator(on)
        self.network.use_generator(self.dropout)
        self.steps_per_epoch = math.ceil(cut / recipe.train.batch_size)
        self.epochs: list[Epoch] = []

    def _check(self) -> None:
        height, width, channels = self.dataset.images.shape[1:]
        wanted = self.classifier.network.architecture.input
        if (channels, height, width) != wanted:
            raise RecipeError(
                f"'{self.recipe.name}': the images of '{self.recipe.dataset}' are {height}×{width}×{channels}, but "
                f"'{self.recipe.network.architecture}' takes {wanted[1]}×{wanted[2]}×{wanted[0]}: choose another of the two"
            )
        images = len(self.dataset) - self.recipe.train.validation
        if images < self.recipe.train.batch_size:
            raise RecipeError(
                f"'{self.recipe.name}': {max(images, 0)} images of '{self.recipe.dataset}' are left to train on, fewer than a "
                f"batch of {self.recipe.train.batch_size}: lower train.batch_size or train.validation"
            )

    def begin(self) -> None:
        """Draw the first weights."""
        settings = self.recipe.network
        initialise(self.network, settings.initialisation, settings.std, seeded(self.seed, Purpose.INITIALISATION))
        self.result.load_state_dict(self.network.state_dict())
        self.sgd = self._optimizer()

    def restore(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Put back what `save` wrote."""
        groups: dict[str, dict[str, Tensor]] = {"network": {}, "average": {}, "momentum": {}}
        for name, tensor in tensors.items():
            group, _, parameter = name.partition("/")
            groups[group][parameter] = tensor.to(self.device)
        self.network.load_state_dict(groups["network"])
        self.result.load_state_dict(groups["average"] or groups["network"])
        self.sgd = self._optimizer()
        for name, weight in self.network.named_parameters():
            self.sgd.state[weight]["momentum_buffer"] = torch.empty_like(weight).copy_(groups["momentum"][name])
        self.epochs = [Epoch(**epoch) for epoch in state["epochs"]]
        self.echo(f"resumed after epoch {len(self.epochs)} of {self.recipe.train.epochs}")

    def _optimizer(self) -> torch.optim.SGD:
        settings = self.recipe.optimizer
        groups = parameter_groups(self.network, settings)
        return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum, fused=True)

    def save(self) -> None:
        """Write all that the next epoch needs, so that it can start in another process."""
        weights = dict(self.network.named_parameters())
        groups = {
            "network": weights,
            "average": {} if self.result is self.network else dict(self.result.named_parameters()),
            "momentum": {name: self.sgd.state[weight]["momentum_buffer"] for name, weight in weights.items()},
        }
        tensors = {f"{group}/{name}": tensor for group, named in groups.items() for name, tensor in named.items()}
        checkpoint.write(self.run.state, tensors, {"seed": self.seed, "epochs": [asdict(epoch) for epoch in self.epochs]})
        self.run.write_metrics(self.epochs)

    def finish(self) -> dict[str, Any]:
        """Train the epochs that are left, test, and write what came out."""
        total = self.recipe.train.epochs
        try:
            while len(self.epochs) < total:
                self.epochs.append(self._epoch())
                self.save()
                self.echo(progress.line(self.epochs, total))
        except KeyboardInterrupt as error:
            raise Interrupted(self._stopped()) from error
        self.classifier.network = self.result
        summary = self._summary()
        self.run.write_summary(summary)
        description = Checkpoint(
            self.recipe, self.seed, self.dataset.classes, self.dataset.describe(), machine.versions(PACKAGES)
        )
        checkpoint.save_classifier(self.run.model, self.classifier.state_dict(), description)
        self.run.state.unlink(missing_ok=True)
        return summary

    def _epoch(self) -> Epoch:
        number = len(self.epochs)
        steps = self.steps_per_epoch * self.recipe.train.epochs
        order = torch.randperm(len(self.labels), generator=seeded(self.seed, Purpose.ORDER, number)).to(self.device)
        loss, wrong, peak = (torch.zeros((), device=self.device) for _ in range(3))
        seen = 0
        rate = 0.0
        start = time.perf_counter()
        self.classifier.train()
        batches = order.split(self.recipe.train.batch_size)
        for step, rows in enumerate(
            progress.bar(batches, f"epoch {number + 1}/{self.recipe.train.epochs}"), number * len(batches)
        ):
            rate = set_rate(self.sgd, self.recipe, step, steps, self.steps_per_epoch)
            step_loss, step_wrong, step_peak = self._step(rows, step)
            loss += step_loss
            wrong += step_wrong
            if len(rows) == self.recipe.train.batch_size:  # the last one may be too small to tell
                peak = step_peak
            seen += len(rows)
            if (step + 1) % CHECK_EVERY == 0 or seen == len(order):
                self._check_alive(float(loss) / seen, float(peak), step + 1)
        seconds = time.perf_counter() - start
        return Epoch(
            epoch=number + 1,
            learning_rate=rate,
            train_loss=float(loss) / seen,
            train_error=100 * float(wrong) / seen,
            validation_error=self._validation_error(),
            seconds=seconds,
            images_per_second=seen / seconds,
        )

    def _step(self, rows: Tensor, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """One update from the images `rows`; the summed loss, the number of errors, the highest class map's value."""
        choices = seeded(self.seed, Purpose.AUGMENTATION, step)
        labels = self.labels[rows]
        x = augment(self.classifier.preprocessing(self.images[rows]), self.recipe.augmentation, choices)
        x = x.contiguous(memory_format=torch.channels_last)  # [N, C, H, W]
        loss, wrong, peak = (torch.zeros((), device=self.device) for _ in range(3))
        size = self.recipe.train.micro_batch
        for micro, (part, truth) in enumerate(zip(x.split(size), labels.split(size), strict=True)):
            reseed(self.dropout, self.seed, Purpose.DROPOUT, step, micro)
            with device.autocast(self.device, self.dtype):
                maps = self.network(part)
            logits = maps.float().mean((2, 3))
            part_loss = functional.cross_entropy(
                logits, truth, reduction="sum", label_smoothing=self.recipe.optimizer.label_smoothing
            )
            (part_loss / len(rows)).backward()
            loss += part_loss.detach()
            wrong += (logits.argmax(1) != truth).sum()
            peak = torch.maximum(peak, maps.detach().abs().amax().float())
        self.sgd.step()
        self.sgd.zero_grad()
        if self.result is not self.network:
            average_weights(self.result, self.network, self.recipe.schedule.average, step)
        return loss, wrong, peak

    def _check_alive(self, loss: float, peak: float, step: int) -> None:
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss became {loss} by step {step}: lower optimizer.learning_rate ({self.recipe.optimizer.learning_rate})"
            )
        if peak == 0:
            raise TrainingError(
                f"the network is dead at step {step}: every class map is 0 after its ReLU, so the loss stays at ln "
                f"{len(self.dataset.classes)} and every gradient is 0; start again with another --seed or a lower "
                f"optimizer.learning_rate"
            )

    def _validation_error(self) -> float | None:
        images, labels = self.held_out
        if not len(labels):
            return None
        judged = Classifier(self.classifier.preprocessing, self.result)
        return 100 * count_errors(judged, images, labels, self.dtype) / len(labels)

    def _stopped(self) -> str:
        done = f"stopped after {len(self.epochs)} of {self.recipe.train.epochs} epochs"
        if not self.run.state.exists():
            return f"{done}: nothing is kept yet but the recipe in '{self.run.folder}'; train again with another --out"
        return f"{done}: go on with nin-onnx train --resume {self.run.folder}"

    def _summary(self) -> dict[str, Any]:
        last = self.epochs[-1]
        seconds = sum(epoch.seconds for epoch in self.epochs)
        summary: dict[str, Any] = {
            "recipe": self.recipe.name,
            "experiment": self.recipe.experiment,
            "seed": self.seed,
            "epochs": len(self.epochs),
            "seconds": round(seconds, 1),
            "images_per_second": round(len(self.labels) * len(self.epochs) / seconds, 1),
            "train_loss": last.train_loss,
            "train_error": last.train_error,
            "validation_error": last.validation_error,
            "dataset": self.dataset.describe(),
        }
        if not self.recipe.train.validation:
            test = data.load(self.recipe.dataset, "test", self.data_dir)
            wrong = count_errors(self.classifier, *_tensors(test, self.device))
            low, high = wilson_interval(wrong, len(test))
            error = {"images": len(test), "errors": wrong, "error": wrong / len(test), "interval": [low, high]}
            summary["test"] = test.describe() | error
        return summary | {
            "device": torch.cuda.get_device_name() if self.device.type == "cuda" else "cpu",
            "precision": str(self.dtype).removeprefix("torch."),
            "hardware": machine.hardware(),
            "versions": machine.versions(PACKAGES),
            "commit": machine.commit(),
        }


def _tensors(dataset: Dataset, on: torch.device) -> tuple[Tensor, Tensor]:
    return torch.tensor(dataset.images, device=on), torch.tensor(dataset.labels, device=on)
