"""Softmax attention over the modalities' features: the textbook rule."""

from __future__ import annotations

from numbers import Integral

from torch import nn

from skfusion._sklearn import Interval
from skfusion.fusion.base import Fusion, FusionModule, FusionShape, masked_softmax
from skfusion.network import FusionResult

__all__ = ["AttentionFusion"]


class AttentionFusion(Fusion):
    """Weigh the modalities by a learned softmax over their features.

    Offered for comparison: its weights are what most papers call the importance of a
    modality, but nothing teaches them to fall where the modality cannot be trusted.

    Parameters
    ----------
    n_heads : int, default=4
        Attention heads inside each modality; must divide `d_model`.

    Examples
    --------
    >>> from skfusion.fusion import AttentionFusion
    >>> AttentionFusion()
    AttentionFusion()
    """

    _parameter_constraints = {"n_heads": [Interval(Integral, 1, None, closed="left")]}

    def __init__(self, *, n_heads: int = 4) -> None:
        self.n_heads = n_heads

    def build(self, shape: FusionShape) -> FusionModule:
        return _Attention(shape)


class _Attention(FusionModule):
    trains_heads = False

    def __init__(self, shape: FusionShape) -> None:
        super().__init__()
        D = shape.d_model
        self.score = nn.Sequential(nn.Linear(D, D), nn.Tanh(), nn.Linear(D, 1))
        self.head = nn.Linear(D, shape.n_outputs)

    def forward(self, z, evidence, present, tokens=()):
        w = masked_softmax(self.score(z).squeeze(-1), present)  # (B, M)
        # The head is linear, so the output is the weighted sum of its parts.
        parts = w.unsqueeze(-1) * self.head(z)  # (B, M, C)
        return FusionResult(parts.sum(dim=1), w, parts)
