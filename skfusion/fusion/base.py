"""The contract of a fusion rule."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn

from skfusion.network import FusionResult, Tokens

__all__ = ["Fusion", "FusionModule", "FusionShape", "masked_softmax", "uniform_weights"]


class FusionShape(NamedTuple):
    """Sizes that a fusion rule needs in order to build its module."""

    n_modalities: int
    d_model: int
    n_outputs: int
    n_members: int
    n_samples: int
    is_classification: bool
    dropout: float


class Fusion(BaseEstimator, ABC):
    """A fusion rule as a set of parameters; `build` makes the module inside `fit`.

    It is a spec and not a module because skorch trains modules in place: an `nn.Module`
    given as a parameter would start the next `fit` from trained weights, and `clone`
    would copy them into the other folds of a cross-validation.
    """

    n_heads: int
    #: Whether trust in each modality, row by row, is learned from held-out rows. The
    #: modalities are then weighed by it, instead of by what the module says.
    learns_trust: bool = False

    @abstractmethod
    def build(self, shape: FusionShape) -> FusionModule:
        """Make the torch module."""


class FusionModule(nn.Module):
    """Base of the modules that fuse.

    **Shape**: z (B, M, K, D), what the modalities know; u (B, M, K, C), what each says
    alone; present (B, M), True = present; tokens, one `Tokens` a modality where
    `reads_tokens`. All are 0 where a modality is absent.
    """

    #: Whether the heads of the modalities teach the encoders, or only listen.
    trains_heads: bool = True
    #: Whether the rule reads the tokens of the modalities.
    reads_tokens: bool = False
    #: Training steps that the rule itself needs; 0 where it has learned once every
    #: modality has.
    steps: int = 0

    def forward(
        self, z: Tensor, u: Tensor, present: Tensor, tokens: Sequence[Tokens] = ()
    ) -> FusionResult:
        raise NotImplementedError


def uniform_weights(present: Tensor, dtype: torch.dtype) -> Tensor:
    """Equal weights over the present modalities, (B, M); 0 in rows without any."""
    p = present.to(dtype)
    return p / p.sum(dim=1, keepdim=True).clamp_min(1)


def masked_softmax(score: Tensor, present: Tensor) -> Tensor:
    """Softmax over the present modalities, (B, M, K); all 0 in rows without any."""
    mask = present.unsqueeze(-1)
    score = score.masked_fill(~mask, torch.finfo(score.dtype).min)
    return score.softmax(dim=1) * mask
