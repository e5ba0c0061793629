"""The archive, fetched, unpacked and judged by ONNX's own backend tests."""

import json
import os
import shutil
import tarfile
import unittest
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx.backend.test.runner
import onnx.utils
import onnxruntime.backend.backend
import pytest
from onnx import numpy_helper
from onnx.backend.base import Backend, BackendRep
from onnx.backend.test.loader import load_model_tests
from onnx.reference import ReferenceEvaluator

from nin_onnx import models
from nin_onnx.card import read_card, write_card
from nin_onnx.export.bundles.zoo import write_zoo
from nin_onnx.golden import read_golden
from nin_onnx.precision import PRECISIONS


class ReferenceRep(BackendRep):
    def __init__(self, model: onnx.ModelProto) -> None:
        self.evaluator = ReferenceEvaluator(model)

    def run(self, inputs: Sequence[Any], **kwargs: Any) -> Any:
        return self.evaluator.run(None, dict(zip(self.evaluator.input_names, inputs, strict=True)))


class ReferenceBackend(Backend):
    """ONNX's reference evaluator behind ONNX's backend interface."""

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> ReferenceRep:
        return ReferenceRep(model)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        return device == "CPU"


BACKENDS = {"onnxruntime": onnxruntime.backend.backend.OnnxRuntimeBackend, "reference": ReferenceBackend}


@pytest.fixture
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Unpacks an archive among the cases of ONNX's backend tests, and runs its test."""

    def judge(archive: Path, backend: str) -> unittest.TestResult:
        name = archive.name.removesuffix(".tar.gz")
        onnx.utils._extract_model_safe(archive, tmp_path / "unpacked")  # as ONNX's runner does it with what it fetches
        shutil.move(tmp_path / "unpacked" / name, tmp_path / "cases" / "real" / f"test_{name}")
        monkeypatch.setattr(  # ONNX's own cases are those of its operators
            onnx.backend.test.runner,
            "load_model_tests",
            lambda kind: load_model_tests(str(tmp_path / "cases"), kind) if kind == "real" else [],
        )
        result = unittest.TestResult()
        onnx.backend.test.runner.Runner(BACKENDS[backend], __name__).test_suite.run(result)
        return result

    (tmp_path / "cases" / "real").mkdir(parents=True)
    return judge


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["nin-digits", "nin-mnist"])
def test_the_archive_passes_onnx_s_own_backend_test(name: str, backend: str, bundled: Path, tmp_path: Path, judged: Any) -> None:
    archive = bundled / "zoo" / "nin-digits.tar.gz"
    if name == "nin-mnist":  # the one that ships, whose weights are trained
        archive = tmp_path / "nin-mnist.tar.gz"
        write_zoo(name, models.find(name).parent, tmp_path)
    result = judged(archive, backend)
    assert (result.errors, result.failures) == ([], [])
    assert (result.testsRun, [reason for _, reason in result.skipped]) == (2, ["Backend doesn't support device CUDA"])


@pytest.mark.parametrize(("wrong", "failures"), [(0.9e-5, 0), (3e-5, 1)])
def test_that_test_sees_an_answer_that_is_wrong_by_more_than_1e_5_of_the_largest_logit(
    wrong: float, failures: int, bundled: Path, tmp_path: Path, judged: Any
) -> None:
    """By 2e-5 at most, where the answer is the largest one: the test adds both of its tolerances."""
    folder = tmp_path / "wrong"
    shutil.copytree(bundled, folder)
    write_zoo("wrong", folder, tmp_path)
    with tarfile.open(tmp_path / "wrong.tar.gz") as archive:
        allowed = json.load(archive.extractfile("wrong/data.json") or pytest.fail("no data.json"))
    vector = folder / "test_data_set_0" / "output_0.pb"
    tensor = onnx.load_tensor(str(vector))
    logits = numpy_helper.to_array(tensor).copy()
    largest = np.abs(logits).max()
    assert allowed == {"atol": pytest.approx(1e-5 * largest), "rtol": 1e-5}
    logits[0] += np.float32(wrong * largest)
    vector.write_bytes(numpy_helper.from_array(logits, tensor.name).SerializeToString())
    packed = tmp_path / "wrong.tar.gz"
    write_zoo("wrong", folder, tmp_path)
    assert len(judged(packed, "onnxruntime").failures) == failures


def test_the_archive_holds_the_model_and_its_vectors_and_nobody_s_name_or_time(bundled: Path) -> None:
    with tarfile.open(bundled / "zoo" / "nin-digits.tar.gz") as archive:
        entries = archive.getmembers()
        assert entries[0].name == "nin-digits/data.json"
        for entry in entries[1:]:
            content = archive.extractfile(entry)
            assert content is not None
            assert content.read() == (bundled / entry.name.removeprefix("nin-digits/")).read_bytes()
    files = [
        "data.json",
        "model.onnx",
        *(f"test_data_set_0/{name}.pb" for name in ("input_0", "output_0", "output_1", "output_2")),
    ]
    assert [entry.name for entry in entries] == [f"nin-digits/{file}" for file in files]
    assert {(entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname) for entry in entries} == {(0, 0, 0, "", "")}


def test_the_archive_is_the_same_bytes_on_another_day_and_under_another_name_of_the_folder(bundled: Path, tmp_path: Path) -> None:
    shutil.copytree(bundled, tmp_path / "copy")
    for path in (tmp_path / "copy").rglob("*"):
        os.utime(path, (1, 1))
    write_zoo("nin-digits", tmp_path / "copy", tmp_path)
    assert (tmp_path / "nin-digits.tar.gz").read_bytes() == (bundled / "zoo" / "nin-digits.tar.gz").read_bytes()


@pytest.mark.parametrize(("precision", "share"), [("fp16", 5e-3), ("int8", 8e-3)])
def test_an_archive_of_lower_precision_allows_what_eval_allows_for_it(
    precision: str, share: float, bundled: Path, tmp_path: Path
) -> None:
    shutil.copytree(bundled, tmp_path / "copy")
    model = onnx.load(bundled / "model.onnx")
    card = read_card(model)
    assert card is not None
    write_card(model, replace(card, precision=precision))
    onnx.save(model, tmp_path / "copy" / "model.onnx")
    write_zoo("copy", tmp_path / "copy", tmp_path)
    with tarfile.open(tmp_path / "copy.tar.gz") as archive:
        allowed = json.load(archive.extractfile("copy/data.json") or pytest.fail("no data.json"))
    golden = read_golden(bundled)
    assert golden is not None
    assert PRECISIONS[precision].tolerance == share
    unit = golden.scale("logits") if precision == "fp16" else 4 * np.abs(golden.outputs["class_maps"]).max()
    assert allowed == {"atol": pytest.approx(share * unit), "rtol": share}
