"""Sound: log-mel frames."""

from skfusion.modalities.audio.modality import AudioModality

__all__ = ["AudioModality"]
