"""What the README says, where a test can tell."""

import os
import re
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from nin_onnx import models
from nin_onnx.cli import COMMANDS
from nin_onnx.runtimes.backends import npm
from nin_onnx.runtimes.backends.base import Unusable
from nin_onnx.runtimes.backends.chromium import ALONE, browser
from nin_onnx.runtimes.backends.registry import runtime

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves a folder, and says nothing of it."""

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name that the library gave it
        pass


EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=["Classifier", "ONNX Runtime"])
def test_a_python_example_runs_beside_a_shipped_model_and_prints_a_label(example: str) -> None:
    folder = models.FOLDER / "nin-mnist"
    done = subprocess.run([sys.executable, "-c", example], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] in list("0123456789")


@pytest.fixture
def usable(request: pytest.FixtureRequest) -> None:
    """Skips where the runtime that the example is for cannot run."""
    try:
        runtime(request.param).check()
    except Unusable as reason:
        pytest.skip(f"{reason.reason}: {reason.install}")


def example(language: str, package: str, folder: Path) -> str:
    """The README's example in `language`; `folder` is made as it wants it: the model, and the npm package."""
    shutil.copy(models.FOLDER / "nin-mnist" / "model.onnx", folder)
    (folder / "node_modules").symlink_to(npm.place(package).parent)
    (text,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return str(text)


@pytest.mark.parametrize("usable", ["onnxruntime-node"], indirect=True)
@pytest.mark.usefixtures("usable")
def test_the_node_example_prints_what_the_model_takes_black_for(tmp_path: Path) -> None:
    (tmp_path / "example.mjs").write_text(example("js", "onnxruntime-node", tmp_path))
    done = subprocess.run(["node", "example.mjs"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1"]


@pytest.mark.parametrize("usable", ["chromium"], indirect=True)
@pytest.mark.usefixtures("usable")
def test_the_web_page_shows_what_the_model_takes_black_for(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(example("html", "onnxruntime-web", tmp_path))
    files = partial(QuietHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), files) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            profile = f"--user-data-dir={tmp_path / 'profile'}"
            flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", *ALONE, profile]
            home = os.environ | {"HOME": str(tmp_path)}
            page = f"http://127.0.0.1:{server.server_port}/"
            command = [str(browser()), *flags, "--virtual-time-budget=60000", "--dump-dom", page]
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100, env=home)
        finally:
            server.shutdown()
    assert "<title>1</title>" in done.stdout


def test_every_command_in_the_readme_is_one_of_ours() -> None:
    assert set(re.findall(r"nin-onnx ([a-z]+)\b", README)) <= set(COMMANDS)
