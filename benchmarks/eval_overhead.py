"""What `nin-onnx eval` costs beyond the runtime's own time: python benchmarks/eval_overhead.py [--images N] [--repeats N].

Both sides do the same test images of MNIST with ONNX Runtime on the CPU, in turns: `nin-onnx eval` from the start of its
process to its end, and a bare loop over `InferenceSession.run`, of which only the loop is timed. NIN_ONNX_DATA names the
data. Prints the medians in seconds, of the overhead that of the differences in each turn, with their range.
"""

import subprocess
import sys
import time
from statistics import median

import click

from nin_onnx import models
from nin_onnx.data import load
from nin_onnx.machine import hardware, versions

__all__ = ["main"]

BATCH = 128


def bare(images: int) -> float:
    """Seconds inside ONNX Runtime."""
    import onnxruntime

    pixels = load("mnist", "test").images[:images]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(hardware()["cores"])
    session = onnxruntime.InferenceSession(str(models.find("nin-mnist")), options)
    start = time.perf_counter()
    for first in range(0, len(pixels), BATCH):
        session.run(None, {"images": pixels[first : first + BATCH]})
    return time.perf_counter() - start


def evaluated(images: int) -> float:
    """Seconds of the whole command."""
    command = [sys.executable, "-m", "nin_onnx", "eval", "nin-mnist", "--runtime", "onnxruntime"]
    start = time.perf_counter()
    subprocess.run([*command, "--limit", str(images), "--batch", str(BATCH)], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


@click.command()
@click.option("--images", default=10_000, show_default=True)
@click.option("--repeats", default=5, show_default=True)
def main(images: int, repeats: int) -> None:
    """Measure both in turns, so that a machine that drifts is fair to both."""
    bare(BATCH)  # warms up
    rounds = [(bare(images), evaluated(images)) for _ in range(repeats)]
    own, whole = (median(times) for times in zip(*rounds, strict=True))
    overheads = [evaluation - loop for loop, evaluation in rounds]
    used = versions(("onnxruntime", "numpy"))
    click.echo(f"{hardware()['processor']}, {hardware()['cores']} cores; {used}")
    click.echo(f"{images:,} images, batches of {BATCH}, median of {repeats}")
    click.echo(f"nin-onnx eval   {whole:6.2f} s")
    click.echo(f"runtime's own   {own:6.2f} s")
    click.echo(f"overhead        {median(overheads):6.2f} s ({min(overheads):.2f} to {max(overheads):.2f})")


if __name__ == "__main__":
    main()
