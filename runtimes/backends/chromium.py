"""ONNX Runtime Web in a real browser: Chromium without a window, on a page of its own."""

import os
import shutil
from pathlib import Path

from nin_onnx.runtimes.backends.base import Unusable
from nin_onnx.runtimes.backends.javascript_host import JAVASCRIPT, JavaScriptHost
from nin_onnx.runtimes.backends.npm import need_npm, place
from nin_onnx.runtimes.backends.onnxruntime_node import OnnxRuntimeWeb
from nin_onnx.runtimes.model import GraphInfo

__all__ = ["Chromium"]

BROWSER = "NIN_ONNX_CHROMIUM"
"""Environment variable with the path of the browser; else it is looked for by its usual names."""
NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
ALONE = (
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic", "--no-first-run"),
    *("--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
)
"""Switches off all that a browser does on the network of its own accord; and nothing but this machine can be reached at all."""


class Chromium(OnnxRuntimeWeb):
    """The WebAssembly build on a page that may share memory, and so uses threads."""

    @classmethod
    def check(cls) -> None:
        need_npm(cls.package)
        if browser() is None:
            raise Unusable("no Chromium or Chrome on this machine", "sudo apt-get install chromium")

    def load(self, model: GraphInfo, threads: int) -> None:
        self._model = model
        self._host = JavaScriptHost(model.path, threads, {"": JAVASCRIPT, "ort": place(self.package) / "dist"})
        here = Path.cwd()  # the worker's own folder: profile and temporary files vanish with it
        start = here / "start.html"  # not the address itself: every user of the machine can read a command line
        start.write_text(f'<meta http-equiv="refresh" content="0; url={self._host.home}/browser.html">', encoding="utf-8")
        self._reported = self._host.start(
            command(here, start.as_uri()), os.environ | {"HOME": str(here), "TMPDIR": "."}
        )  # a socket's path must be short


def command(here: Path, address: str) -> list[str]:
    """What starts the browser on `address`, with its profile in `here`."""
    flags = ["--headless", "--disable-gpu", "--disable-dev-shm-usage", "--disable-breakpad", *ALONE]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags.append("--no-sandbox")  # for root there is none; the page is ours, and reaches nothing but this process
    return [browser() or "chromium", *flags, f"--user-data-dir={here / 'profile'}", address]


def browser() -> str | None:
    """The path of the browser, None where there is none."""
    return os.environ.get(BROWSER) or next(filter(None, map(shutil.which, NAMES)), None)
