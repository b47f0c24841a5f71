"""Adaptive fusion: each modality is a witness, weighed by how far it is trusted."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real

import torch
from torch import Tensor, nn

from skfusion._sklearn import Interval, StrOptions
from skfusion.fusion.base import Fusion, FusionModule, FusionShape, uniform_weights
from skfusion.network import FusionResult, MemberLinear, Tokens

__all__ = ["Adaptive", "AdaptiveFusion"]


class AdaptiveFusion(Fusion):
    """Weigh each modality, in each row, by how far it can be trusted there.

    Each modality is a witness, and so is a joint part J that sees them all at once and
    may know what only shows when they are seen together. They learn side by side, each
    with a loss of its own. Afterwards, on rows that the network has not learned from,
    some of them disturbed on purpose, a confidence ``c_m`` is learned for each witness:
    how much probability will it give to the truth in this row? The weights are
    ``softmax_m(e^tau log c_m)`` over the witnesses that are present, and the
    output is their weighted sum, scaled by how much evidence there is.

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

    Examples
    --------
    >>> from skfusion.fusion import AdaptiveFusion
    >>> AdaptiveFusion(n_heads=2)
    AdaptiveFusion(n_heads=2)
    """

    learns_trust = True
    _parameter_constraints = {
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "joint": ["boolean", StrOptions({"auto"})],
    }

    def __init__(
        self,
        *,
        n_heads: int = 4,
        dropout: float = 0.25,
        joint: bool | str = "auto",
    ) -> None:
        self.n_heads = n_heads
        self.dropout = dropout
        self.joint = joint

    def build(self, shape: FusionShape) -> FusionModule:
        if self._has_joint_part(shape):
            return Adaptive(_JointPart(shape, self.dropout))
        return Adaptive(None)

    def _has_joint_part(self, shape: FusionShape) -> bool:
        joint = shape.n_samples >= 500 if self.joint == "auto" else bool(self.joint)
        return joint and shape.n_modalities > 1


class Adaptive(FusionModule):
    """The mean of the witnesses, as the network learns; trust comes afterwards."""

    def __init__(self, joint: nn.Module | None) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.zeros(()))  # through a sigmoid: 1/2 at first
        self.joint = joint
        self.reads_tokens = getattr(joint, "reads_tokens", False)
        self.steps = getattr(joint, "steps", 0)

    def forward(
        self, z: Tensor, u: Tensor, present: Tensor, tokens: Sequence[Tokens] = ()
    ) -> FusionResult:
        w = uniform_weights(present, z.dtype)
        n = present.sum(dim=1).to(z.dtype)
        joint = None if self.joint is None else self.joint(z, present, tokens)
        if joint is not None:
            n = n + 1
        # With n witnesses, n^beta is how much agreeing evidence adds up.
        scale = n.clamp_min(1).pow(torch.sigmoid(self.beta) - 1)[:, None, None]
        parts = scale.unsqueeze(-1) * u * present[:, :, None, None]  # (B, M, K, C)
        logits = parts.sum(dim=1)
        if joint is not None:
            logits = logits + scale * joint
        return FusionResult(logits, w, parts.mean(dim=2), joint)


class _JointPart(nn.Module):
    """A perceptron on what all modalities know, and on which of them are there.

    **Shape**: z (B, M, K, D), present (B, M); output (B, K, C).
    """

    def __init__(self, shape: FusionShape, dropout: float) -> None:
        super().__init__()
        M, D = shape.n_modalities, shape.d_model
        self.layers = nn.Sequential(
            nn.Linear(M * D + M, 2 * D), nn.GELU(), nn.Dropout(dropout)
        )
        self.head = MemberLinear(2 * D, shape.n_outputs, n_members=shape.n_members)

    def forward(
        self, z: Tensor, present: Tensor, tokens: Sequence[Tokens] = ()
    ) -> Tensor:
        B, M, K, D = z.shape
        x = z.transpose(1, 2).reshape(B, K, M * D)
        there = present.to(z.dtype).unsqueeze(1).expand(B, K, M)
        return self.head(self.layers(torch.cat([x, there], dim=-1)))
