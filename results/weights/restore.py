"""Make a run folder of weights that lie here without their whitening matrix, which would be 37.7 MB.

    python results/weights/restore.py cifar10-augmented-seed0 RUN [--data-dir DIRECTORY]

The whitening is fitted anew on the training images; on two CPU cores that takes some minutes. It is rounded to half precision
as it was in the training, where a few of its 9.4 million numbers may have been rounded the other way.
"""

import json
from pathlib import Path

import click
import torch
from safetensors import safe_open

from nin_onnx.recipe import from_dict
from nin_onnx.run import Run
from nin_onnx.train import checkpoint, examples
from nin_onnx.train.checkpoint import Checkpoint

HERE = Path(__file__).parent


@click.command()
@click.argument("name", type=click.Choice(sorted(file.stem for file in HERE.glob("*.safetensors"))))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of the data sets.  [default: as nin-onnx train]")
def main(name: str, folder: Path, data_dir: Path | None) -> None:
    """Make the run FOLDER of the weights NAME."""
    run = Run(folder)
    run.check_new()
    summary = json.loads((HERE.parent / f"{name}.json").read_text(encoding="utf-8"))
    recipe = from_dict(summary["settings"], name)
    dataset = examples.load(recipe, "train", data_dir)
    classifier = checkpoint.build_classifier(recipe, len(dataset.classes))
    classifier.preprocessing.fit(torch.from_numpy(dataset.images))
    with safe_open(HERE / f"{name}.safetensors", framework="pt") as file:
        weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is no dict
    missing = set(classifier.state_dict()) - set(weights)
    classifier.load_state_dict(weights, strict=False)
    run.create(recipe, lambda path: None)
    description = Checkpoint(recipe, summary["seed"], dataset.classes, summary["dataset"], summary["versions"])
    checkpoint.save_classifier(run.model, classifier.state_dict(), description)
    run.write_summary(summary)
    click.echo(f"{run.model}; fitted anew: {', '.join(sorted(missing))}")


if __name__ == "__main__":
    main()
