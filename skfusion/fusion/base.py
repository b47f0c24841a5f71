"""The contract of a fusion rule."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn

from skfusion.network import Dropout, FusionResult, Tokens

__all__ = [
    "ConcatMLP",
    "Fusion",
    "FusionModule",
    "FusionShape",
    "masked_softmax",
    "uniform_weights",
]


class FusionShape(NamedTuple):
    """Sizes that a fusion rule needs in order to build its module."""

    n_modalities: int
    d_model: int
    n_outputs: int
    n_samples: int


class Fusion(BaseEstimator, ABC):
    """A fusion rule as a set of parameters; `build` makes the module inside `fit`.

    It is a spec and not a module because skorch trains modules in place: an `nn.Module`
    given as a parameter would start the next `fit` from trained weights, and `clone`
    would copy them into the other folds of a cross-validation.
    """

    n_heads: int
    #: Whether trust in each source, row by row, is learned from held-out rows, and base
    #: models join. Without it the module's own logits are the output.
    learns_trust: bool = False
    #: Training steps that the rule itself needs; 0 where it has learned once every
    #: modality has.
    min_steps: int = 0

    @abstractmethod
    def build(self, shape: FusionShape) -> FusionModule:
        """Make the torch module."""


class FusionModule(nn.Module):
    """Base of the modules that fuse.

    **Shape**: z (B, M, D), what the modalities know, normalised; evidence (B, M, C),
    what each says alone, beyond the prior; present (B, M), True = present; tokens, one
    `Tokens` a modality. All are 0 where a modality is absent. The logits of the result
    are without the prior.
    """

    #: Whether the heads of the modalities teach the encoders, or only follow them.
    trains_heads: bool = True
    #: Whether the module reads the tokens, in training too.
    reads_tokens: bool = False

    def forward(
        self,
        z: Tensor,
        evidence: Tensor,
        present: Tensor,
        tokens: Sequence[Tokens] = (),
    ) -> FusionResult:
        raise NotImplementedError


class ConcatMLP(nn.Module):
    """A perceptron on what all modalities know, and on which of them are there.

    **Shape**: z (B, M, D), present (B, M); output (B, C).
    """

    def __init__(self, shape: FusionShape, hidden: int, dropout: float) -> None:
        super().__init__()
        M, D = shape.n_modalities, shape.d_model
        self.layers = nn.Sequential(
            nn.Linear(M * D + M, hidden),
            nn.GELU(),
            Dropout(dropout),
            nn.Linear(hidden, shape.n_outputs),
        )

    def forward(self, z: Tensor, present: Tensor) -> Tensor:
        return self.layers(torch.cat([z.flatten(1), present.to(z.dtype)], dim=-1))


def uniform_weights(present: Tensor, dtype: torch.dtype) -> Tensor:
    """Equal weights over the present modalities, (B, M); 0 in rows without any."""
    p = present.to(dtype)
    return p / p.sum(dim=1, keepdim=True).clamp_min(1)


def masked_softmax(score: Tensor, present: Tensor) -> Tensor:
    """Softmax over the present modalities, (B, M); all 0 in rows without any."""
    score = score.masked_fill(~present, torch.finfo(score.dtype).min)
    return score.softmax(dim=1) * present
