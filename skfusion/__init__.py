"""scikit-learn estimators that fuse modalities by adaptive attention."""

from skfusion.classifier import FusionClassifier
from skfusion.modalities.description import describe
from skfusion.modalities.frames import frame_from
from skfusion.modalities.transformer import ModalityTransformer
from skfusion.persistence import export_onnx, load, onnx_inputs, save
from skfusion.regressor import FusionRegressor

__version__ = "0.1.0"

__all__ = [
    "FusionClassifier",
    "FusionRegressor",
    "ModalityTransformer",
    "__version__",
    "describe",
    "export_onnx",
    "frame_from",
    "load",
    "onnx_inputs",
    "save",
]
