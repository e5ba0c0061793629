"""The passes that turn torch's graph into the one that ships, in their order."""

from collections.abc import Iterator
from dataclasses import dataclass

import onnx

from nin_onnx.export.check_golden import WrongAnswerError, check_golden
from nin_onnx.export.difference import Modules, origin_of_difference
from nin_onnx.export.passes.average_pool import average_pool
from nin_onnx.export.passes.clear_metadata import clear_metadata
from nin_onnx.export.passes.eliminate_identity import eliminate_identity
from nin_onnx.export.passes.fp16_initializers import fp16_initializers
from nin_onnx.export.passes.global_average_pool import global_average_pool
from nin_onnx.export.passes.pass_result import Pass, PassResult
from nin_onnx.export.passes.simplify import simplify
from nin_onnx.export.passes.stable_names import stable_names
from nin_onnx.golden import Golden
from nin_onnx.graph import copied

__all__ = ["PASSES", "Pass", "PassReport", "PassResult", "run_passes"]

PASSES: tuple[Pass, ...] = (
    simplify,
    eliminate_identity,
    average_pool,
    global_average_pool,
    stable_names,
    clear_metadata,
    fp16_initializers,
)


@dataclass(frozen=True)
class PassReport:
    """What one pass did."""

    name: str
    changed: bool
    nodes_before: int
    nodes_after: int


def run_passes(
    model: onnx.ModelProto,
    golden: Golden,
    passes: tuple[Pass, ...] = PASSES,
    modules: Modules | None = None,
) -> tuple[onnx.ModelProto, list[PassReport]]:
    """Send a copy of `model` through `passes` and check the answers of what comes out.

    `modules`: to find out which node is wrong if `model` itself is. Raises `ExportError` if the check fails, with the name of
    the pass and of the node.
    """
    result, reports = copied(model), []
    for one in passes:
        before = len(result.graph.node)
        result, changed = one(result)
        reports.append(PassReport(one.__name__, changed, before, len(result.graph.node)))
    try:
        check_golden(result, golden)
    except WrongAnswerError as error:
        origin = origin_of_difference(_stages(model, passes), golden, error.rows, modules)
        raise WrongAnswerError(error.reason, error.rows, origin) from error
    nodes = len(result.graph.node)
    return result, [*reports, PassReport(check_golden.__name__, False, nodes, nodes)]


def _stages(model: onnx.ModelProto, passes: tuple[Pass, ...]) -> Iterator[tuple[str, onnx.ModelProto]]:
    """Yield `model` and what each of `passes` makes of it, calculated once more, with the names of who made them."""
    yield "torch.onnx.export", model
    for one in passes:
        model = one(copied(model)).model
        yield one.__name__, model
