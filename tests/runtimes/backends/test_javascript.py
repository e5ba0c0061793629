"""ONNX Runtime for JavaScript, in Node and in Chromium: the same answers, and nothing installed or left behind by `eval`."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from nin_onnx.data.dataset import Dataset
from nin_onnx.errors import NinOnnxError
from nin_onnx.runtimes import EvalOptions, evaluate
from nin_onnx.runtimes.backends import chromium, npm
from nin_onnx.runtimes.backends.base import Unusable
from nin_onnx.runtimes.backends.chromium import BROWSER
from nin_onnx.runtimes.backends.javascript_host import JAVASCRIPT, JavaScriptHost
from nin_onnx.runtimes.backends.registry import runtime

NAMES = ("onnxruntime-node", "onnxruntime-web", "chromium")

Writer = Callable[..., Path]


@pytest.fixture
def usable() -> None:
    """Skips where Node, the npm packages or the browser are not at hand."""
    for name in NAMES:
        try:
            runtime(name).check()
        except Unusable as reason:
            pytest.skip(f"{reason.reason}: {reason.install}")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place for npm packages."""
    monkeypatch.setenv(npm.FOLDER, str(tmp_path / "packages"))
    return tmp_path / "packages"


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Puts a shell script before all other programs of that name; what it was called with is in the file `calls`."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    monkeypatch.setenv("PATH", f"{bin_}{os.pathsep}{os.environ['PATH']}")

    def write(name: str, script: str) -> Path:
        path = bin_ / name
        path.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n{script}\n')
        path.chmod(0o755)
        return path

    return write


@pytest.mark.usefixtures("usable")
def test_each_gives_the_worked_out_answers_in_batches_of_any_size(
    tiny_model: Writer, tiny_data: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    rows = evaluate(
        tiny_model(), EvalOptions(runtimes=["onnxruntime", *NAMES], dataset=tiny_data(20, errors=3), batch=7, threads=2)
    ).rows
    assert [(row.outcome, row.reason) for row in rows] == [("pass", None)] * 4
    assert [row.accuracy.errors if row.accuracy else None for row in rows] == [3] * 4
    assert [row.label_changes.changes if row.label_changes else None for row in rows[1:]] == [0] * 3
    facts = [row.facts for row in rows[1:] if row.facts]
    assert [fact.version for fact in facts] == list(
        map(npm.PACKAGES.get, ("onnxruntime-node", "onnxruntime-web", "onnxruntime-web"))
    )
    assert [fact.precision for fact in facts] == ["fp32"] * 3
    assert [fact.threads for fact in facts] == [None, 2, 2]
    assert [(fact.host or "").split()[0] for fact in facts] == ["Node", "Node", "Chromium"]
    assert list(temporary.iterdir()) == []
    assert running(str(temporary)) == []


def running(words: str) -> list[str]:
    """The command lines of the processes that hold `words`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_text().replace("\0", " ")
        except OSError:  # it has ended meanwhile
            continue
        if words in line:
            found.append(line)
    return found


@pytest.mark.usefixtures("usable")
def test_what_the_javascript_raises_is_the_reason(tiny_model: Writer, made_up: Callable[[str], str]) -> None:
    rows = evaluate(tiny_model(), EvalOptions(runtimes=[made_up("ServesNoModel")])).rows
    assert rows[0].outcome == "error"
    assert rows[0].reason
    assert rows[0].reason.startswith("RuntimeError: ")
    assert "protobuf" in rows[0].reason


@pytest.mark.parametrize("name", NAMES)
def test_no_command_line_tells_the_address(
    tiny_model: Writer, program: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setenv(npm.FOLDER, str(tmp_path / "packages"))
    for package in npm.PACKAGES:
        npm.place(package).mkdir(parents=True)
    told = f"env > {tmp_path}/environment; cat start.html > {tmp_path}/page; exit 3"
    monkeypatch.setenv(BROWSER, str(program("browser", told)))
    program("node", told)
    (row,) = evaluate(tiny_model(), EvalOptions(runtimes=[name])).rows
    assert row.outcome == "error"
    (call,) = (tmp_path / "calls").read_text().splitlines()
    given = (tmp_path / "page").read_text() + (tmp_path / "environment").read_text()
    assert re.search(r"http://127\.0\.0\.1:\d+/[0-9a-f]{32}", given)
    assert "127.0.0.1:" not in call
    assert "http" not in call


@pytest.mark.usefixtures("usable")
@pytest.mark.parametrize("status", [0, 3])
def test_a_browser_that_ends_is_an_error(
    tiny_model: Writer, program: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv(BROWSER, str(program("browser", f"exit {status}")))
    (row,) = evaluate(tiny_model(), EvalOptions(runtimes=["chromium"])).rows
    assert (row.outcome, row.reason) == ("error", f"RuntimeError: browser ended with status {status}")


@pytest.mark.usefixtures("usable")
@pytest.mark.parametrize(("host", "reached"), [("127.0.0.1", True), ("127.0.0.2", False), ("localhost.example", False)])
def test_the_browser_reaches_the_address_of_this_machine_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, reached: bool
) -> None:
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers["Host"])
            self.send_error(404)

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("0.0.0.0", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")  # by which all names would be reached
        command = chromium.command(tmp_path, f"http://{host}:{server.server_port}/")
        subprocess.run(
            [*command[:-1], "--dump-dom", command[-1]], capture_output=True, timeout=100, env=os.environ | {"HOME": str(tmp_path)}
        )
        server.shutdown()
    assert bool(asked) == reached


def test_absent_packages_are_named_with_the_command_and_nothing_is_installed(
    tiny_model: Writer, folder: Path, program: Callable[[str, str], Path], tmp_path: Path
) -> None:
    program("npm", "")
    program("node", "")
    rows = evaluate(tiny_model(), EvalOptions(runtimes=NAMES)).rows
    assert [row.outcome for row in rows] == ["skipped"] * 3
    assert [row.reason for row in rows] == [f"the npm package '{rows[i].runtime}' is not installed" for i in (0, 1)] + [
        rows[1].reason
    ]
    assert [row.install for row in rows][:2] == [f"nin-onnx doctor --install {name}" for name in NAMES[:2]]
    assert not (tmp_path / "calls").exists()
    assert not folder.exists()


def test_without_node_or_browser_the_command_that_brings_it_is_named(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(Unusable, match=r"Node\.js is not installed"):
        runtime("onnxruntime-node").check()
    npm.place("onnxruntime-web").mkdir(parents=True)
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/node" if name == "node" else None)
    monkeypatch.delenv(BROWSER, raising=False)
    with pytest.raises(Unusable, match="no Chromium or Chrome on this machine"):
        runtime("chromium").check()


def test_installing_runs_no_script_and_takes_the_version_that_was_tried(
    folder: Path, program: Callable[[str, str], Path], tmp_path: Path
) -> None:
    program("npm", "mkdir -p node_modules/onnxruntime-web && echo '{}' > node_modules/onnxruntime-web/package.json")
    place = npm.install("onnxruntime-web")
    assert place == folder / "onnxruntime-web-1.30.0" / "node_modules" / "onnxruntime-web"
    assert json.loads((place / "package.json").read_text()) == {}
    (call,) = (tmp_path / "calls").read_text().splitlines()
    assert call.startswith("ci --ignore-scripts ")
    asked = json.loads((place.parents[1] / "package.json").read_text())
    assert asked["dependencies"] == {"onnxruntime-web": "1.30.0"}


@pytest.mark.parametrize("package", npm.PACKAGES)
def test_the_lock_file_has_a_hash_of_all_that_is_installed_and_names_no_registry(package: str) -> None:
    lock = json.loads((npm.LOCKS / f"{package}.json").read_text())
    root, *brought = lock["packages"].values()
    assert root == {"dependencies": {package: npm.PACKAGES[package]}}
    assert lock["packages"][f"node_modules/{package}"]["version"] == npm.PACKAGES[package]
    assert all(entry["integrity"].startswith("sha512-") and "resolved" not in entry for entry in brought)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(shutil.which("npm") is None, reason="Node.js is not installed: sudo apt-get install nodejs npm")
def test_a_package_that_is_not_the_one_that_was_tried_is_not_installed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = json.loads((npm.LOCKS / "onnxruntime-web.json").read_text())
    entries = lock["packages"]
    entries["node_modules/platform"]["integrity"] = entries["node_modules/long"]["integrity"]
    (tmp_path / "onnxruntime-web.json").write_text(json.dumps(lock))
    monkeypatch.setattr(npm, "LOCKS", tmp_path)
    with pytest.raises(NinOnnxError, match=r"npm could not install 'onnxruntime-web'.*EINTEGRITY"):
        npm.install("onnxruntime-web")
    assert list(folder.iterdir()) == []


def test_an_installation_that_fails_is_one_line_and_leaves_nothing(folder: Path, program: Callable[[str, str], Path]) -> None:
    program("npm", "mkdir half; echo 'npm error network' >&2; exit 1")
    with pytest.raises(NinOnnxError, match=r"npm could not install 'onnxruntime-node' \(npm error network\): check"):
        npm.install("onnxruntime-node")
    assert list(folder.iterdir()) == []


def test_an_unknown_package_is_not_installed(folder: Path) -> None:
    with pytest.raises(NinOnnxError, match="unknown npm package 'left-pad'"):
        npm.install("left-pad")


@pytest.mark.parametrize("page", ["{home}x/model", "{root}/model", "{home}/javascript/../peer.py", "{home}/javascript/none.mjs"])
def test_only_who_knows_the_address_is_answered_and_only_with_what_is_served(tiny_model: Writer, page: str) -> None:
    path = tiny_model()
    peer = JavaScriptHost(path, 1, {"javascript": JAVASCRIPT})
    with urllib.request.urlopen(f"{peer.home}/model") as answer:
        assert answer.read() == path.read_bytes()
    with pytest.raises(urllib.error.HTTPError, match="404") as caught:
        urllib.request.urlopen(page.format(home=peer.home, root=peer.home.rpartition("/")[0]))
    caught.value.close()
    peer.close()


def test_outputs_of_several_types_come_back_as_they_were_sent(tiny_model: Writer, program: Callable[[str, str], Path]) -> None:
    peer = JavaScriptHost(tiny_model(), 1, {})
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([-1, 2**40]), "c": np.zeros((2, 0), np.uint8)}
    head = [{"name": name, "type": array.dtype.name, "dims": array.shape} for name, array in arrays.items()]
    peer.results.put(("ready", b"{}"))
    peer.results.put(("outputs", json.dumps(head).encode() + b"\n" + b"".join(array.tobytes() for array in arrays.values())))
    assert peer.start([str(program("sleeps", "exec sleep 60"))], os.environ) == {}
    for name, array in peer.run(np.zeros((2, 1, 1, 1), np.uint8)).items():
        np.testing.assert_array_equal(array, arrays[name], strict=True)
    peer.close()


@pytest.mark.parametrize("name", chromium.NAMES)
def test_ci_installs_what_is_missing_and_knows_a_browser_by_every_name_that_we_do(tmp_path: Path, name: str) -> None:
    """The step of .ci/run, with programs that do nothing and an apt-get that tells what it was asked for."""
    script = (Path(__file__).parents[3] / ".ci" / "run").read_text(encoding="utf-8")
    step = script[script.index("missing=()") : script.index("export NIN_ONNX_NPM")].replace(".venv/bin/python", sys.executable)
    environment = {"PATH": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[3])}

    def asked() -> str:
        command = ["/bin/bash", "-euc", f'apt-get() {{ echo "$@"; }}\n{step}']
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    assert "nodejs npm chromium qemu-user" in asked()
    for program in ("node", "npm", name, "qemu-x86_64", "qemu-aarch64"):
        (tmp_path / program).touch(mode=0o755)
    assert asked() == ""
