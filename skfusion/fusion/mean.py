"""The mean of what the modalities say alone."""

from __future__ import annotations

from numbers import Integral

from skfusion._sklearn import Interval
from skfusion.fusion.base import Fusion, FusionModule, FusionShape, uniform_weights
from skfusion.network import FusionResult

__all__ = ["MeanFusion"]


class MeanFusion(Fusion):
    """Average the logits of the present modalities, all with the same weight.

    Parameters
    ----------
    n_heads : int, default=4
        Attention heads inside each modality; must divide `d_model`.

    Examples
    --------
    >>> from skfusion.fusion import MeanFusion
    >>> MeanFusion(n_heads=2)
    MeanFusion(n_heads=2)
    """

    _parameter_constraints = {"n_heads": [Interval(Integral, 1, None, closed="left")]}

    def __init__(self, *, n_heads: int = 4) -> None:
        self.n_heads = n_heads

    def build(self, shape: FusionShape) -> FusionModule:
        return _Mean()


class _Mean(FusionModule):
    def forward(self, z, evidence, present, tokens=()):
        w = uniform_weights(present, z.dtype)
        parts = w.unsqueeze(-1) * evidence  # (B, M, C)
        return FusionResult(parts.sum(dim=1), w, parts)
