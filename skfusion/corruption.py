"""Noise, swapped rows and dropped modalities: how trust is taught and tested."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any, NamedTuple, Protocol

import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from skfusion._sklearn import Interval

__all__ = ["Corruption", "CorruptionPlan", "Drop", "Noise", "Swap"]


class CorruptionPlan(NamedTuple):
    """What happens to each modality of each row of a batch.

    **Shape**: noise (B, M), standard deviation of the noise, 0 for none; swap (B, M),
    True where the content comes from another row; drop (B, M), True where the modality
    is hidden.
    """

    noise: Tensor
    swap: Tensor
    drop: Tensor


class Plans(Protocol):
    """What `corrupt` takes: a spec that decides, row by row, what happens."""

    def plan(self, present: Tensor, names: Sequence[str] = ()) -> CorruptionPlan:
        """Draw the fate of a batch from torch's random state."""


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

    def plan(self, present: Tensor, names: Sequence[str] = ()) -> CorruptionPlan:
        """Draw the fate of a batch from torch's random state.

        Parameters
        ----------
        present : Tensor (B, M), bool
            True = present; only what is present is disturbed.
        names : sequence of M str
            The modalities' names, which this spec does not need.
        """
        B, M = present.shape
        hit = (torch.rand(B, M) < self.p_corrupt) & present
        swap = hit & (torch.rand(B, M) < 0.5)
        noise = torch.rand(B, M) * self.max_sd * (hit & ~swap)
        drop = (torch.rand(B, M) < self.p_drop) & present
        emptied = (drop == present).all(dim=1, keepdim=True)
        return CorruptionPlan(noise, swap, drop & ~emptied)


class _OnOne(BaseEstimator):
    """Base of what befalls one modality of each row: a named one, or any at random."""

    modality: str | None
    _parameter_constraints: dict[str, list[Any]] = {"modality": [str, None]}

    def _chosen(self, present: Tensor, names: Sequence[str]) -> Tensor:
        """Which modality of each row is meant, (B, M); only present ones are."""
        if self.modality is not None:
            if self.modality not in names:
                raise ValueError(
                    f"The 'modality' parameter of {type(self).__name__} must be None "
                    f"or one of {tuple(names)}. Got {self.modality!r} instead."
                )
            chosen = torch.zeros_like(present)
            chosen[:, list(names).index(self.modality)] = True
            return chosen & present
        score = torch.rand(present.shape).masked_fill(~present, -1.0)
        first = score.argmax(dim=1, keepdim=True)
        return torch.zeros_like(present).scatter_(1, first, True) & present


class Noise(_OnOne):
    """Noise on one modality of each row.

    Parameters
    ----------
    sd : float, default=1.0
        Standard deviation, in standardised units; see `Encoder.add_noise` of each
        modality for what it means there.
    modality : str or None, default=None
        Which modality; None draws a present one for each row.

    Examples
    --------
    >>> from skfusion.corruption import Noise
    >>> Noise(3.0)
    Noise(sd=3.0)
    """

    _parameter_constraints = {
        **_OnOne._parameter_constraints,
        "sd": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, sd: float = 1.0, *, modality: str | None = None) -> None:
        self.sd = sd
        self.modality = modality

    def plan(self, present: Tensor, names: Sequence[str] = ()) -> CorruptionPlan:
        """Draw the fate of a batch from torch's random state."""
        chosen = self._chosen(present, names)
        nothing = torch.zeros_like(present)
        return CorruptionPlan(chosen * float(self.sd), nothing, nothing.clone())


class Swap(_OnOne):
    """Another row's content in one modality of each row.

    Parameters
    ----------
    modality : str or None, default=None
        Which modality; None draws a present one for each row.

    Examples
    --------
    >>> from skfusion.corruption import Swap
    >>> Swap(modality="photo")
    Swap(modality='photo')
    """

    def __init__(self, *, modality: str | None = None) -> None:
        self.modality = modality

    def plan(self, present: Tensor, names: Sequence[str] = ()) -> CorruptionPlan:
        """Draw the fate of a batch from torch's random state."""
        nothing = torch.zeros_like(present)
        return CorruptionPlan(nothing.float(), self._chosen(present, names), nothing)


class Drop(_OnOne):
    """Absence of one modality of each row, also where it is the last.

    Parameters
    ----------
    modality : str or None, default=None
        Which modality; None draws a present one for each row.

    Examples
    --------
    >>> from skfusion.corruption import Drop
    >>> Drop(modality="photo")
    Drop(modality='photo')
    """

    def __init__(self, *, modality: str | None = None) -> None:
        self.modality = modality

    def plan(self, present: Tensor, names: Sequence[str] = ()) -> CorruptionPlan:
        """Draw the fate of a batch from torch's random state."""
        nothing = torch.zeros_like(present)
        return CorruptionPlan(nothing.float(), nothing, self._chosen(present, names))
