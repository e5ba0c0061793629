"""The training loop: a recipe in, a run folder with a trained classifier out."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from nin_onnx import data, machine
from nin_onnx.errors import Interrupted, RunError, TrainingError
from nin_onnx.train import checkpoint, device, examples, progress
from nin_onnx.train.checkpoint import Checkpoint
from nin_onnx.train.evaluation import count_errors
from nin_onnx.train.learner import Learner
from nin_onnx.train.network import Classifier
from nin_onnx.train.randomness import Purpose, seeded
from nin_onnx.train.recipe import Recipe
from nin_onnx.train.run import Epoch, Run
from nin_onnx.train.schedule import set_rate
from nin_onnx.verdict import measure

__all__ = ["resume", "train"]

PACKAGES = ("torch", "numpy", "safetensors")
CHECK_EVERY = 100  # steps between looks at the loss: each look waits for the device
DEAD_AFTER = 20  # steps without a gradient: after fewer, momentum may still carry the weights back to life

Echo = Callable[[str], None]


def train(
    recipe: Recipe, folder: Path, *, seed: int = 0, data_dir: Path | None = None, on: str = "auto", echo: Echo = print
) -> dict[str, Any]:
    """Train `recipe` into the new run `folder`, and return its summary.

    With `train.validation` images held out the test set is not touched; without, it is looked at once, at the end.
    Raises `DataError`, `RecipeError`, `RunError`, `Interrupted`, and `TrainingError` where the network dies.
    """
    run = Run(folder)
    run.check_new()  # before the data, which may have to be downloaded
    training = _Training(recipe, run, data_dir, device.choose(on), echo)
    run.create(recipe)
    training.learner.begin(seed)
    return training.finish()


def resume(folder: Path, *, data_dir: Path | None = None, on: str = "auto", echo: Echo = print) -> dict[str, Any]:
    """Go on with an interrupted run from the end of its last whole epoch, and return its summary."""
    run = Run(folder)
    if run.model.exists():
        raise RunError(f"the run '{folder}' has ended: nin-onnx export {folder}")
    if not run.state.exists():
        raise RunError(f"'{folder}' holds no state.safetensors to resume from: train it afresh with another --out")
    training = _Training(run.recipe(), run, data_dir, device.choose(on), echo)
    training.restore()
    return training.finish()


class _Training:
    """A run under way: its images, its learner, and the epochs so far."""

    def __init__(self, recipe: Recipe, run: Run, data_dir: Path | None, on: torch.device, echo: Echo) -> None:
        self.recipe, self.run, self.device, self.echo = recipe, run, on, echo
        self.dataset = data.load(recipe.dataset, "train", data_dir, download=True)
        # Read now and judged at the end, so that a broken file costs no training.
        self.test = None if recipe.train.validation else data.load(recipe.dataset, "test", data_dir)
        examples.check(recipe, self.dataset)
        cut = len(self.dataset) - recipe.train.validation
        self.trained_on = self.dataset[:cut]
        self.images, self.labels = examples.to_device(self.trained_on, on)
        self.held_out = examples.to_device(self.dataset[cut:], on)
        self.test_images = examples.to_device(self.test, on) if self.test and recipe.train.test_curve else None
        classifier = checkpoint.build_classifier(recipe)
        classifier.preprocessing.fit(self.images.cpu())
        self.learner = Learner(recipe, classifier, on)
        self.steps_per_epoch = math.ceil(cut / recipe.train.batch_size)
        self.epochs: list[Epoch] = []

    def save(self) -> None:
        """Write all that the next epoch needs, so that it can start in another process."""
        self.run.write_metrics(self.epochs)  # first: stopped between the two, the run is resumed from before, and writes it again
        description = {
            "seed": self.learner.seed,
            "dataset": self.dataset.fingerprint,
            "precision": str(self.learner.dtype),
            "epochs": [asdict(epoch) for epoch in self.epochs],
        }
        checkpoint.write(self.run.state, self.learner.state(), description)

    def restore(self) -> None:
        """Put back what `save` wrote."""
        tensors, description = checkpoint.read(self.run.state)
        try:
            for what, now in (("dataset", self.dataset.fingerprint), ("precision", str(self.learner.dtype))):
                if description[what] != now:
                    raise ValueError(f"its {what} was {description[what]}, here it is {now}")
            self.learner.restore(tensors, description["seed"])
            self.epochs = [Epoch(**epoch) for epoch in description["epochs"]]
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(
                f"'{self.run.state}' cannot be resumed here ({error}): resume where it began, or train afresh with another --out"
            ) from error
        self.echo(f"resumed after epoch {len(self.epochs)} of {self.recipe.train.epochs}")

    def finish(self) -> dict[str, Any]:
        """Train the epochs that are left, test, and write what came out."""
        total = self.recipe.train.epochs
        try:
            while len(self.epochs) < total:
                self.epochs.append(self._epoch())
                self.save()
                self.echo(progress.line(self.epochs, total))
            return self._conclude()
        except KeyboardInterrupt as error:
            raise Interrupted(self._stopped()) from error
        finally:
            if not self.epochs:
                self.run.discard()  # so that the same command can be given again

    def _conclude(self) -> dict[str, Any]:
        classifier = self.learner.result()
        summary = self._summary(classifier)
        self.run.write_summary(summary)
        description = Checkpoint(
            self.recipe, self.learner.seed, self.dataset.classes, self.trained_on.describe(), machine.versions(PACKAGES)
        )
        checkpoint.save_classifier(self.run.model, classifier.state_dict(), description)
        self.run.state.unlink(missing_ok=True)
        return summary

    def _epoch(self) -> Epoch:
        number = len(self.epochs)
        steps = self.steps_per_epoch * self.recipe.train.epochs
        order = torch.randperm(len(self.labels), generator=seeded(self.learner.seed, Purpose.ORDER, number)).to(self.device)
        loss, wrong = (torch.zeros((), device=self.device) for _ in range(2))
        seen = 0
        rate = 0.0
        start = time.perf_counter()
        batches = order.split(self.recipe.train.batch_size)
        for step, rows in enumerate(
            progress.bar(batches, f"epoch {number + 1}/{self.recipe.train.epochs}"), number * len(batches)
        ):
            rate = set_rate(self.learner.sgd, self.recipe, step, steps, self.steps_per_epoch)
            step_loss, step_wrong = self.learner.step(self.images[rows], self.labels[rows], step)
            loss += step_loss
            wrong += step_wrong
            seen += len(rows)
            if (step + 1) % CHECK_EVERY == 0 or seen == len(order):
                self._check_alive(float(loss) / seen, step + 1)
        seconds = time.perf_counter() - start
        return Epoch(
            epoch=number + 1,
            learning_rate=rate,
            train_loss=float(loss) / seen,
            train_error=100 * float(wrong) / seen,
            validation_error=self._error(self.held_out),
            test_error=self._error(self.test_images),
            seconds=seconds,
            images_per_second=seen / seconds,
        )

    def _check_alive(self, loss: float, step: int) -> None:
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss became {loss} by step {step}: lower optimizer.learning_rate ({self.recipe.optimizer.learning_rate})"
            )
        if self.learner.silent >= DEAD_AFTER:
            classes = len(self.dataset.classes)
            raise TrainingError(
                f"the network is dead at step {step}: a whole layer is 0 after its ReLU for every image, so no gradient passes "
                f"it and the loss stays at ln {classes} = {math.log(classes):.4f}; start again with another --seed or a lower "
                f"optimizer.learning_rate"
            )

    def _error(self, given: examples.Examples | None) -> float | None:
        """Per cent of the images that are wrong now; None where there are none to look at."""
        if given is None or not len(given.labels):
            return None
        return 100 * count_errors(self.learner.result(), *given, self.learner.dtype) / len(given.labels)

    def _stopped(self) -> str:
        done = f"stopped after {len(self.epochs)} of {self.recipe.train.epochs} epochs"
        if not self.epochs:
            return f"{done}: nothing is kept"
        return f"{done}: go on with nin-onnx train --resume {self.run.folder}"

    def _summary(self, classifier: Classifier) -> dict[str, Any]:
        last = self.epochs[-1]
        seconds = sum(epoch.seconds for epoch in self.epochs)
        summary: dict[str, Any] = {
            "recipe": self.recipe.name,
            "experiment": self.recipe.experiment,
            "seed": self.learner.seed,
            "epochs": len(self.epochs),
            "seconds": round(seconds, 1),
            "images_per_second": round(len(self.labels) * len(self.epochs) / seconds, 1),
            "train_loss": last.train_loss,
            "train_error": last.train_error,
            "validation_error": last.validation_error,
            "dataset": self.trained_on.describe(),
            "settings": asdict(self.recipe),
        }
        if self.test is not None:
            wrong = count_errors(classifier, *examples.to_device(self.test, self.device))
            accuracy = measure(wrong, len(self.test), self.test.describe(), None)
            interval = {"low": accuracy.low, "high": accuracy.high}
            summary["test"] = {**self.test.describe(), "errors": wrong, "error": accuracy.error, **interval}
        return summary | {
            "device": torch.cuda.get_device_name() if self.device.type == "cuda" else "cpu",
            "precision": str(self.learner.dtype).removeprefix("torch."),
            "hardware": machine.hardware(),
            "versions": machine.versions(PACKAGES),
            "commit": machine.commit(),
        }
