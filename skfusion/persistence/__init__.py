"""Fitted models as files, without pickle."""

from skfusion.persistence.archive import load, save
from skfusion.persistence.export import export_onnx
from skfusion.persistence.inputs import onnx_inputs

__all__ = ["export_onnx", "load", "onnx_inputs", "save"]
