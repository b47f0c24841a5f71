"""Text: words, n-grams, and hashed character n-grams of rare words."""

from skfusion.modalities.text.modality import TextModality
from skfusion.modalities.text.pretrained import PretrainedText

__all__ = ["PretrainedText", "TextModality"]
