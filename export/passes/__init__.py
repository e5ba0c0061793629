"""The passes that turn torch's graph into the one that ships, in their order."""

from collections.abc import Callable
from dataclasses import dataclass

import onnx

from nin_onnx.export.difference import Modules, located
from nin_onnx.export.passes.average_pool import average_pool
from nin_onnx.export.passes.check_golden import WrongAnswerError, check_golden
from nin_onnx.export.passes.clear_metadata import strip
from nin_onnx.export.passes.eliminate_identity import eliminate_identity
from nin_onnx.export.passes.fp16_initializers import fp16_initializers
from nin_onnx.export.passes.global_average_pool import global_average_pool
from nin_onnx.export.passes.simplify import simplify
from nin_onnx.export.passes.stable_names import stable_names
from nin_onnx.golden import Golden

__all__ = ["PASSES", "Pass", "PassResult", "run"]

Pass = Callable[[onnx.ModelProto, Golden], onnx.ModelProto]
"""Takes a model and the answers it must give, returns a model: a new one where it changes anything."""

PASSES: tuple[Pass, ...] = (
    simplify,
    eliminate_identity,
    average_pool,
    global_average_pool,
    stable_names,
    strip,
    fp16_initializers,
    check_golden,
)


@dataclass(frozen=True)
class PassResult:
    """What one pass did."""

    name: str
    changed: bool
    nodes_before: int
    nodes_after: int


def run(
    model: onnx.ModelProto,
    golden: Golden,
    passes: tuple[Pass, ...] = PASSES,
    modules: Modules | None = None,
) -> tuple[onnx.ModelProto, list[PassResult]]:
    """Send `model` through `passes`; raises `ExportError` where a check fails, which names the pass and the node.

    `modules`: for the case that `model` itself is wrong.
    """
    results = []
    history = [("torch.onnx.export", model)]
    for one in passes:
        before = model
        try:
            model = one(before, golden)
        except WrongAnswerError as error:
            place = located([*history, (one.__name__, error.model)], golden, error.rows, modules)
            raise WrongAnswerError(error.reason, error.model, error.rows, place) from error
        history.append((one.__name__, model))
        changed = model.SerializeToString(deterministic=True) != before.SerializeToString(deterministic=True)
        results.append(PassResult(one.__name__, changed, len(before.graph.node), len(model.graph.node)))
    return model, results
