"""The training loop: a recipe in, a run folder with a trained classifier out."""

import contextlib
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nin_onnx.errors import TrainingError
from nin_onnx.recipe import Recipe
from nin_onnx.run import Epoch
from nin_onnx.train import checkpoint, device, examples, process_group, progress, schedule, stopping
from nin_onnx.train.checkpoint import Checkpoint
from nin_onnx.train.evaluation import error_percent, total_errors
from nin_onnx.train.examples import TrainingData
from nin_onnx.train.health import check_not_collapsed
from nin_onnx.train.randomness import Purpose, seeded
from nin_onnx.train.running import Echo, RunningTraining, RunOptions
from nin_onnx.train.summary import summarize
from nin_onnx.train.writable_run import WritableRun

__all__ = ["Echo", "resume", "train"]

SAVE_EVERY = 60.0  # seconds between two states on the disk
AGREE_EVERY = 10  # steps between two exchanges with the other processes of a group
CHECK_EVERY = 100  # steps between looks at the loss: each look waits for the device


def train(
    recipe: Recipe,
    folder: Path,
    *,
    seed: int = 0,
    data_dir: Path | None = None,
    on: str = "auto",
    deterministic: bool = False,
    deadline: float = math.inf,
    echo: Echo = print,
) -> dict[str, Any]:
    """Train `recipe` into the new run `folder`, and return its summary.

    With `train.validation` images held out the test set is not touched; otherwise it is used once, at the end.
    `deterministic` makes CUDA repeatable to the bit, which the CPU always is. At `deadline`, by `time.monotonic`, the run is
    interrupted. If torchrun started it, all processes train together, and the first one writes. Raise `DataError`,
    `RecipeError`, `RunError`, `Interrupted`, and `TrainingError` if the training collapses.
    """
    return _train(recipe, WritableRun(folder), RunOptions(data_dir, on, deterministic), deadline, echo, seed)


def resume(
    folder: Path,
    *,
    data_dir: Path | None = None,
    on: str = "auto",
    deterministic: bool = False,
    deadline: float = math.inf,
    echo: Echo = print,
) -> dict[str, Any]:
    """Resume an interrupted run from its last state, and return its summary: it ends as if it had never been interrupted.

    In a group every process reads `folder`; on several machines it must be on a disk that all of them see.
    """
    run = WritableRun(folder)
    run.check_resumable()
    return _train(run.recipe(), run, RunOptions(data_dir, on, deterministic), deadline, echo, None)


def _train(
    recipe: Recipe, run: WritableRun, options: RunOptions, deadline: float, echo: Echo, seed: int | None
) -> dict[str, Any]:
    """Train to the end, from the first step with `seed` or, without one, from the last state."""
    where = device.choose(options.on)
    device.set_up(where, deterministic=options.deterministic)
    with process_group.joined(where) as group:
        if seed is None:  # before the data, which may have to be downloaded
            run.check_resumable()
        else:
            run.check_new()
        group.wait()  # all have looked before the main process writes
        data = TrainingData.load(recipe, options.data_dir, where, group)
        # Do not bind the training here: it must be freed before the process group is destroyed.
        return _train_and_test(RunningTraining(recipe, run, options, data, group, where, echo), deadline, seed)


def _train_and_test(training: RunningTraining, deadline: float, seed: int | None) -> dict[str, Any]:
    """Begin with `seed` or resume, train until the schedule ends, and test."""
    run, is_main = training.run, training.group.is_main
    with run.locked() if is_main else contextlib.nullcontext():
        if seed is None:
            training.resume()
        else:
            training.begin(seed)
        try:
            training.learner.set_examples(training.data.examples)
            with stopping.requested(deadline) as stopped:
                while not schedule.ended(training.recipe, training.train_errors(), len(training.data.labels)):
                    training.state.epochs.append(_epoch(training, stopped))
                    if is_main:
                        run.write_metrics(training.state.epochs)
                    training.echo(progress.line(training.state.epochs, training.recipe.train.epochs))
                    _save_or_stop(training, stopped)
            training.save()
            return _test(training)
        except KeyboardInterrupt as error:
            raise training.interrupted() from error
        except TrainingError:
            if is_main and training.new and not training.state.epochs:
                run.discard()  # so that the same command can be repeated with another seed or learning rate
            raise


def _epoch(training: RunningTraining, stopped: Callable[[], bool]) -> Epoch:
    """Train on every image once, in the order of this epoch, from the next step on."""
    recipe, state, data = training.recipe, training.state, training.data
    number, images = len(state.epochs), len(data.examples.labels)
    order = torch.randperm(images, generator=seeded(state.seed, Purpose.ORDER, number)).to(training.device)
    batches = order.split(recipe.train.batch_size)
    plateaus = schedule.plateaus(training.train_errors(), recipe.schedule.patience, len(data.labels))
    seen, learning_rate = sum(map(len, batches[: state.steps])), 0.0
    start = time.perf_counter() - state.seconds
    label = f"epoch {number + 1}/{recipe.train.epochs}"
    with progress.bar(images, seen, label, hidden=not training.group.is_main) as bar:
        for rows in batches[state.steps :]:
            learning_rate = _step(training, rows, number * len(batches) + state.steps, plateaus)
            state.steps += 1
            seen += len(rows)
            if state.steps % CHECK_EVERY == 0 or seen == images:
                _check(training)
            state.seconds = time.perf_counter() - start
            bar.show(len(rows), training.sums * training.group.size, state.seconds)
            if seen < images:
                _save_or_stop(training, stopped)
    epoch = _measured(training, seen, learning_rate)
    state.steps, state.seconds = 0, 0.0
    training.sums.zero_()
    return epoch


def _step(training: RunningTraining, rows: Tensor, number: int, plateaus: int) -> float:
    """Do update `number` from the images `rows`, int64 [N], and return its learning rate."""
    recipe, per_epoch = training.recipe, training.data.steps_per_epoch
    factor = schedule.lr_factor(recipe.schedule, number, recipe.train.epochs * per_epoch, per_epoch, plateaus)
    learning_rate = recipe.optimizer.learning_rate * factor
    training.learner.optimizer.set_learning_rate(learning_rate)
    loss, wrong = training.learner.step(rows, number)
    training.sums += torch.stack([loss, wrong.float()])
    return learning_rate


def _save_or_stop(training: RunningTraining, stopped: Callable[[], bool]) -> None:
    """Save when it is time, and stop if that was requested; all processes of a group do so in the same step."""
    group = training.group
    if group.size > 1 and training.state.steps % AGREE_EVERY:
        return
    due = group.is_main and time.monotonic() - training.saved >= SAVE_EVERY
    stop, save = group.any((stopped(), due), training.device)
    if stop or save:
        _check(training)  # the weights of a collapsed training must not replace the last good ones
        training.save()
    if stop:
        raise training.interrupted()


def _check(training: RunningTraining) -> None:
    """Raise `TrainingError` if the training has collapsed."""
    step = len(training.state.epochs) * training.data.steps_per_epoch + training.state.steps
    loss, _ = training.group.sum(training.sums).tolist()
    learning_rate, steps_without = training.recipe.optimizer.learning_rate, int(training.learner.steps_without_gradient)
    check_not_collapsed(loss, steps_without, step, len(training.data.labels), learning_rate)


def _measured(training: RunningTraining, images: int, learning_rate: float) -> Epoch:
    """Return the figures of the epoch that just ended, with the errors on the other images."""
    data, state, group = training.data, training.state, training.group
    loss, wrong = group.sum(training.sums).tolist()
    classifier, dtype = training.learner.result(), training.learner.dtype
    return Epoch(
        epoch=len(state.epochs) + 1,
        learning_rate=learning_rate,
        train_loss=loss / images,
        train_error=100 * wrong / images,
        validation_error=error_percent(classifier, data.held_out, group, dtype),
        test_error=error_percent(classifier, data.curve, group, dtype),
        seconds=state.seconds,
        images_per_second=images / state.seconds,
    )


def _test(training: RunningTraining) -> dict[str, Any]:
    """Test the classifier once, write it and its summary, and return the summary."""
    run, data, test, group = training.run, training.data, training.data.test, training.group
    classifier, wrong = training.learner.result(), None
    if test is not None:
        part = examples.to_device(test[group.part(len(test))], training.device)
        wrong = total_errors(classifier, part, group, torch.float32)
    summary = summarize(training.learner, training.state.epochs, data.trained_on, test, wrong)
    if group.is_main:
        run.write_summary(summary)
        description = Checkpoint(
            training.recipe, training.state.seed, data.labels, data.trained_on.describe(), summary["versions"]
        )
        checkpoint.save_classifier(run.model, classifier.state_dict(), description)
        for file in (run.state, run.preprocessing):
            file.unlink(missing_ok=True)
    return summary
