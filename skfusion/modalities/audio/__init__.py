"""Sound: reading, log-mel frames, intervals, pretrained encoders."""

from skfusion.modalities.audio.modality import AudioModality
from skfusion.modalities.audio.pretrained import PretrainedAudio

__all__ = ["AudioModality", "PretrainedAudio"]
