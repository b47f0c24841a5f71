"""Concatenation: the rule that users apply by hand today."""

from __future__ import annotations

from numbers import Integral, Real

import torch
from torch import nn

from skfusion._sklearn import Interval
from skfusion.fusion.base import Fusion, FusionModule, FusionShape, uniform_weights
from skfusion.network import Dropout, FusionResult

__all__ = ["ConcatFusion"]


class ConcatFusion(Fusion):
    """A multi-layer perceptron on the concatenated modalities.

    It has no weights of its own: every present modality is reported with the same
    weight, and the whole output counts as joint.

    Parameters
    ----------
    n_heads : int, default=4
        Attention heads inside each modality; must divide `d_model`.
    dropout : float, default=0.25
        Dropout probability inside the perceptron.

    Examples
    --------
    >>> from skfusion.fusion import ConcatFusion
    >>> ConcatFusion(dropout=0.1)
    ConcatFusion(dropout=0.1)
    """

    _parameter_constraints = {
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(self, *, n_heads: int = 4, dropout: float = 0.25) -> None:
        self.n_heads = n_heads
        self.dropout = dropout

    def build(self, shape: FusionShape) -> FusionModule:
        return _Concat(shape, self.dropout)


class _Concat(FusionModule):
    trains_heads = False

    def __init__(self, shape: FusionShape, dropout: float) -> None:
        super().__init__()
        M, D = shape.n_modalities, shape.d_model
        self.mlp = nn.Sequential(
            nn.Linear(M * D + M, 2 * D),
            nn.GELU(),
            Dropout(dropout),
            nn.Linear(2 * D, shape.n_outputs),
        )

    def forward(self, z, evidence, present, tokens=()):
        x = torch.cat([z.flatten(1), present.to(z.dtype)], dim=-1)
        parts = torch.zeros_like(evidence)
        return FusionResult(self.mlp(x), uniform_weights(present, z.dtype), parts)
