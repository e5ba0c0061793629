"""Images a second of the CIFAR-10 network in PyTorch and, exported, on ONNX Runtime's CPU provider; and what preprocessing costs.

    python benchmarks/inference.py [--rounds 5] [--images 256]

PyTorch          the classifier as it is trained, eager, float32
fp32, fp16, int8 the exported graph and its variants
and the fp32 graph without preprocessing, with standardize, and with GCN and ZCA whitening

All take the same raw pixels, uint8, at batch 1, 32 and 128, and take turns in every round after a warm-up; ratios are taken
within a round, so that a machine that drifts is fair to all. Weights are random, which costs the same. A multiply-add is two
operations. Beside the graphs stands what the machine reaches in a product of two 4096×4096 float32 matrices.
"""

import os
import statistics
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import metadata

import click
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from training import product, seconds  # the benchmark beside this one

from nin_onnx import machine
from nin_onnx import recipe as recipes
from nin_onnx.architecture import ARCHITECTURES
from nin_onnx.costs import multiply_adds
from nin_onnx.export.fp16 import convert_to_fp16
from nin_onnx.export.int8 import quantize
from nin_onnx.export.passes import run_passes
from nin_onnx.export.to_onnx import golden_vectors, to_onnx
from nin_onnx.train.checkpoint import build_classifier
from nin_onnx.train.network import TorchClassifier

BATCHES = (1, 32, 128)
OPERATIONS = 2 * multiply_adds(ARCHITECTURES["nin-cifar10"])  # for each image
CPU = torch.device("cpu")

Work = Callable[[NDArray[np.uint8]], object]


def classifier(*steps: str) -> TorchClassifier:
    """The network with random weights behind `steps`; a whitening matrix is made up, since fitting one takes minutes."""
    torch.manual_seed(0)
    made = build_classifier(replace(recipes.load("cifar10-modern"), preprocessing=steps)).eval()
    for name, buffer in made.preprocessing.named_buffers():
        if name == "zca.matrix":
            buffer.copy_((torch.eye(len(buffer)) + 1e-3 * torch.randn(buffer.shape)).half())
    return made


def graph(source: TorchClassifier) -> onnx.ModelProto:
    """`source` exported as `nin-onnx export` does it."""
    model, _ = run_passes(to_onnx(source), golden_vectors(source))
    return model


def eager(source: TorchClassifier) -> Work:
    """`source` as PyTorch runs it."""

    def work(images: NDArray[np.uint8]) -> object:
        with torch.inference_mode():
            return source(torch.from_numpy(images))

    return work


def session(model: onnx.ModelProto) -> Work:
    """`model` on ONNX Runtime's CPU provider, with as many threads as PyTorch has."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # it reports its use to its makers
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    made = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda images: made.run(["logits"], {"images": images})


def measure(works: Mapping[str, Work], rounds: int, count: int, batch: int) -> dict[str, list[float]]:
    """Images a second of each, a number for each round."""
    images = np.random.default_rng(0).integers(0, 256, (batch, 32, 32, 3), np.uint8)
    calls = max(1, count // batch)
    speeds: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work(images)
    for _ in range(rounds):
        for name, work in works.items():
            work(images)  # what ran before has taken the caches
            speeds[name].append(batch * calls / seconds(lambda work=work: work(images), calls, CPU))  # type: ignore[misc]
    return speeds


def ratio(speeds: Mapping[str, list[float]], name: str, other: str) -> float:
    """How many times as fast `name` is as `other`: the median over the rounds."""
    return statistics.median(one / two for one, two in zip(speeds[name], speeds[other], strict=True))


def print_precisions(precisions: Mapping[str, Work], rounds: int, images: int, peak: float) -> None:
    """Print the table of forms of one network; `peak` is a matrix product's GFLOP/s."""
    click.echo("| batch | form | images/s | range | over fp32 | GFLOP/s | of a float32 matrix product's |")
    click.echo("| --- | --- | --- | --- | --- | --- | --- |")
    for batch in BATCHES:
        speeds = measure(precisions, rounds, images, batch)
        for name, found in speeds.items():
            flops = OPERATIONS * statistics.median(found) / 1e9
            cells = (
                str(batch),
                name,
                f"{statistics.median(found):,.0f}",
                f"{min(found):,.0f} – {max(found):,.0f}",
                f"{ratio(speeds, name, 'fp32'):.2f} ×",
                f"{flops:,.0f}",
                f"{100 * flops / peak:.0f} % of {peak:,.0f}",
            )
            click.echo(f"| {' | '.join(cells)} |")


def print_costs(costs: Mapping[str, Work], rounds: int, images: int) -> None:
    """Print the table of what preprocessing in the graph costs."""
    click.echo("\n| batch | preprocessing in the fp32 graph | images/s | time over none |")
    click.echo("| --- | --- | --- | --- |")
    for batch in BATCHES:
        speeds = measure(costs, rounds, images, batch)
        for name, found in speeds.items():
            more = 100 * (1 / ratio(speeds, name, "none") - 1)
            cost = "" if name == "none" else f"{more:+.1f} %"
            click.echo(f"| {batch} | {name} | {statistics.median(found):,.0f} | {cost} |")


@click.command(help=__doc__)
@click.option("--rounds", default=5, type=click.IntRange(1))
@click.option("--images", default=256, type=click.IntRange(1), help="For each figure of each round.")
def main(rounds: int, images: int) -> None:
    """Measure, and print two Markdown tables."""
    steps = recipes.load("cifar10-modern").preprocessing
    source = classifier(*steps)
    exported = graph(source)
    calibration = np.random.default_rng(1).integers(0, 256, (64, 32, 32, 3), np.uint8)
    precisions = {
        "PyTorch": eager(source),
        "fp32": session(exported),
        "fp16": session(convert_to_fp16(exported, steps)),
        "int8": session(quantize(exported, steps, calibration, "minmax")),
    }
    inside = {"none": (), "standardize": ("standardize",), "GCN + ZCA": ("gcn55", "zca")}
    costs = {name: session(graph(classifier(*steps))) for name, steps in inside.items()}
    peak = product(torch.float32, CPU) / 1e9
    where = f"{machine.hardware()['processor']}, {torch.get_num_threads()} threads"
    versions = f"torch {torch.__version__}, ONNX Runtime {metadata.version('onnxruntime')}"
    click.echo(f"{where}; {versions}; median of {rounds} rounds of {images} images\n")
    print_precisions(precisions, rounds, images, peak)
    print_costs(costs, rounds, images)


if __name__ == "__main__":
    main()
