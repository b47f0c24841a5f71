"""MMPareto: a direction that serves the fused output and the modality itself."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real

import torch
from torch import Tensor, nn

from skfusion._sklearn import Interval
from skfusion.balance.base import Balance, Balancer
from skfusion.network import FusionNetwork

__all__ = ["MMPareto", "pareto_direction"]


class MMPareto(Balance):
    """Integrate the gradients of the fused and of each modality's own loss.

    An encoder learns from what all modalities say together and from what its own says
    alone. Where these two gradients point apart, their sum may serve one at the cost of
    the other; this takes the shortest vector between them instead, which serves both,
    and gives it the length of their sum. Either way, the encoders' gradients are then
    enlarged by `rescale`.

    Under a fusion rule whose heads only follow (``"attention"``, ``"concat"``), the
    heads teach the encoders too. A step takes about 1.5 times as long, since the
    encoders go backward twice. In ``history_``, ``balance_{name}`` is the share of an
    epoch's steps in which the gradients pointed apart.

    Parameters
    ----------
    rescale : float, default=1.5
        Factor on the gradients of the encoders.

    Notes
    -----
    The published code keeps the length of each weight's gradient by itself, which turns
    the direction; here, as in the paper, it is that of a whole encoder. An encoder is
    everything below the modality's head.

    References
    ----------
    Wei, Hu (2024), "MMPareto: boosting multimodal learning with innocent unimodal
    assistance", ICML, algorithm 1.

    Examples
    --------
    >>> from skfusion.balance import MMPareto
    >>> MMPareto(rescale=1.0)
    MMPareto(rescale=1.0)
    """

    short_name = "mmpareto"
    _parameter_constraints = {"rescale": [Interval(Real, 0, None, closed="neither")]}

    def __init__(self, *, rescale: float = 1.5) -> None:
        self.rescale = rescale

    def build(self, names: Sequence[str]) -> Balancer:
        return _Pareto(names, self.rescale)


class _Pareto(Balancer):
    teaches_encoders = True

    def __init__(self, names: Sequence[str], rescale: float) -> None:
        super().__init__(names)
        self.rescale = rescale

    def observe(
        self, network: FusionNetwork, alone: Tensor, share: Tensor, total: Tensor
    ) -> dict[nn.Parameter, Tensor]:
        # A modality's own loss reaches no other's encoder, so one pass serves all.
        loss = (alone * share).sum() / total
        encoders = [network.encoder_parameters(m) for m in range(len(self.names))]
        parameters = [p for encoder in encoders for p in encoder]
        if not parameters:
            return {}
        grads = torch.autograd.grad(
            loss, parameters, retain_graph=True, allow_unused=True
        )
        pairs = zip(parameters, grads, strict=True)
        return {p: grad for p, grad in pairs if grad is not None}

    def adjust(
        self,
        m: int,
        grads: dict[nn.Parameter, Tensor],
        observed: dict[nn.Parameter, Tensor],
    ) -> Tensor:
        both = torch.cat([grad.flatten() for grad in grads.values()])
        own = torch.cat([observed.get(p, torch.zeros_like(p)).flatten() for p in grads])
        direction, conflict = pareto_direction(both - own, own)
        pieces = (self.rescale * direction).split([p.numel() for p in grads])
        for grad, piece in zip(grads.values(), pieces, strict=True):
            grad.copy_(piece.view_as(grad))
        return conflict


def pareto_direction(fused: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """A gradient that serves two losses, at least as long as the sum of theirs.

    **Shape**: fused and own (N,); output the gradient (N,), which has no negative inner
    product with either, and whether the two pointed apart ().
    """
    both = fused + own
    conflict = fused @ own < 0
    # The shortest convex combination; in a conflict it lies strictly between the two.
    gap = own - fused
    a = (own @ gap) / (gap @ gap).clamp_min(torch.finfo(own.dtype).tiny)
    shortest = 2 * (a * fused + (1 - a) * own)
    length = both.norm() / shortest.norm().clamp_min(torch.finfo(own.dtype).tiny)
    return torch.where(conflict, shortest * length.clamp_min(1), both), conflict
