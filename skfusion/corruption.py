"""Noise, swapped rows and dropped modalities: how trust is taught and tested."""

from __future__ import annotations

from numbers import Real
from typing import NamedTuple

import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from skfusion._sklearn import Interval

__all__ = ["Corruption", "CorruptionPlan"]


class CorruptionPlan(NamedTuple):
    """What happens to each modality of each row of a batch.

    **Shape**: noise (B, M), standard deviation of the noise, 0 for none; swap (B, M),
    True where the content comes from another row; drop (B, M), True where the modality
    is hidden.
    """

    noise: Tensor
    swap: Tensor
    drop: Tensor


class Corruption(BaseEstimator):
    """How often, and how badly, modalities are disturbed while the network trains.

    Each present modality of each row is, independently, disturbed with probability
    `p_corrupt`: in half of these cases by noise of a standard deviation drawn from
    U(0, `max_sd`) in standardised units, in the other half by another row's content. It
    is hidden with probability `p_drop`, but never all modalities of a row.

    Parameters
    ----------
    p_corrupt : float, default=0.15
        Probability of noise or of another row's content.
    p_drop : float, default=0.1
        Probability of absence.
    max_sd : float, default=4.0
        Largest standard deviation of the noise, in standardised units.

    Examples
    --------
    >>> from skfusion.corruption import Corruption
    >>> Corruption(p_drop=0.3)
    Corruption(p_drop=0.3)
    """

    _parameter_constraints = {
        "p_corrupt": [Interval(Real, 0, 1, closed="both")],
        "p_drop": [Interval(Real, 0, 1, closed="left")],
        "max_sd": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self, *, p_corrupt: float = 0.15, p_drop: float = 0.1, max_sd: float = 4.0
    ) -> None:
        self.p_corrupt = p_corrupt
        self.p_drop = p_drop
        self.max_sd = max_sd

    def plan(self, present: Tensor) -> CorruptionPlan:
        """Draw the fate of a batch from torch's random state.

        Parameters
        ----------
        present : Tensor (B, M), bool
            True = present; only what is present is disturbed.
        """
        B, M = present.shape
        hit = (torch.rand(B, M) < self.p_corrupt) & present
        swap = hit & (torch.rand(B, M) < 0.5)
        noise = torch.rand(B, M) * self.max_sd * (hit & ~swap)
        drop = (torch.rand(B, M) < self.p_drop) & present
        emptied = (drop == present).all(dim=1, keepdim=True)
        return CorruptionPlan(noise, swap, drop & ~emptied)
