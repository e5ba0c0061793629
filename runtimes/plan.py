"""What an evaluation will do: decided before anything runs, so that wrong usage costs nothing."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from nin_onnx.golden import Golden, read_golden
from nin_onnx.paper import Published, published
from nin_onnx.runtimes.backends.registry import ON_REQUEST, RUNTIMES, full_name
from nin_onnx.runtimes.model import ModelFile
from nin_onnx.runtimes.options import EvalOptions
from nin_onnx.runtimes.read_model import read_model
from nin_onnx.runtimes.references import stored

__all__ = ["Plan", "make_plan"]


@dataclass(frozen=True, eq=False)
class Plan:
    """The model, the runtimes, and what they are compared with."""

    model: ModelFile
    options: EvalOptions
    runtimes: tuple[str, ...]
    named: frozenset[str]
    """Runtimes that were asked for by name, which may not be skipped."""
    golden: Golden | None
    """The golden vectors next to the model; None if there are none."""
    problem: str | None
    """Why they cannot be trusted; then nothing passes."""
    figure: Published | None
    """The published figure that the error is compared with."""


def make_plan(model: Path | ModelFile, options: EvalOptions) -> Plan:
    """Return what an evaluation of `model` will do; raises `ModelError` and `UnknownNameError`."""
    options = replace(
        options,
        interpreters={full_name(name): path for name, path in options.interpreters.items()},
        criteria=replace(options.criteria, required=tuple(map(full_name, options.criteria.required))),
    )
    named = frozenset((*map(full_name, options.runtimes or ()), *options.criteria.required))
    file = model if isinstance(model, ModelFile) else read_model(model)
    golden = stored(file) if file.foreign else read_golden(file.path.parent)
    if options.dataset is not None:
        file.check(options.dataset)
    problem = None
    if golden is not None and file.card is not None and golden.hash != file.card.golden:
        problem = "the golden vectors beside the model are not those that its card names"
    figure = published(file.card.experiment) if file.card and file.card.experiment else None
    return Plan(file, options, tuple(_runtimes(options, named)), named, golden, problem, figure)


def _runtimes(options: EvalOptions, named: frozenset[str]) -> Iterable[str]:
    """Return the runtimes that will run: those named in their order, or all by default in the registry's."""
    if options.runtimes is not None:
        return dict.fromkeys(map(full_name, (*options.runtimes, *options.criteria.required)))
    return (name for name in RUNTIMES if name in named or name not in ON_REQUEST)
