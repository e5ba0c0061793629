"""`eval` where there is no network: in a namespace that has nothing but the loopback interface."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nin_onnx.runtimes.backends.registry import ON_REQUEST
from nin_onnx.runtimes.diagnosis import diagnose

UNSHARE = [shutil.which("unshare") or "unshare", "--map-root-user", "--net"]
ALLOWED = subprocess.run([*UNSHARE, "true"], capture_output=True).returncode == 0 if shutil.which("unshare") else False

IN_THE_NAMESPACE = """
import fcntl, socket, struct, sys
with socket.socket() as loopback:
    fcntl.ioctl(loopback, 0x8914, struct.pack("16sh", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
try:
    socket.create_connection(("192.0.2.1", 80), timeout=5)
    sys.exit("there is a network")
except OSError:
    pass
from nin_onnx.cli import main
sys.argv = ["nin-onnx", "eval", *sys.argv[1:]]
main()
"""


@pytest.mark.slow
@pytest.mark.skipif(not ALLOWED, reason="this system lets nobody make a network namespace")
def test_every_runtime_that_can_run_here_passes_without_a_network(tiny_model: Callable[..., Path]) -> None:
    names = [state.runtime for state in diagnose().runtimes if state.usable and state.runtime not in ON_REQUEST]
    names.remove("pytorch")  # the tiny model has no checkpoint
    asked = [f"--runtime={name}" for name in names]
    command = [*UNSHARE, sys.executable, "-c", IN_THE_NAMESPACE, str(tiny_model()), *asked, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert {row["runtime"]: (row["outcome"], row["reason"]) for row in rows} == dict.fromkeys(names, ("pass", None))
