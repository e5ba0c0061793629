"""Export: a checkpoint becomes one self-describing ONNX file, checked against the network it came from."""

from nin_onnx.export.exporter import Export, export, export_run

__all__ = ["Export", "export", "export_run"]
