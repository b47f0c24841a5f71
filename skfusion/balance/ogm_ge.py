"""OGM-GE: the modality that is ahead learns more slowly, and all learn with noise."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from skfusion._sklearn import Interval
from skfusion.balance.base import Balance, Balancer
from skfusion.network import FusionNetwork

__all__ = ["OGMGE", "modulation"]


class OGMGE(Balance):
    r"""Slow down the encoder of the modality that is ahead.

    In each step the score :math:`s_m` of a modality is the mean probability that it
    gives, alone, to the truth, and :math:`\rho_m` its ratio to the mean score of the
    others. Where :math:`\rho_m > 1`, the gradient of its encoder is multiplied by
    :math:`1 - \tanh(\alpha \rho_m)`. Gaussian noise as large as the spread of each
    weight's gradient is added to all encoders, to make up for the noise that smaller
    steps lack.

    In ``history_``, ``balance_{name}`` is the mean factor of an epoch.

    Parameters
    ----------
    alpha : float, default=0.5
        How strongly the leader is slowed down.
    noise : bool, default=True
        Whether noise is added (GE, generalisation enhancement).

    Notes
    -----
    The paper has two modalities, all of them in every row; with two, :math:`\rho_m` is
    the paper's. Rows in which a modality is absent do not count in its score. In a
    regression, the probability is :math:`\exp(-e^2)` of the standardised error *e*.
    As in the published code, noise falls on matrices and convolutions, not on biases
    and norms. AdamW divides gradients by their usual size, so that only changes of the
    factor, and its part in the clipped norm, tell.

    References
    ----------
    Peng, Wei, Deng, Wang, Hu (2022), "Balanced multimodal learning via on-the-fly
    gradient modulation", CVPR, equations 8 to 13.

    Examples
    --------
    >>> from skfusion.balance import OGMGE
    >>> OGMGE(alpha=0.8, noise=False)
    OGMGE(alpha=0.8, noise=False)
    """

    short_name = "ogm_ge"
    _parameter_constraints = {
        "alpha": [Interval(Real, 0, None, closed="left")],
        "noise": ["boolean"],
    }

    def __init__(self, *, alpha: float = 0.5, noise: bool = True) -> None:
        self.alpha = alpha
        self.noise = noise

    def build(self, names: Sequence[str]) -> Balancer:
        return _Modulation(names, self.alpha, self.noise)


class _Modulation(Balancer):
    def __init__(self, names: Sequence[str], alpha: float, noise: bool) -> None:
        super().__init__(names)
        self.alpha, self.noise = alpha, noise

    def observe(
        self, network: FusionNetwork, alone: Tensor, share: Tensor, total: Tensor
    ) -> Tensor:
        return modulation(alone.detach(), share, self.alpha)

    def adjust(
        self, m: int, grads: dict[nn.Parameter, Tensor], observed: Tensor
    ) -> Tensor:
        for grad in grads.values():
            noisy = self.noise and grad.dim() > 1 and grad.numel() > 1
            noise: Any = 0.0
            if noisy:
                drawn = torch.randn(grad.shape, generator=self.generator_)
                noise = drawn.to(grad) * grad.std()
            grad.mul_(observed[m]).add_(noise)
        return observed[m]


def modulation(alone: Tensor, share: Tensor, alpha: float) -> Tensor:
    """Factor on the gradient of each modality's encoder.

    **Shape**: alone (B, M), the loss of what each modality says alone; share (B, M),
    what it counts, 0 = not at all; output (M,), 1 where no modality is behind.
    """
    observed = share.sum(dim=0)  # (M,)
    score = ((-alone).exp() * share).sum(dim=0) / observed.clamp_min(1e-12)
    n_others = (observed > 0).sum() - 1
    others = (score.sum() - score) / n_others.clamp_min(1)
    ratio = score / others.clamp_min(1e-12)
    leads = (ratio > 1) & (observed > 0) & (n_others > 0)
    return torch.where(leads, 1 - torch.tanh(alpha * ratio), 1.0)
