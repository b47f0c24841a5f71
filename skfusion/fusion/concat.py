"""Concatenation: the rule that users apply by hand today."""

from __future__ import annotations

from numbers import Integral, Real

import torch

from skfusion._sklearn import Interval
from skfusion.fusion.base import (
    ConcatMLP,
    Fusion,
    FusionModule,
    FusionShape,
    uniform_weights,
)
from skfusion.network import FusionResult

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
        self.mlp = ConcatMLP(shape, 2 * shape.d_model, dropout)

    def forward(self, z, evidence, present, tokens=()):
        parts = torch.zeros_like(evidence)
        return FusionResult(
            self.mlp(z, present), uniform_weights(present, z.dtype), parts
        )
