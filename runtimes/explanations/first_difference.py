"""Finds the first node of a failed runtime whose output differs, with a copy of the graph that has every value as an output."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nin_onnx.runtimes.model import ModelFile
from nin_onnx.runtimes.options import EvalOptions
from nin_onnx.runtimes.parity import largest_difference
from nin_onnx.runtimes.read_model import FLOATS
from nin_onnx.runtimes.rows import Row
from nin_onnx.runtimes.workers.job import Feed
from nin_onnx.runtimes.workers.run import run_runtime

if TYPE_CHECKING:
    import onnx

__all__ = ["locate", "mark_all_outputs"]


def locate(row: Row, right: str, model: ModelFile, golden: Feed, folder: Path, options: EvalOptions) -> Row:
    """Return a failed `row` with the first node whose output differs from the runtime `right`, if both give what is between.

    A runtime may merge nodes, and merges fewer if their outputs are asked for: if it is right then, no node is named.
    """
    if row.outcome != "fail" or row.parity is None or row.runtime == right:
        return row
    import onnx

    folder.mkdir(exist_ok=True)
    graph = mark_all_outputs(model.with_weights())
    path = folder / "model.onnx"
    onnx.save(graph, path)
    values = tuple(output.name for output in graph.graph.output)
    marked = replace(model, path=path, external=(), output_names=values, proto=graph)
    feeds = {"golden": replace(golden, outputs=values)}
    results = [run_runtime(name, marked, feeds, folder / f"{row.runtime}-{name}", options) for name in (row.runtime, right)]
    given, expected = (result.feeds["golden"].arrays if result.outcome == "done" else {} for result in results)
    makers = {value: node for node in graph.graph.node for value in node.output}
    for value in (value for value in makers if value in given and value in expected):
        if given[value].shape != expected[value].shape:
            continue  # a layout of its own
        scale = float(np.abs(expected[value]).max(initial=0)) or 1.0
        difference = largest_difference(given[value], expected[value]) / scale
        if not difference <= row.parity.tolerance:
            node = makers[value]
            name = f"{node.name or value} ({node.op_type})"
            return replace(row, first_difference=name, reason=f"{row.reason}; first at the node {name}, by {difference:.1e}")
    return row


def mark_all_outputs(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """Return a copy of `model` with every floating point value that its nodes compute as an output, in their order."""
    import onnx

    result = onnx.shape_inference.infer_shapes(model)
    graph = result.graph
    outputs = {output.name for output in graph.output}
    known = {info.name: info for info in graph.value_info if info.type.tensor_type.elem_type in FLOATS}
    computing = (node for node in graph.node if node.op_type not in ("Cast", "Constant", "Identity"))
    between = [value for node in computing for value in node.output if value in known and value not in outputs]
    graph.output.extend(known[value] for value in between)
    return result
