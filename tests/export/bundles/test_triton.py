"""The model repository, read with the schema that Triton's makers publish."""

import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import onnx
import pytest
from google.protobuf import text_format
from onnx import TensorProto

from nin_onnx.export import Export


@pytest.fixture(scope="session")
def schema() -> Any:
    """`model_config_pb2`, by its path: to import it by its name takes gRPC."""
    package = find_spec("tritonclient")
    assert package is not None
    assert package.origin is not None
    spec = spec_from_file_location("model_config_pb2", Path(package.origin).parent / "grpc" / "model_config_pb2.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["nin-digits", "nin-digits-fp16"])
def model_folder(request: pytest.FixtureRequest, bundled: Path) -> Path:
    folder: Path = bundled / "triton" / request.param
    return folder


@pytest.fixture
def configuration(model_folder: Path, schema: Any) -> Any:
    return text_format.Parse((model_folder / "config.pbtxt").read_text(), schema.ModelConfig())


def test_a_model_has_its_configuration_its_labels_and_one_version(model_folder: Path) -> None:
    files = {str(path.relative_to(model_folder)) for path in model_folder.rglob("*") if path.is_file()}
    assert files == {"config.pbtxt", "labels.txt", "1/model.onnx"}


def test_the_model_is_the_exported_one(bundled: Path, exported: Export) -> None:
    assert (bundled / "triton" / "nin-digits" / "1" / "model.onnx").read_bytes() == exported.model.read_bytes()


def test_the_configuration_names_the_folder_and_batches_what_comes_together(configuration: Any, model_folder: Path) -> None:
    assert (configuration.name, configuration.backend) == (model_folder.name, "onnxruntime")
    assert configuration.max_batch_size == 128
    assert configuration.HasField("dynamic_batching")


def test_names_types_and_shapes_are_those_of_the_graph(configuration: Any, model_folder: Path, schema: Any) -> None:
    types = {TensorProto.UINT8: schema.TYPE_UINT8, TensorProto.FLOAT: schema.TYPE_FP32}
    graph = onnx.load(model_folder / "1" / "model.onnx").graph
    for values, tensors in ((graph.input, configuration.input), (graph.output, configuration.output)):
        expected = []
        for value in values:
            batch, *sides = value.type.tensor_type.shape.dim
            assert batch.dim_param == "batch"  # free, and so none of the configuration's
            expected.append((value.name, types[value.type.tensor_type.elem_type], [side.dim_value for side in sides]))
        assert [(tensor.name, tensor.data_type, list(tensor.dims)) for tensor in tensors] == expected


def test_scores_have_the_card_s_labels(configuration: Any, model_folder: Path, exported: Export) -> None:
    files = {tensor.name: tensor.label_filename for tensor in configuration.output}
    assert files == {"logits": "labels.txt", "probabilities": "labels.txt", "class_maps": ""}
    assert tuple((model_folder / "labels.txt").read_text().splitlines()) == exported.card.labels
