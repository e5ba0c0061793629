"""What the tests of the data sets share: a web server on this machine, and warnings that every test sees anew."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from nin_onnx.data.files import warn_unofficial


@dataclass
class Server:
    """A web server with made-up files; `short` ones break off before the length that was announced."""

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    short: set[str] = field(default_factory=set)
    requests: list[str] = field(default_factory=list)

    def url(self, name: str) -> str:
        return f"{self.address}/{name}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.removeprefix("/")
            made_up.requests.append(name)
            if name not in made_up.files:
                self.send_error(404)
                return
            content = made_up.files[name]
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if name in made_up.short else content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the standard library
            pass

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        made_up = Server(f"http://127.0.0.1:{http.server_port}")
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield made_up
        http.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _warnings_anew() -> None:
    warn_unofficial.cache_clear()
