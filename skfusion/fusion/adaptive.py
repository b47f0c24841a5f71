"""Adaptive fusion: a supervised confidence gate over what the modalities say."""

from __future__ import annotations

import math
from numbers import Integral, Real

import torch
from torch import Tensor, nn

from skfusion._sklearn import Interval, StrOptions
from skfusion.fusion.base import (
    Fusion,
    FusionModule,
    FusionShape,
    masked_softmax,
    uniform_weights,
)
from skfusion.network import FusionResult, MemberLinear

__all__ = ["AdaptiveFusion"]


class AdaptiveFusion(Fusion):
    """Weigh each modality, in each row, by how far it can be trusted there.

    A confidence ``c_m`` is learned by asking how much probability modality m, alone,
    gave to the truth, on rows of which some were corrupted on purpose. The weights are
    ``softmax_m(log pi_m + e^tau log c_m)`` over the present modalities, and the output
    is ``n^beta sum_m w_m u_m + alpha J``: what the modalities say, plus a small joint
    part J for what only shows when they are seen together. With n modalities present,
    ``n^beta`` is how much agreeing evidence adds up.

    Parameters
    ----------
    n_heads : int, default=4
        Attention heads inside each modality; must divide `d_model`.
    dropout : float, default=0.25
        Dropout probability inside the joint part.
    joint : bool or "auto", default="auto"
        Whether the joint part exists. Without it the output is attributed to the
        modalities in full, and a label that depends on two modalities at once (their
        XOR, say) cannot be learned. "auto" has it from 500 training rows; below, it
        learns rows by heart.
    shrinkage : float, default=200
        Rows at which the weights stand halfway between uniform and learned: they are
        mixed with uniform ones in the proportion shrinkage / (shrinkage + n_samples).

    Examples
    --------
    >>> from skfusion.fusion import AdaptiveFusion
    >>> AdaptiveFusion(n_heads=2)
    AdaptiveFusion(n_heads=2)
    """

    _parameter_constraints = {
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "joint": ["boolean", StrOptions({"auto"})],
        "shrinkage": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        *,
        n_heads: int = 4,
        dropout: float = 0.25,
        joint: bool | str = "auto",
        shrinkage: float = 200.0,
    ) -> None:
        self.n_heads = n_heads
        self.dropout = dropout
        self.joint = joint
        self.shrinkage = shrinkage

    def build(self, shape: FusionShape) -> FusionModule:
        joint = shape.n_samples >= 500 if self.joint == "auto" else bool(self.joint)
        return _Adaptive(
            shape,
            dropout=self.dropout,
            joint=joint and shape.n_modalities > 1,
            gamma=self.shrinkage / (self.shrinkage + shape.n_samples),
        )


class _Adaptive(FusionModule):
    def __init__(
        self, shape: FusionShape, *, dropout: float, joint: bool, gamma: float
    ) -> None:
        super().__init__()
        M, D, C = shape.n_modalities, shape.d_model, shape.n_outputs
        self.gamma = gamma
        self.is_classification = shape.is_classification
        n_signs = 5 if shape.is_classification else C + 2
        self.gates = nn.ModuleList(
            nn.Sequential(nn.Linear(D + n_signs, 32), nn.GELU(), nn.Linear(32, 1))
            for _ in range(M)
        )
        self.log_pi = nn.Parameter(torch.zeros(M))
        self.tau = nn.Parameter(torch.zeros(()))
        # Sharpness of each modality's word: fitted on held-out rows, not in training.
        self.sharpness = nn.Parameter(torch.zeros(M), requires_grad=False)
        self.beta = nn.Parameter(torch.zeros(()))  # through a sigmoid: 1/2 at first
        self.joint: nn.Sequential | None = None
        if joint:
            self.joint = nn.Sequential(
                nn.Linear(M * D, 2 * D), nn.GELU(), nn.Dropout(dropout)
            )
            self.joint_head = MemberLinear(2 * D, C, n_members=shape.n_members)
            self.alpha = nn.Parameter(torch.tensor(0.1))

    def forward(self, z, u, present):
        B, M, K, D = z.shape
        signs = self.signs(u.detach(), present)
        g = torch.cat([z.detach(), signs], dim=-1)  # (B, M, K, D + signs)
        confidence = torch.stack(
            [gate(g[:, m]).squeeze(-1) for m, gate in enumerate(self.gates)], dim=1
        )  # (B, M, K)
        # Detached: the gate learns to be truthful, never to please the fused loss.
        log_c = nn.functional.logsigmoid(confidence.detach())
        w = masked_softmax(self.log_pi[:, None] + self.tau.exp() * log_c, present)
        even = uniform_weights(present, z.dtype)
        w = (1 - self.gamma) * w + self.gamma * even.unsqueeze(-1)
        sharp = self.sharpness.exp()[:, None, None]
        said = (w.unsqueeze(-1) * sharp * u).sum(dim=1)  # (B, K, C)
        if self.is_classification:
            n = present.sum(dim=1).clamp_min(1).to(z.dtype)
            said = said * n.pow(torch.sigmoid(self.beta)).view(B, 1, 1)
        if self.joint is None:
            return FusionResult(said, w.mean(dim=2), confidence, z.new_zeros(B))
        x = (w.unsqueeze(-1) * z * M).transpose(1, 2).reshape(B, K, M * D)
        extra = self.alpha * self.joint_head(self.joint(x))
        share = _size(extra) / (_size(extra) + _size(said)).clamp_min(1e-12)
        return FusionResult(said + extra, w.mean(dim=2), confidence, share)

    def calibration_parameters(self):
        fitted = [self.log_pi, self.tau, self.sharpness.requires_grad_()]
        return fitted if self.joint is None else [*fitted, self.alpha]

    def signs(self, u: Tensor, present: Tensor) -> Tensor:
        """What a bystander sees of how sure each modality is, (B, M, K, signs)."""
        n_others = (present.sum(dim=1, keepdim=True) - present.long()).clamp_min(1)
        n_others = n_others.to(u.dtype)[:, :, None, None]
        if not self.is_classification:
            others = (u.sum(dim=1, keepdim=True) - u) / n_others
            distance = (u - others).square().mean(dim=-1, keepdim=True).sqrt()
            spread = u.std(dim=2, unbiased=False).mean(dim=-1)[:, :, None, None]
            return torch.cat([u, distance, spread.expand_as(distance)], dim=-1)
        p = u.softmax(dim=-1) * present[:, :, None, None]
        top = p.topk(2, dim=-1).values
        entropy = -(p * p.clamp_min(1e-12).log()).sum(dim=-1) / math.log(p.shape[-1])
        others = (p.sum(dim=1, keepdim=True) - p) / n_others
        agreement = (p * others).sum(dim=-1)
        middle = p.mean(dim=2, keepdim=True)
        disagreement = (p - middle).abs().sum(dim=-1)
        return torch.stack(
            [top[..., 0], top[..., 0] - top[..., 1], entropy, agreement, disagreement],
            dim=-1,
        )


def _size(logits: Tensor) -> Tensor:
    """Mean absolute size of centred logits, (B,), with no gradient."""
    x = logits.detach()
    if x.shape[-1] > 1:
        x = x - x.mean(dim=-1, keepdim=True)
    return x.abs().mean(dim=(1, 2))
