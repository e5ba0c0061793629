"""Images a second of our training loop and of two loops as people write them: the same network, batch and device.

    python benchmarks/training.py [--device cpu] [--rounds 5] [--steps 8]

plain         DataLoader with two workers, crop and flip image by image, float32
plain, bf16   the same with bf16 autocast and channels-last
nin-onnx      nin_onnx.train, the recipe cifar10-augmented-modern, with the others' optimizer

All three train the paper's CIFAR-10 network on made images, take turns in every round after a warm-up, and the ratios are
taken within a round, so that a machine that drifts is fair to all. What the hardware cannot multiply in bf16 is left out and
named: there it would be emulated, in minutes for a step. A multiply-add is two operations, and a training step
three forward passes. Beside the loops stands what the machine reaches in a product of two 4096×4096 matrices.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping

import click
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from nin_onnx import machine
from nin_onnx import recipe as recipes
from nin_onnx.architecture import ARCHITECTURES
from nin_onnx.costs import multiply_adds
from nin_onnx.train import device as devices
from nin_onnx.train.checkpoint import build_classifier
from nin_onnx.train.examples import Examples
from nin_onnx.train.learner import Learner

BATCH = 128
IMAGES = 12_800
LEARNING_RATE = 0.01
AS_THE_PEERS = ["optimizer.kind=sgd", "optimizer.momentum=0.9", "optimizer.weight_decay=5e-4"]
OPERATIONS = 6 * multiply_adds(ARCHITECTURES["nin-cifar10"])  # for each image of a training step

Step = Callable[[], None]


class Images(Dataset[tuple[Tensor, int]]):
    """Made images, prepared one by one, as a torchvision data set does it."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        x = (self.images[row].permute(2, 0, 1).float() / 255 - 0.47) / 0.25
        x = functional.pad(x, (4, 4, 4, 4))
        top, left = torch.randint(0, 9, (2,)).tolist()
        x = x[:, top : top + 32, left : left + 32]
        return (x.flip(2) if torch.rand(()) < 0.5 else x), int(self.labels[row])


def network() -> nn.Sequential:
    """The paper's CIFAR-10 network from torch.nn's own layers."""

    def mlpconv(channels: int, conv: int, kernel: int, first: int, second: int) -> list[nn.Module]:
        sizes = ((channels, conv, kernel), (conv, first, 1), (first, second, 1))
        return [
            module
            for before, after, side in sizes
            for module in (nn.Conv2d(before, after, side, padding=side // 2), nn.ReLU(inplace=True))
        ]

    def pool() -> list[nn.Module]:
        return [nn.MaxPool2d(3, 2, ceil_mode=True), nn.Dropout(0.5)]

    modules = [*mlpconv(3, 192, 5, 160, 96), *pool(), *mlpconv(96, 192, 5, 192, 192), *pool(), *mlpconv(192, 192, 3, 192, 10)]
    return nn.Sequential(*modules, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def plain(images: Tensor, labels: Tensor, device: torch.device, *, bf16: bool) -> Step:
    """A step of the loop that tutorials show."""
    model = network().to(device)
    if bf16:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stubs lack it
    sgd = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=0.9, weight_decay=5e-4)
    loader = DataLoader(Images(images, labels), BATCH, shuffle=True, num_workers=2, drop_last=True, persistent_workers=True)

    def endless() -> Iterator[list[Tensor]]:
        while True:
            yield from loader

    batches = endless()

    def step() -> None:
        x, truth = (tensor.to(device) for tensor in next(batches))
        if bf16:
            x = x.contiguous(memory_format=torch.channels_last)
        sgd.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            loss = functional.cross_entropy(model(x), truth, label_smoothing=0.1)
        loss.backward()
        sgd.step()
        loss.item()

    return step


def ours(images: Tensor, labels: Tensor, device: torch.device) -> Step:
    """A step of our own loop."""
    recipe = recipes.load("cifar10-augmented-modern", AS_THE_PEERS)
    classifier = build_classifier(recipe)
    classifier.preprocessing.fit(images[:1000])
    learner = Learner(recipe, classifier, device)
    learner.begin(0)
    learner.optimizer.set_learning_rate(LEARNING_RATE)
    learner.set_examples(Examples(images.to(device), labels.to(device)))
    number = 0

    def step() -> None:
        nonlocal number
        learner.step(torch.arange(BATCH, device=device) + BATCH * (number % (IMAGES // BATCH)), number)
        number += 1

    return step


def seconds(work: Step, times: int, device: torch.device) -> float:
    """How long `work` takes `times` times."""
    start = time.perf_counter()
    for _ in range(times):
        work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def product(dtype: torch.dtype, device: torch.device, side: int = 4096) -> float:
    """Operations a second in a product of two square matrices: the best of three."""
    one, other = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    seconds(lambda: one @ other, 1, device)  # type: ignore[arg-type] # its result is not wanted
    return 2 * side**3 / min(seconds(lambda: one @ other, 1, device) for _ in range(3))  # type: ignore[arg-type]


def print_table(speeds: Mapping[str, list[float]], dtypes: Mapping[str, str], peaks: Mapping[str, float]) -> None:
    """Print a line for each loop; `peaks` are a matrix product's GFLOP/s in each type."""
    click.echo("| loop | images/s | range | ours over it | GFLOP/s | of a matrix product's |")
    click.echo("| --- | --- | --- | --- | --- | --- |")
    for loop, found in speeds.items():
        ratio = statistics.median(own / other for own, other in zip(speeds["nin-onnx"], found, strict=True))
        dtype = dtypes[loop]
        flops = OPERATIONS * statistics.median(found) / 1e9
        cells = (
            loop,
            f"{statistics.median(found):,.0f}",
            f"{min(found):,.0f} – {max(found):,.0f}",
            "" if loop == "nin-onnx" else f"{ratio:.2f} ×",
            f"{flops:,.0f}",
            f"{100 * flops / peaks[dtype]:.0f} % of {peaks[dtype]:,.0f} ({dtype})",
        )
        click.echo(f"| {' | '.join(cells)} |")


@click.command(help=__doc__)
@click.option("--device", "name", default="auto", type=click.Choice(["auto", "cpu", "cuda"]))
@click.option("--rounds", default=5, type=click.IntRange(1))
@click.option("--steps", default=8, type=click.IntRange(1))
def main(name: str, rounds: int, steps: int) -> None:
    """Measure, and print a Markdown table."""
    device = devices.choose(name)
    devices.set_up(device, deterministic=False)
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (IMAGES, 32, 32, 3), dtype=torch.uint8, generator=random)
    labels = torch.randint(0, 10, (IMAGES,), generator=random)
    bf16 = devices.precision("auto", device) == torch.bfloat16
    loops = {"plain": plain(images, labels, device, bf16=False)}
    loops |= {"plain, bf16": plain(images, labels, device, bf16=True)} if bf16 else {}
    loops |= {"nin-onnx": ours(images, labels, device)}
    dtypes = {loop: "bfloat16" if bf16 and loop != "plain" else "float32" for loop in loops}
    for step in loops.values():
        seconds(step, 2, device)
    speeds: dict[str, list[float]] = {loop: [] for loop in loops}
    for _ in range(rounds):
        for loop, step in loops.items():
            speeds[loop].append(BATCH * steps / seconds(step, steps, device))
    peaks = {dtype: product(getattr(torch, dtype), device) / 1e9 for dtype in {*dtypes.values()}}
    hardware = machine.hardware()
    where = (
        torch.cuda.get_device_name() if device.type == "cuda" else f"{hardware['processor']}, {torch.get_num_threads()} threads"
    )
    click.echo(f"{where}; torch {torch.__version__}; median of {rounds} rounds of {steps} steps of {BATCH} images\n")
    print_table(speeds, dtypes, peaks)
    if not bf16:
        click.echo(f"\nLeft out: plain, bf16. The {device.type} has no bfloat16; nin-onnx computes in float32 on it.")


if __name__ == "__main__":
    main()
