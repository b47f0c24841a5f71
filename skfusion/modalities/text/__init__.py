"""Text: words, n-grams, and hashed character n-grams of rare words."""

from skfusion.modalities.text.modality import TextModality

__all__ = ["TextModality"]
