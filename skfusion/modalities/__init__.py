"""Modalities: how each kind of column is cleaned, tokenised and encoded."""

from skfusion.modalities import registry
from skfusion.modalities.audio import AudioModality, PretrainedAudio
from skfusion.modalities.base import Modality
from skfusion.modalities.estimator import EstimatorModality
from skfusion.modalities.image import ImageModality, PretrainedImage
from skfusion.modalities.series import SeriesModality
from skfusion.modalities.tabular import TabularModality
from skfusion.modalities.text import PretrainedText, TextModality
from skfusion.modalities.transformer import ModalityTransformer
from skfusion.modalities.vector import VectorModality
from skfusion.modalities.wrapped import TransformerModality

__all__ = [
    "AudioModality",
    "EstimatorModality",
    "ImageModality",
    "Modality",
    "ModalityTransformer",
    "PretrainedAudio",
    "PretrainedImage",
    "PretrainedText",
    "SeriesModality",
    "TabularModality",
    "TextModality",
    "TransformerModality",
    "VectorModality",
]

# Short names and automatic detection work for whatever is exported here.
registry.register(globals()[name] for name in __all__)
