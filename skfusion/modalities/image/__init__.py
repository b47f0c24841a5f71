"""Images: pixels in patches."""

from skfusion.modalities.image.modality import ImageModality

__all__ = ["ImageModality"]
