"""Rules that fuse what the modalities know and say."""

from skfusion.fusion.adaptive import AdaptiveFusion
from skfusion.fusion.attention import AttentionFusion
from skfusion.fusion.base import Fusion
from skfusion.fusion.bottleneck import BottleneckFusion
from skfusion.fusion.concat import ConcatFusion
from skfusion.fusion.mean import MeanFusion

__all__ = [
    "AdaptiveFusion",
    "AttentionFusion",
    "BottleneckFusion",
    "ConcatFusion",
    "Fusion",
    "MeanFusion",
]
