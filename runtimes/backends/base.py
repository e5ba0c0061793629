"""What every runtime is: one small class that says whether it can run, loads a model, runs it, and tells what ran."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from typing import Any, ClassVar

from numpy.typing import NDArray

from nin_onnx.runtimes.model import GraphInfo, ModelFile

__all__ = ["Runtime", "RuntimeInfo", "Unusable", "need"]


class Unusable(Exception):
    """A runtime cannot run here, or not this model: it is skipped, for a reason and with the command that would help."""

    def __init__(self, reason: str, install: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.install = install


def need(package: str, extra: str, module: str | None = None) -> None:
    """Raise `Unusable` where `package`, whose module has the same name unless told, is not installed; imports nothing."""
    if find_spec(module or package) is None:
        raise Unusable(f"the package '{package}' is not installed", f"pip install 'nin-onnx[{extra}]'")


@dataclass(frozen=True)
class RuntimeInfo:
    """What ran, read back from the runtime; None where it does not tell."""

    package: str | None = None
    version: str | None = None
    device: str | None = None
    precision: str | None = None
    """What its arithmetic was done in: a key of `nin_onnx.precision.PRECISIONS`."""
    threads: int | None = None
    providers: tuple[str, ...] | None = None
    assignment: Mapping[str, Mapping[str, int]] | None = None
    """For each provider the operators that it was given, and how many of each."""
    instructions: tuple[str, ...] | None = None
    """Instruction sets that its process could use, as `nin_onnx.machine.instructions` names them; None off the CPU."""
    host: str | None = None
    """The program that it runs in, where that is not Python, and its version."""
    fast_convolution: bool = False
    """Whether convolutions may trade digits for speed, as Winograd's algorithm does; declared by the runtime's file."""
    pace: str | None = None
    """What else its times hold, or how it treats a batch, in a few words; declared by the runtime's file."""


class Runtime(ABC):
    """Something that executes a model.

    The two class methods are asked in the user's process, so they import nothing heavy; the rest happens in a worker
    process of its own, whose current folder it may write to and which is removed with it. The images that come fit the
    model: `ModelFile` has checked them for all runtimes.
    """

    package: ClassVar[str]
    """What brings it, by the name under which it is installed."""
    module: ClassVar[str | None] = None
    """What Python imports it as, where that is not the name of the package."""
    images: ClassVar[int | None] = None
    """How many images of a data set it does unless told otherwise; None for all."""

    @classmethod
    @abstractmethod
    def check(cls) -> None:
        """Raise `Unusable` where it cannot run on this machine."""

    @classmethod
    def distribution(cls) -> str | None:
        """The installed package that brings it: `package`, or another with the same module; None where there is none."""
        try:
            metadata.version(cls.package)
        except metadata.PackageNotFoundError:
            return next(iter(metadata.packages_distributions().get(cls.module or cls.package, ())), None)
        return cls.package

    @classmethod
    def installed(cls) -> str | None:
        """The version of what brings it on this machine, None where that is absent."""
        found = cls.distribution()
        return found and metadata.version(found)

    @classmethod  # noqa: B027 - most accept every model
    def accepts(cls, model: ModelFile) -> None:
        """Raise `Unusable` where it cannot run `model`."""

    @abstractmethod
    def load(self, model: GraphInfo, threads: int) -> None:
        """Make ready to run; raise `Unusable` where what would run is not what this runtime stands for."""

    @abstractmethod
    def run(self, images: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        """The outputs by name, for images uint8 [N, height, width, channels], or for what else a foreign model takes."""

    @abstractmethod
    def facts(self) -> RuntimeInfo:
        """What ran, asked after the last image."""
