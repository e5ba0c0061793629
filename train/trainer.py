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
from nin_onnx.train import checkpoint, device, examples, progress, schedule, stopping
from nin_onnx.train import process_group as team
from nin_onnx.train.checkpoint import Checkpoint
from nin_onnx.train.evaluation import error_of_all, errors_of_all
from nin_onnx.train.examples import TrainingData
from nin_onnx.train.health import check_alive
from nin_onnx.train.randomness import Purpose, seeded
from nin_onnx.train.summary import summarize
from nin_onnx.train.under_way import Echo, RunOptions, UnderWay
from nin_onnx.train.writable_run import WritableRun

__all__ = ["Echo", "resume", "train"]

SAVE_EVERY = 60.0  # seconds between two states on the disk
AGREE_EVERY = 10  # steps between two questions to the other processes of a team
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

    With `train.validation` images held out the test set is not touched; without, it is looked at once, at the end.
    `deterministic` makes CUDA repeatable to the bit, which the CPU always is. At `deadline`, by `time.monotonic`, the run is
    interrupted. Started by torchrun, all processes train together, and the first one writes. Raises `DataError`,
    `RecipeError`, `RunError`, `Interrupted`, and `TrainingError` if the network dies.
    """
    run = WritableRun(folder)
    options = RunOptions(data_dir, on, deterministic)
    return _trained(recipe, run, options, deadline, echo, run.check_new, lambda training: training.begin(seed))


def resume(
    folder: Path,
    *,
    data_dir: Path | None = None,
    on: str = "auto",
    deterministic: bool = False,
    deadline: float = math.inf,
    echo: Echo = print,
) -> dict[str, Any]:
    """Go on with an interrupted run from its last state, and return its summary: it ends as if nothing had happened.

    In a team every process reads `folder`; on several machines it lies on a disk that all of them see.
    """
    run = WritableRun(folder)
    run.check_resumable()
    options = RunOptions(data_dir, on, deterministic)
    return _trained(run.recipe(), run, options, deadline, echo, run.check_resumable, UnderWay.go_on)


def _trained(
    recipe: Recipe,
    run: WritableRun,
    options: RunOptions,
    deadline: float,
    echo: Echo,
    check: Callable[[], None],
    start: Callable[[UnderWay], None],
) -> dict[str, Any]:
    """Train to the end from where `start` puts the training; `check` the folder before the data are read."""
    where = device.choose(options.on)
    device.set_up(where, deterministic=options.deterministic)
    with team.joined(where) as members:
        check()  # before the data, which may have to be downloaded
        members.wait()  # all have looked before the leader writes
        data = TrainingData.load(recipe, options.data_dir, where, members)
        # In a function of its own: what it binds is freed before the process group is destroyed.
        return _finish(UnderWay(recipe, run, options, data, members, where, echo), start, deadline)


def _finish(training: UnderWay, start: Callable[[UnderWay], None], deadline: float) -> dict[str, Any]:
    """Train, test, and write what came out."""
    run, leads = training.run, training.team.is_main
    with run.locked() if leads else contextlib.nullcontext():
        start(training)
        try:
            training.learner.learn_from(training.data.examples)
            with stopping.asked(deadline) as stopped:
                while not schedule.ended(training.recipe, training.train_errors(), len(training.data.labels)):
                    training.state.epochs.append(_epoch(training, stopped))
                    if leads:
                        run.write_metrics(training.state.epochs)
                    training.echo(progress.line(training.state.epochs, training.recipe.train.epochs))
                    _pause(training, stopped)
            training.save()
            return _conclude(training)
        except KeyboardInterrupt as error:
            raise training.interrupted() from error
        except TrainingError:
            if leads and training.new and not training.state.epochs:
                run.discard()  # so that the same command can be given again, with another seed or rate
            raise


def _epoch(training: UnderWay, stopped: Callable[[], bool]) -> Epoch:
    """Train on every image once, in the order of this epoch, from the step that is next."""
    recipe, state, data = training.recipe, training.state, training.data
    number, images = len(state.epochs), len(data.examples.labels)
    order = torch.randperm(images, generator=seeded(state.seed, Purpose.ORDER, number)).to(training.device)
    batches = order.split(recipe.train.batch_size)
    stops = schedule.plateaus(training.train_errors(), recipe.schedule.patience, len(data.labels))
    seen, rate = sum(map(len, batches[: state.steps])), 0.0
    start = time.perf_counter() - state.seconds
    label = f"epoch {number + 1}/{recipe.train.epochs}"
    with progress.bar(images, seen, label, hidden=not training.team.is_main) as bar:
        for rows in batches[state.steps :]:
            rate = _step(training, rows, number * len(batches) + state.steps, stops)
            state.steps += 1
            seen += len(rows)
            if state.steps % CHECK_EVERY == 0 or seen == images:
                _check_alive(training)
            state.seconds = time.perf_counter() - start
            bar.show(len(rows), training.sums * training.team.size, state.seconds)
            if seen < images:
                _pause(training, stopped)
    loss, wrong = training.team.sum(training.sums).tolist()
    classifier, dtype = training.learner.result(), training.learner.dtype
    epoch = Epoch(
        epoch=number + 1,
        learning_rate=rate,
        train_loss=loss / seen,
        train_error=100 * wrong / seen,
        validation_error=error_of_all(classifier, data.held_out, training.team, dtype),
        test_error=error_of_all(classifier, data.curve, training.team, dtype),
        seconds=state.seconds,
        images_per_second=seen / state.seconds,
    )
    state.steps, state.seconds = 0, 0.0
    training.sums.zero_()
    return epoch


def _step(training: UnderWay, rows: Tensor, number: int, stops: int) -> float:
    """Do update `number` from the images `rows`, int64 [N], and return its learning rate."""
    recipe, per_epoch = training.recipe, training.data.steps_per_epoch
    factor = schedule.rate_factor(recipe.schedule, number, recipe.train.epochs * per_epoch, per_epoch, stops)
    rate = recipe.optimizer.learning_rate * factor
    training.learner.optimizer.set_rate(rate)
    loss, wrong = training.learner.step(rows, number)
    training.sums += torch.stack([loss, wrong.float()])
    return rate


def _pause(training: UnderWay, stopped: Callable[[], bool]) -> None:
    """Save when it is time, and stop when somebody asked for it; a team does both together."""
    members = training.team
    if members.size > 1 and training.state.steps % AGREE_EVERY:
        return
    due = members.is_main and time.monotonic() - training.saved >= SAVE_EVERY
    stop, save = members.any((stopped(), due), training.device)
    if stop or save:
        _check_alive(training)  # weights that are lost do not take the place of the last good ones
        training.save()
    if stop:
        raise training.interrupted()


def _check_alive(training: UnderWay) -> None:
    step = len(training.state.epochs) * training.data.steps_per_epoch + training.state.steps
    loss, _ = training.team.sum(training.sums).tolist()
    rate = training.recipe.optimizer.learning_rate
    check_alive(loss, int(training.learner.silent), step, len(training.data.labels), rate)


def _conclude(training: UnderWay) -> dict[str, Any]:
    """Test the classifier, once, and write it and what came out."""
    run, data, test, members = training.run, training.data, training.data.test, training.team
    classifier, wrong = training.learner.result(), None
    if test is not None:
        mine = examples.to_device(test[members.part(len(test))], training.device)
        wrong = errors_of_all(classifier, mine, members, torch.float32)
    summary = summarize(training.learner, training.state.epochs, data.trained_on, test, wrong)
    if members.is_main:
        run.write_summary(summary)
        description = Checkpoint(
            training.recipe, training.state.seed, data.labels, data.trained_on.describe(), summary["versions"]
        )
        checkpoint.save_classifier(run.model, classifier.state_dict(), description)
        for file in (run.state, run.preprocessing):
            file.unlink(missing_ok=True)
    return summary
