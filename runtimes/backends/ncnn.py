"""ncnn on the CPU, from the graph that its converter pnnx makes of the variant with float32 input."""

import os
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_onnx.card import read_card
from nin_onnx.errors import ModelError
from nin_onnx.runtimes.backends.base import Runtime, RuntimeInfo, Unusable, need
from nin_onnx.runtimes.model import GraphInfo, ModelFile
from nin_onnx.variants import float_input, planar

__all__ = ["Ncnn"]

HALVES = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage", "use_int8_inference")


class Ncnn(Runtime):
    """One network, which does one image at a time: ncnn knows no batches."""

    package = "ncnn"

    @classmethod
    def check(cls) -> None:
        need("ncnn", "runtimes")
        need("pnnx", "runtimes")

    @classmethod
    def accepts(cls, model: ModelFile) -> None:
        if (found := model.precision) in ("fp16", "int8"):
            raise Unusable(f"ncnn's converter reads no graph in {found}")

    def load(self, model: GraphInfo, threads: int) -> None:
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # where others compute too, threads that spin take it all
        import ncnn

        self._outputs = model.outputs
        parameters, weights = convert(model, Path.cwd())
        self._network = ncnn.Net()
        self._network.opt.num_threads = threads
        for option in HALVES:
            setattr(self._network.opt, option, False)
        if self._network.load_param(str(parameters)) or self._network.load_model(str(weights)):
            raise RuntimeError("ncnn cannot read the graph that pnnx made")

    def run(self, images: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        import ncnn

        given = planar(images) if images.dtype == np.uint8 else np.ascontiguousarray(images, np.float32)  # [N, C, H, W]
        rows: list[list[NDArray[Any]]] = []
        for image in given:
            borrowed = ncnn.Mat(image)  # no copy: the array must live until `clone`
            with self._network.create_extractor() as extractor:
                extractor.input("in0", borrowed.clone())
                rows.append([np.array(self._extract(extractor, i)) for i in range(len(self._outputs))])
        return {name: np.stack(column) for name, column in zip(self._outputs, zip(*rows, strict=True), strict=True)}

    def _extract(self, extractor: Any, number: int) -> Any:
        status, output = extractor.extract(f"out{number}")
        if status:
            raise RuntimeError(f"ncnn computes no '{self._outputs[number]}'")
        return output

    def facts(self) -> RuntimeInfo:
        import ncnn

        options = self._network.opt
        half = [option for option in HALVES if getattr(options, option)]
        return RuntimeInfo(
            package=self.package,
            version=ncnn.__version__,
            device="gpu" if options.use_vulkan_compute else "cpu",
            precision=None if half else "fp32",  # its options are all that it tells
            threads=options.num_threads,
            pace="does the images of a batch one by one",
        )


def convert(model: GraphInfo, folder: Path) -> tuple[Path, Path]:
    """ncnn's two files for `model`, made in `folder`."""
    import onnx

    graph = onnx.load(model.path)
    (images,) = (value for value in graph.graph.input if value.name == model.input)
    if images.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        try:
            graph = float_input(graph)
        except ModelError as error:
            raise Unusable(f"ncnn takes no uint8, and the graph has no variant with float32 input ({error})") from error
        (images,) = graph.graph.input
    card = read_card(graph)
    sizes = {"height": card.height, "width": card.width} if card else {}  # pnnx crashes where a size is free
    sides = ",".join(str(side.dim_value or sizes.get(side.dim_param, 0)) for side in images.type.tensor_type.shape.dim[1:])
    onnx.save(graph, folder / "pnnx.onnx")
    package = find_spec("pnnx")  # to import it is to import PyTorch
    assert package is not None
    assert package.submodule_search_locations is not None
    (program,) = map(str, Path(package.submodule_search_locations[0]).glob("pnnx*"))
    command = [program, "pnnx.onnx", f"inputshape=[1,{sides}]", "fp16=0"]  # else the weights are halved
    if status := subprocess.run(command, cwd=folder, check=False).returncode:
        raise RuntimeError(f"pnnx cannot convert the model: it ended with status {status}")
    return folder / "pnnx.ncnn.param", folder / "pnnx.ncnn.bin"
