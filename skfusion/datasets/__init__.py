"""Data sets that come with the package, and one that is made to order."""

from .clothing_reviews import load_clothing_reviews
from .handwritten_views import load_handwritten_views
from .multimodal_classification import make_multimodal_classification
from .spoken_digits import load_spoken_digits

__all__ = [
    "load_clothing_reviews",
    "load_handwritten_views",
    "load_spoken_digits",
    "make_multimodal_classification",
]
