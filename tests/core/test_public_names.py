"""What each module offers is named in its `__all__`."""

import importlib
import pkgutil

import pytest

import nin_onnx

MODULES = sorted(module.name for module in pkgutil.walk_packages(nin_onnx.__path__, "nin_onnx."))


def test_the_public_names_of_the_package_are_these() -> None:
    assert nin_onnx.__all__ == ["Classifier", "NinOnnxError", "__version__"]


def test_the_stages_are_among_the_modules() -> None:
    assert {"nin_onnx.data", "nin_onnx.train", "nin_onnx.export", "nin_onnx.runtimes"} <= set(MODULES)


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_a_module_has_what_it_offers(name: str) -> None:
    if name == "nin_onnx.train.kernels":
        pytest.importorskip("triton", reason="Triton comes with torch for NVIDIA GPUs")
    module = importlib.import_module(name)
    offered = getattr(module, "__all__", ()) if hasattr(module, "__path__") else module.__all__  # a folder may offer nothing
    assert len(set(offered)) == len(offered)
    assert [item for item in offered if not hasattr(module, item)] == []
