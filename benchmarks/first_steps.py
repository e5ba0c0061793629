"""Shows whether the class maps of a network stay active in the first steps of its training.

    python benchmarks/first_steps.py cifar100 [--steps 400] [--seeds 3] [--set network.maps_bias=0.5]

A map that is 0 at every place of every image, behind the last ReLU, gets no more gradients; if all are, the training has
collapsed. For each seed, and at some steps, the table has: the mean loss since the row before; of the first batch, trained on
or not, how many maps are not 0 everywhere, and how far the numbers before the last ReLU spread; the biases of that layer; and
the gradient that reaches them and the first convolution. Images, order, masks and learning rates are those of
`nin-onnx train`.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch
from torch import Tensor

from nin_onnx import recipe as recipes
from nin_onnx.recipe import Recipe
from nin_onnx.train import checkpoint, examples, schedule
from nin_onnx.train import device as devices
from nin_onnx.train.learner import Learner
from nin_onnx.train.process_group import ProcessGroup
from nin_onnx.train.randomness import Purpose, seeded

STEPS = (0, 5, 10, 20, 40, 80, 120, 200, 300, 400, 600, 800, 1000, 1500, 2000)


class Shown(NamedTuple):
    """A line of the table: the figures of one step."""

    step: int
    loss: float
    alive: int
    spread: float
    bias: float
    bias_spread: float
    bias_gradient: float
    first_gradient: float


@click.command()
@click.argument("recipe")
@click.option("--steps", default=400, show_default=True, type=click.IntRange(min=1), help="Updates of each training.")
@click.option("--seeds", default=1, show_default=True, type=click.IntRange(min=1), help="Number of trainings.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Seed of the first training.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a recipe setting.")
@click.option("--device", default="auto", show_default=True, type=click.Choice(["auto", "cpu", "cuda"]))
@click.option("--fitted", type=click.Path(path_type=Path), help="File to keep the fitted preprocessing in between calls.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="File to add the figures to, a line for each seed.")
def main(
    recipe: str,
    steps: int,
    seeds: int,
    seed: int,
    overrides: tuple[str, ...],
    device: str,
    fitted: Path | None,
    json_file: Path | None,
) -> None:
    """Train RECIPE for some steps and show what becomes of its class maps."""
    where, settings = devices.choose(device), recipes.load(recipe, overrides)
    devices.set_up(where, deterministic=False)
    data = examples.TrainingData.load(settings, None, where, ProcessGroup())
    images, classes = data.examples, len(data.labels)
    preprocessing = kept(fitted, data.fingerprint) if fitted else None
    for number in range(seed, seed + seeds):
        classifier = checkpoint.build_classifier(settings, classes)
        if preprocessing is None:
            classifier.preprocessing.to(where).fit(images.images)
            preprocessing = classifier.preprocessing.state_dict()
            if fitted:
                torch.save({"fingerprint": data.fingerprint, "preprocessing": preprocessing}, fitted)
        classifier.preprocessing.load_state_dict(preprocessing)
        learner = Learner(settings, classifier, where, deterministic=True)
        learner.begin(number)
        learner.set_examples(images)
        rows = run(learner, settings, steps)
        show(rows, f"{settings.name} {' '.join(overrides)} seed {number}", classes)
        if json_file:
            with json_file.open("a") as file:
                line: dict[str, Any] = {"recipe": recipe, "set": overrides, "seed": number, "rows": rows}
                file.write(json.dumps(line) + "\n")


def kept(file: Path, fingerprint: str) -> dict[str, Tensor] | None:
    """Return the preprocessing that `file` holds; None if there is none, or if it was fitted on other images."""
    found = torch.load(file, weights_only=True) if file.exists() else {}
    return found["preprocessing"] if found.get("fingerprint") == fingerprint else None


def run(learner: Learner, settings: Recipe, steps: int) -> list[Shown]:
    """Do `steps` updates, and return what is seen at those that are shown."""
    per_epoch = len(shuffled(learner, 0))
    rows: list[Shown] = []
    losses: list[Tensor] = []
    gradients = watch(learner)
    batches = probe = shuffled(learner, 0)
    for step in range(steps + 1):
        if step % per_epoch == 0:
            batches = shuffled(learner, step // per_epoch)
        if step in STEPS or step == steps:
            rows.append(look(learner, probe[0], step, losses, gradients))
            losses = []
        if step == steps:
            return rows
        factor = schedule.lr_factor(settings.schedule, step, settings.train.epochs * per_epoch, per_epoch)
        learner.optimizer.set_learning_rate(settings.optimizer.learning_rate * factor)
        batch = batches[step % per_epoch]
        losses.append(learner.step(batch, step)[0].detach().clone() / len(batch))
    raise AssertionError("the last step returns")


def shuffled(learner: Learner, epoch: int) -> tuple[Tensor, ...]:
    """Return which images are in each batch of an epoch, as the trainer has them."""
    order = torch.randperm(len(learner.labels), generator=seeded(learner.seed, Purpose.ORDER, epoch))
    batches: tuple[Tensor, ...] = order.to(learner.device).split(learner.recipe.train.batch_size)
    return batches


def watch(learner: Learner) -> dict[str, float]:
    """Keep the norms of the gradients of the maps' biases and of the first weights, as each step leaves them."""
    seen = {"bias": 0.0, "first": 0.0}
    maps = learner.network.get_parameter(f"{learner.network.architecture.maps.name}.bias")
    first = learner.network.weighted()[0].weight
    step = learner.optimizer.step

    def watched() -> None:
        for name, parameter in (("bias", maps), ("first", first)):
            seen[name] = 0.0 if parameter.grad is None else float(parameter.grad.norm())
        step()

    learner.optimizer.step = watched  # type: ignore[method-assign]
    return seen


def look(learner: Learner, rows: Tensor, step: int, losses: list[Tensor], gradients: dict[str, float]) -> Shown:
    """Return what the network makes of the images `rows` now, in training mode."""
    maps = learner.network.architecture.maps.name
    before: list[Tensor] = []
    handle = learner.network.get_submodule(maps).register_forward_hook(
        lambda module, given, result: before.append(result.detach().float().clone())
    )
    learner.network.train()
    images = learner.images[rows]
    x = images if images.is_floating_point() else learner.preprocessing(images)
    with torch.no_grad(), devices.autocast(learner.device, learner.dtype):
        learner.network(x.contiguous(memory_format=torch.channels_last))
    handle.remove()
    bias = learner.network.get_parameter(f"{maps}.bias").detach()
    return Shown(
        step=step,
        loss=float(torch.stack(losses).mean()) if losses else float("nan"),
        alive=int((before[0] > 0).any(3).any(2).any(0).sum()),
        spread=float(before[0].std()),
        bias=float(bias.mean()),
        bias_spread=float(bias.std()),
        bias_gradient=gradients["bias"],
        first_gradient=gradients["first"],
    )


def show(rows: list[Shown], title: str, classes: int) -> None:
    """Print a table."""
    click.echo(f"\n{title}\n")
    click.echo(
        f"| step | loss | maps alive, of {classes} | spread before the ReLU | biases | gradient: biases | first convolution |"
    )
    click.echo("|---|---|---|---|---|---|---|")
    for row in rows:
        loss = "" if row.loss != row.loss else f"{row.loss:.4f}"
        click.echo(
            f"| {row.step} | {loss} | {row.alive} | {row.spread:.1e} | {row.bias:.4f} ± {row.bias_spread:.4f} | "
            f"{row.bias_gradient:.1e} | {row.first_gradient:.1e} |"
        )


if __name__ == "__main__":
    main()
