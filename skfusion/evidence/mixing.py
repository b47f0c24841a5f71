"""The mixing step: what the network and the base models count in each source."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from skfusion.evidence.optimise import held_out_loss, minimise
from skfusion.training.links import Link

__all__ = ["Mix", "fit_mix"]

#: Standard deviation of the prior around even shares: it holds where rows are few.
SHARE_SD = 0.3


class Mix(NamedTuple):
    """Evidence of a source = sum over its models of their share times their evidence.

    **Shape**: share (S, K), at least 0, 0 where a model never speaks.
    """

    share: NDArray[np.float64]

    def shares_of(self, speaks: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Shares in each row, (n, S, K): of models that say nothing, others count."""
        share = speaks * self.share
        total = share.sum(axis=-1, keepdims=True)
        scale = self.share.sum(axis=-1, keepdims=True) / np.maximum(total, 1e-12)
        return share * scale

    def __call__(self, evidence: NDArray[np.float64]) -> NDArray[np.float64]:
        """Evidence (n, S, K, C), NaN where nothing is said -> (n, S, C)."""
        share = self.shares_of(~np.isnan(evidence[..., 0]))
        return np.einsum("nskc,nsk->nsc", np.nan_to_num(evidence), share)


def fit_mix(
    evidence: NDArray[np.float64],
    y: NDArray[np.float64] | NDArray[np.int64],
    weight: NDArray[np.float64],
    log_prior: NDArray[np.float64],
    *,
    link: Link,
    former: Mix | None = None,
) -> Mix:
    """Fit the shares of each source by its own loss on clean held-out rows.

    The centre of the prior is even shares, or those of a former mixing step.
    """
    speaks = ~np.isnan(evidence[..., 0])  # (n, S, K)
    able = speaks.any(axis=0)
    n_able = able.sum(axis=1, keepdims=True)
    even = able / np.maximum(n_able, 1)
    if former is not None:
        known = (former.share * able).sum(axis=1, keepdims=True) > 0
        even = np.where(known, former.share * able, even)
    start = Mix(even)(evidence)
    loss = held_out_loss(y, log_prior, start, weight, link)
    E = torch.from_numpy(np.nan_to_num(evidence))
    there = torch.from_numpy(speaks.astype(np.float64))
    can, mean = torch.from_numpy(able), torch.from_numpy(even)
    w = torch.from_numpy(weight)[:, None] * there.any(dim=-1)

    def objective(raw: torch.Tensor) -> torch.Tensor:
        share = there * (raw * can)
        scale = (raw * can).sum(dim=-1) / share.sum(dim=-1).clamp_min(1e-9)
        mixed = torch.einsum("nskc,nsk->nsc", E, share * scale[..., None])
        away = ((raw - mean) * can).square().sum() / SHARE_SD**2
        return ((loss(mixed) * w).sum() + 0.5 * away) / weight.sum()

    (share,) = minimise(objective, even, positive=True)
    return Mix(share * able)
