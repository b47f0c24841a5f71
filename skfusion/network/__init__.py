"""Encoders, additive attention inside each modality, heads, fusion. torch only.

Axis letters, the same in every module of the package: B rows, M modalities, T tokens,
D width of a token (`d_model`), H attention heads, C outputs (classes, or targets of a
regression). In masks, True means present.
"""

from skfusion.network.encoder import Encoder
from skfusion.network.layers import (
    AdditiveAttention,
    Dropout,
    ResidualMLP,
    exporting,
    set_generator,
)
from skfusion.network.model import FusionNetwork, FusionResult, NetworkOutput, Tokens

__all__ = [
    "AdditiveAttention",
    "Dropout",
    "Encoder",
    "FusionNetwork",
    "FusionResult",
    "NetworkOutput",
    "ResidualMLP",
    "Tokens",
    "exporting",
    "set_generator",
]
