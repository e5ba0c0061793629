"""How long a program waits for its first answer: python benchmarks/first_answer.py [--processes N].

Each process is a new one. Inside it the clock runs from before `import nin_onnx` until `Classifier` has answered for one
image; outside, from the start of the interpreter to its end. Prints the medians, in seconds, and the range; and the time of
a further answer.
"""

import json
import subprocess
import sys
import time
from statistics import median

import click

from nin_onnx.machine import hardware, versions

__all__ = ["main"]

TARGET = 0.6

PROGRAM = """
import time
start = time.perf_counter()
import nin_onnx
classifier = nin_onnx.Classifier("nin-mnist")
import numpy as np
image = np.zeros((28, 28), np.uint8)
classifier(image)
first = time.perf_counter() - start
start = time.perf_counter()
for _ in range(20):
    classifier(image)
print([first, (time.perf_counter() - start) / 20])
"""


def timed() -> tuple[float, float, float]:
    """Seconds from import to first answer, of the whole process, and of a further answer."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    whole = time.perf_counter() - start
    first, further = json.loads(done.stdout)
    return first, whole, further


@click.command()
@click.option("--processes", default=11, show_default=True)
def main(processes: int) -> None:
    """Measure new processes one after another."""
    timed()  # the first reads the packages from the disk
    rounds = [timed() for _ in range(processes)]
    firsts, wholes, furthers = zip(*rounds, strict=True)
    click.echo(f"{hardware()['processor']}, {hardware()['cores']} cores; {versions(('onnxruntime', 'numpy'))}")
    click.echo(f"nin-mnist, one image, median of {processes} processes")
    verdict = "reached" if median(firsts) <= TARGET else "missed"
    click.echo(
        f"import to first answer  {median(firsts):6.3f} s  ({min(firsts):.3f} – {max(firsts):.3f}; target {TARGET} s: {verdict})"
    )
    click.echo(f"the whole process       {median(wholes):6.3f} s")
    click.echo(f"a further answer        {median(furthers) * 1000:6.2f} ms")


if __name__ == "__main__":
    main()
