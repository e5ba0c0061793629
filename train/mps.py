"""NVIDIA's Multi-Process Service: with it, several trainings compute on one GPU at the same moment, not in turns."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from nin_onnx.train.running import Echo

__all__ = ["service"]

PROGRAM = "nvidia-cuda-mps-control"
TIMEOUT = 30.0
"""Seconds that it may take to start or to stop."""


@contextmanager
def service(echo: Echo, *, wanted: bool) -> Iterator[Mapping[str, str]]:
    """Start the service, if it is `wanted` and installed, and stop it when the block ends.

    Yield the environment variables by which trainings find it: none if it does not start, which is reported, or if
    CUDA_MPS_PIPE_DIRECTORY is set, since it runs already then.
    """
    if not wanted or shutil.which(PROGRAM) is None or "CUDA_MPS_PIPE_DIRECTORY" in os.environ:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="mps-", ignore_cleanup_errors=True) as folder:
        variables = {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_LOG_DIRECTORY": folder}
        if problem := _control(variables, "-d"):
            echo(f"the trainings take turns on the GPU: '{PROGRAM} -d' failed ({problem})")
            yield {}
            return
        try:
            yield variables
        finally:
            if problem := _control(variables, stdin="quit\n"):
                echo(f"NVIDIA's MPS may still run: '{PROGRAM}' did not stop ({problem})")


def _control(variables: Mapping[str, str], *options: str, stdin: str = "") -> str | None:
    """Run the program; return what went wrong."""
    try:
        done = subprocess.run(
            [PROGRAM, *options],
            check=False,
            input=stdin,
            stdout=subprocess.DEVNULL,  # a pipe would stay open for as long as the service runs
            stderr=subprocess.DEVNULL,
            env=os.environ | variables,
            text=True,
            timeout=TIMEOUT,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return f"status {done.returncode}" if done.returncode else None
