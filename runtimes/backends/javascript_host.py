"""A program that is not Python runs the model: a server on this machine gives it model and images and takes the outputs."""

import json
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["JAVASCRIPT", "JavaScriptHost"]

JAVASCRIPT = Path(__file__).parent / "javascript"
TYPES = {"float32": np.float32, "float64": np.float64, "float16": np.float16, "uint8": np.uint8, "int64": np.int64}
KINDS = {".html": "text/html", ".mjs": "text/javascript", ".wasm": "application/wasm"}


class JavaScriptHost:
    """The server, and the program that was started to ask it."""

    def __init__(self, model: Path, threads: int, folders: Mapping[str, Path]) -> None:
        """Serve `model`, and below each name in `folders` the files that lie in it, to whoever knows the address."""
        self.pages = {"settings": json.dumps({"threads": threads}).encode(), "model": model.read_bytes()}
        self.folders = dict(folders)
        self.token = secrets.token_hex(16)  # other users of this machine do not know it, and no command line may tell it
        self.jobs: SimpleQueue[NDArray[Any]] = SimpleQueue()
        self.results: SimpleQueue[tuple[str, bytes]] = SimpleQueue()
        self._program: subprocess.Popen[bytes] | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, self))
        self._server.daemon_threads = True
        self.home = f"http://127.0.0.1:{self._server.server_port}/{self.token}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
        """Start the program and wait until it has loaded the model; gives what it tells about itself."""
        self._name = Path(command[0]).name
        self._program = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
        told: dict[str, Any] = json.loads(self._wait("ready"))
        return told

    def run(self, images: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The outputs for one batch, by name."""
        self.jobs.put(np.ascontiguousarray(images))
        head, _, data = self._wait("outputs").partition(b"\n")
        outputs, start = {}, 0
        for output in json.loads(head):
            dtype, count = np.dtype(TYPES[output["type"]]), int(np.prod(output["dims"]))
            outputs[output["name"]] = np.frombuffer(data, dtype, count, start).reshape(output["dims"])
            start += count * dtype.itemsize
        return outputs

    def close(self) -> None:
        """End the program and the server; in a worker the end of the process does it."""
        if self._program:
            self._program.kill()
            self._program.wait()
        self._server.shutdown()
        self._server.server_close()

    def _wait(self, expected: str) -> bytes:
        """What the program posts next; raises `RuntimeError` where that is an error, or where it has ended."""
        assert self._program is not None
        while True:
            ended = self._program.poll()
            try:
                what, body = self.results.get(timeout=0.2)
            except Empty:
                if ended is None:
                    continue
                raise RuntimeError(f"{self._name} ended with status {ended}") from None
            if what != expected:
                raise RuntimeError(body.decode(errors="replace"))
            return body


class Handler(BaseHTTPRequestHandler):
    """Answers one connection of the program."""

    protocol_version = "HTTP/1.1"

    def __init__(self, host: JavaScriptHost, *arguments: Any) -> None:
        self.host = host
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """Give a page, a file or, as soon as there is one, a batch of images."""
        what = self._what()
        folder, _, file = what.rpartition("/")
        if what == "images":
            images = self.host.jobs.get()
            self._send(images.tobytes(), {"X-Shape": json.dumps(images.shape), "X-Type": images.dtype.name})
        elif what in self.host.pages:
            self._send(self.host.pages[what])
        elif folder in self.host.folders and (path := self.host.folders[folder] / file).is_file():
            self._send(path.read_bytes(), {"Content-Type": KINDS.get(path.suffix, "application/octet-stream")})
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        """Take what the program tells."""
        what = self._what()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if what not in ("ready", "outputs", "error"):
            self.send_error(404)
            return
        self.host.results.put((what, body))
        self._send(b"")

    def _what(self) -> str:
        token, _, what = self.path.removeprefix("/").partition("/")
        return what if secrets.compare_digest(token, self.host.token) else ""

    def _send(self, content: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(200)
        isolation = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}  # for threads
        for name, value in {**isolation, **(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *values: Any) -> None:  # noqa: A002 - the base class calls it so
        """Say nothing: the worker's last line is its last word."""
