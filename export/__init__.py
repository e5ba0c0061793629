"""Export: a checkpoint becomes one self-describing ONNX file, checked against the network it came from."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nin_onnx.export.exporter import Export, export, export_run

__all__ = ["Export", "export", "export_run"]


def __getattr__(name: str) -> Any:
    """Import the exporter when it is first asked for: it brings ONNX, which the list of bundles does without."""
    if name in __all__:
        from nin_onnx.export import exporter

        return getattr(exporter, name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
