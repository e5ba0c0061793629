"""`nin-onnx train`: from a recipe to a run folder."""

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nin_onnx.commands.options import data_dir_option, device_option, json_option, print_json, set_option
from nin_onnx.errors import TrainingError, require

if TYPE_CHECKING:
    from nin_onnx.recipe import Recipe

__all__ = ["train"]


@click.command()
@click.argument("recipe", required=False)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Resume an interrupted run instead; name its --device and --data-dir again.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The run's folder.  [default: runs/RECIPE-seedN; with --seeds runs/RECIPE-seeds]",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Random seed.  [default: 0]")
@click.option("--seeds", type=click.IntRange(min=1), metavar="N", help="N runs, from --seed on: mean ± standard deviation.")
@set_option
@device_option
@click.option("--deterministic", is_flag=True, help="Use deterministic CUDA kernels (slower). CPU runs are always deterministic.")
@data_dir_option
@json_option
def train(
    recipe: str | None,
    resume: Path | None,
    out: Path | None,
    seed: int | None,
    seeds: int | None,
    overrides: tuple[str, ...],
    device: str,
    deterministic: bool,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Train RECIPE, a shipped name (see nin-onnx recipes) or a TOML file, into a run folder.

    Data that is not on this machine is downloaded first. With train.validation=N the last N training images are held out and
    the test set is left alone; otherwise it is looked at once, at the end. Ctrl-C finishes the step and saves.

    On several devices: torchrun --nproc-per-node N -m nin_onnx train RECIPE
    """
    require("training", "train", "torch", "safetensors")
    from nin_onnx import recipe as recipes
    from nin_onnx.train import process_group

    if resume is not None and (recipe or overrides or out or seed is not None or seeds is not None):
        raise click.UsageError("--resume takes its recipe and seed from the run: give none of these with it")
    if resume is None and recipe is None:
        raise click.UsageError(f"which recipe? shipped are {', '.join(recipes.shipped())}; a path to a .toml file works too")
    resolved = recipes.load(recipe, overrides) if recipe else None
    folder = resume or out or _folder(resolved, seed or 0, seeds)
    how = {"data_dir": data_dir, "on": device, "deterministic": deterministic, "echo": partial(click.echo, err=as_json)}
    try:
        summary = _train(resolved, folder, seed or 0, seeds, how)
    except TrainingError as error:
        if as_json and error.step is not None and process_group.is_main():
            _print_collapse(resolved, folder, error, device)
        raise
    if process_group.is_main():
        _print(summary, folder, as_json)


def _folder(recipe: "Recipe | None", seed: int, seeds: int | None) -> Path:
    """Return the folder of a run that names none."""
    assert recipe is not None
    return Path("runs") / (f"{recipe.name}-seed{seed}" if seeds is None else f"{recipe.name}-seeds")


def _train(recipe: "Recipe | None", folder: Path, seed: int, seeds: int | None, how: dict[str, Any]) -> dict[str, Any]:
    """Train `recipe`, or resume the run in `folder` if there is none, and return the summary."""
    from nin_onnx.train import trainer
    from nin_onnx.train.seeds import train_seeds

    if recipe is None:
        return trainer.resume(folder, **how)
    if seeds is None:
        return trainer.train(recipe, folder, seed=seed, **how)
    return train_seeds(recipe, folder, range(seed, seed + seeds), **how)


def _print_collapse(recipe: "Recipe | None", folder: Path, error: TrainingError, device: str) -> None:
    from nin_onnx.run import Run
    from nin_onnx.train.collapse import describe

    print_json({"folder": str(folder), "died": describe(recipe or Run(folder).recipe(), error, device)})


def _print(summary: dict[str, Any], folder: Path, as_json: bool) -> None:
    """Print what came out; raises `TrainingError` if some of several seeds collapsed."""
    if as_json:
        print_json({"folder": str(folder), **summary})
    elif "runs" in summary:
        click.echo(_over_seeds(summary))
    else:
        click.echo(_trained(summary))
        click.echo(f"next: nin-onnx export {shlex.quote(str(folder))}")
    if collapsed := summary.get("died"):
        raise TrainingError(f"seeds whose training collapsed, left out of the mean: {', '.join(collapsed)}")


def _over_seeds(summary: dict[str, Any]) -> str:
    """Return `test error 0.55 ± 0.03 % …`, and the error of each seed."""
    looked = next(kind for kind in ("test", "validation") if f"{kind}_error" in summary)
    figures = summary[f"{looked}_error"]
    deviation = f" ± {figures['standard_deviation']:.2f}" if figures["standard_deviation"] is not None else ""
    each = ", ".join(f"{error:.2f}" for error in figures["each"])
    return f"{looked} error {figures['mean']:.2f}{deviation} % over {len(summary['seeds'])} seeds: {each}"


def _trained(summary: dict[str, Any]) -> str:
    minutes = summary["seconds"] / 60
    cost = f"{summary['epochs']} epochs in {minutes:.1f} min, {summary['images_per_second']:,.0f} images/s"
    if "test" not in summary:
        return f"validation error {summary['validation_error']:.2f} %, {cost}; the test set was not looked at"
    test = summary["test"]
    copy = "" if test["provenance"] == "official" else f" ({test['provenance']})"
    return (
        f"test error {test['error']:.2f} % [{test['low']:.2f}, {test['high']:.2f}], "
        f"{test['errors']} of {test['images']:,} images of {test['name']}{copy}; {cost}"
    )
