"""Corrupted model files, thousands of them: each is read, or refused in one line, and ends in no traceback and no hang."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from nin_onnx.errors import ModelError
from nin_onnx.golden import FOLDER, read_golden
from nin_onnx.runtimes import EvalOptions, evaluate
from nin_onnx.runtimes.read_model import read_model

Writer = Callable[..., Path]

Corrupt = Callable[..., Iterator[bytes]]

ROOT = Path(__file__).parents[2]


@pytest.fixture
def corrupted(monkeypatch: pytest.MonkeyPatch) -> Corrupt:
    """Makes corrupted copies of a file, without end."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    function: Corrupt = import_module("corrupted").corrupted
    return function


def refusal(read: Callable[[Path], object], path: Path) -> str | None:
    """The one line in which `read` refuses `path`, None where it does not."""
    try:
        read(path)
    except ModelError as error:
        assert "\n" not in str(error)
        return str(error)
    return None


@pytest.mark.parametrize("files", [500, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
def test_a_corrupted_model_is_read_or_refused_in_one_line(tiny_model: Writer, corrupted: Corrupt, files: int) -> None:
    path = tiny_model()
    found = Counter[bool]()
    for content in islice(corrupted(path.read_bytes(), seed=0), files):
        path.write_bytes(content)
        found[refusal(read_model, path) is None] += 1
    assert min(found.values()) > files / 50, "both ends are reached"


def test_corrupted_golden_vectors_are_read_or_refused_in_one_line(tiny_model: Writer, corrupted: Corrupt) -> None:
    folder = tiny_model().parent
    found = Counter[bool]()
    for path in sorted((folder / FOLDER).iterdir()):
        whole = path.read_bytes()
        for content in islice(corrupted(whole, seed=0, graph=False), 100):
            path.write_bytes(content)
            found[refusal(read_golden, folder) is None] += 1
        path.write_bytes(whole)
    assert len(found) == 2


@pytest.mark.parametrize(
    ("file", "name", "kind", "shape", "words"),
    [
        ("input_0.pb", "images", TensorProto.INT64, [12, 8, 6, 3], "should hold images as uint8"),
        ("input_0.pb", "images", TensorProto.UINT8, [12, 8, 6], "should hold images as uint8"),
        ("input_0.pb", "images", TensorProto.UINT8, [0, 8, 6, 3], "should hold images as uint8"),
        ("output_0.pb", "logits", TensorProto.FLOAT, [11, 4], r"should hold 'logits' as floating point numbers \[12, …\]"),
        ("output_0.pb", "logits", TensorProto.FLOAT, [12, 0], "should hold 'logits' as floating"),
        ("output_0.pb", "logits", TensorProto.INT32, [12, 4], "should hold 'logits' as floating"),
    ],
)
def test_golden_vectors_of_another_form_are_told_what_they_hold(
    tiny_model: Writer, file: str, name: str, kind: int, shape: list[int], words: str
) -> None:
    folder = tiny_model().parent
    zeros = np.zeros(shape, helper.tensor_dtype_to_np_dtype(kind))
    (folder / FOLDER / file).write_bytes(numpy_helper.from_array(zeros, name).SerializeToString())
    with pytest.raises(ModelError, match=words):
        read_golden(folder)


def test_an_input_too_large_to_be_tried_is_refused_before_it_is_made(tiny_model: Writer) -> None:
    path = tiny_model(golden=False)
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 2**40
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"takes 4 × 1099511627776 × 6 × 3 values at once"):
        evaluate(path, EvalOptions(runtimes=["reference"]))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_hundred_corrupted_models_go_through_the_whole_eval(tiny_model: Writer, corrupted: Corrupt, tmp_path: Path) -> None:
    """Half of them such that the reader takes, which are rare: the others end there."""
    path, temporary = tiny_model(), tmp_path / "temporary"
    temporary.mkdir()
    contents = corrupted(path.read_bytes(), seed=1)
    left = {True: 50, False: 50}
    statuses = Counter[int]()
    while any(left.values()):
        content = next(contents)
        path.write_bytes(content)
        taken = refusal(read_model, path) is None
        if not left[taken]:
            continue
        left[taken] -= 1
        status = eval_of(path, temporary)
        assert status == 2 or taken
        statuses[status] += 1
    assert statuses.keys() == {0, 1, 2}, "0: where a name or a label was hit, the answers are still right"


def eval_of(model: Path, temporary: Path) -> int:
    """The exit status of `nin-onnx eval`, which left nothing behind and said no more than a table or one line."""
    command = [sys.executable, "-m", "nin_onnx", "eval", str(model), "--runtime=onnxruntime", "--threads=1", "--time-limit=60"]
    environment = os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=temporary, timeout=300)
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said
    assert "internal error" not in said, said
    assert done.returncode in (0, 1, 2), said
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == (0 if "onnxruntime" in done.stdout else 1), said
    assert list(temporary.iterdir()) == []
    return done.returncode
