"""Tables: numbers, booleans, dates and categories."""

from skfusion.modalities.tabular.modality import TabularModality

__all__ = ["TabularModality"]
