"""`nin-onnx train`: from a recipe to a run folder."""

import shlex
from pathlib import Path
from typing import Any

import click

from nin_onnx.commands.options import data_dir_option, device_option, json_option, print_json, set_option
from nin_onnx.errors import TrainingError, require

__all__ = ["train"]


@click.command()
@click.argument("recipe", required=False)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Go on with an interrupted run instead; name its --device and --data-dir again.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The run's folder.  [default: runs/RECIPE-seedN; with --seeds runs/RECIPE-seeds]",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Of every random choice.  [default: 0]")
@click.option("--seeds", type=click.IntRange(min=1), metavar="N", help="N runs, from --seed on: mean ± standard deviation.")
@set_option
@device_option
@click.option(
    "--deterministic", is_flag=True, help="On CUDA too the same bytes every time, which is slower; a CPU always gives them."
)
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
    from nin_onnx.run import Run
    from nin_onnx.train import process_group as team
    from nin_onnx.train import seeds as several
    from nin_onnx.train import trainer
    from nin_onnx.train.collapse import describe

    def echo(line: str) -> None:
        click.echo(line, err=as_json)

    how: dict[str, Any] = {"data_dir": data_dir, "on": device, "deterministic": deterministic, "echo": echo}
    if resume is not None and (recipe or overrides or out or seed is not None or seeds is not None):
        raise click.UsageError("--resume takes its recipe and seed from the run: give none of these with it")
    if resume is None and recipe is None:
        raise click.UsageError(f"which recipe? shipped are {', '.join(recipes.shipped())}; a path to a .toml file works too")
    resolved = recipes.load(recipe, overrides) if recipe else None
    first = seed or 0
    try:
        if resolved is None:
            assert resume is not None
            folder = resume
            summary = trainer.resume(folder, **how)
        elif seeds is None:
            folder = out or Path("runs") / f"{resolved.name}-seed{first}"
            summary = trainer.train(resolved, folder, seed=first, **how)
        else:
            folder = out or Path("runs") / f"{resolved.name}-seeds"
            summary = several.train_seeds(resolved, folder, range(first, first + seeds), **how)
    except TrainingError as error:
        if as_json and error.step is not None and team.is_main():
            died = describe(resolved or Run(folder).recipe(), error, device)
            print_json({"folder": str(folder), "died": died})
        raise
    if not team.is_main():
        return
    if as_json:
        print_json({"folder": str(folder), **summary})
    elif "runs" in summary:
        click.echo(_over_seeds(summary))
    else:
        click.echo(_trained(summary))
        click.echo(f"next: nin-onnx export {shlex.quote(str(folder))}")
    if dead := summary.get("died"):
        raise TrainingError(f"seeds that died, and are no part of the mean: {', '.join(dead)}")


def _over_seeds(summary: dict[str, Any]) -> str:
    """`test error 0.55 ± 0.03 %`, of which runs."""
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
