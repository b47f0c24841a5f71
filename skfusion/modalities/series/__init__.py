"""Time series: channels of numbers over time."""

from skfusion.modalities.series.modality import SeriesModality

__all__ = ["SeriesModality"]
