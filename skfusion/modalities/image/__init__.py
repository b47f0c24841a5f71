"""Pictures: reading, features, patches, pretrained encoders."""

from skfusion.modalities.image.modality import ImageModality
from skfusion.modalities.image.pretrained import PretrainedImage

__all__ = ["ImageModality", "PretrainedImage"]
