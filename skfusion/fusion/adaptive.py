"""Adaptive fusion: the output is a sum of what each modality says, weighed by trust."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real

from torch import Tensor, nn

from skfusion._defaults import has_joint_part
from skfusion._sklearn import Interval, StrOptions
from skfusion.fusion.base import ConcatMLP, Fusion, FusionModule, FusionShape
from skfusion.network import FusionResult, Tokens

__all__ = ["AdaptiveFusion", "SumOfEvidence"]


class AdaptiveFusion(Fusion):
    """Add up what the modalities say, each as far as it can be trusted in this row.

    With class shares ``pi`` and for each source s (the modalities, and a joint part
    that sees them all at once and may know what only shows when they are seen
    together)::

        logits(x) = log pi + sum_s a_s(x) e_s(x)

    where the *evidence* ``e_s`` is the log of the probabilities that s gives alone
    minus ``log pi``, centred over the classes: whoever knows nothing but the class
    shares adds exactly nothing. In a regression it is the standardised prediction of s.
    The *trust* ``a_s >= 0`` is learned after training, on rows that nothing has learned
    from, some of them corrupted on purpose: how confident the source is, how far it
    agrees with the others, and how unlike the training rows its content is, tell how
    far it can be believed. The weight of a modality is its share of ``|a_m e_m|``. This
    is a logarithmic opinion pool, of evidence instead of opinions.

    While the network is trained every source has a loss of its own, and the trust of
    each present source is the same: 1 over the square root of their number.

    Parameters
    ----------
    n_heads : int, default=4
        Attention heads inside each modality; must divide `d_model`.
    dropout : float, default=0.25
        Dropout probability inside the joint part.
    joint : bool or "auto", default="auto"
        Whether there is a joint part. Without it the output is attributed to the
        modalities in full, and a label that depends on two modalities at once (their
        XOR, say) cannot be learned. "auto" gives the network one from 500 training rows
        (below, it overfits), and lets base models learn from all modalities together.

    References
    ----------
    Heskes (1998), "Selecting weighting factors in logarithmic opinion pools".

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
            return SumOfEvidence(_JointPart(shape, self.dropout))
        return SumOfEvidence(None)

    def _has_joint_part(self, shape: FusionShape) -> bool:
        if self.joint == "auto":
            return has_joint_part(shape.n_samples, shape.n_modalities)
        return bool(self.joint) and shape.n_modalities > 1


class SumOfEvidence(FusionModule):
    """The sum of the evidence, all sources trusted alike, as the network learns."""

    def __init__(self, joint: nn.Module | None) -> None:
        super().__init__()
        self.joint = joint
        self.reads_tokens = getattr(joint, "reads_tokens", False)

    def forward(
        self,
        z: Tensor,
        evidence: Tensor,
        present: Tensor,
        tokens: Sequence[Tokens] = (),
    ) -> FusionResult:
        joint = None if self.joint is None else self.joint(z, present, tokens)
        n = present.sum(dim=1).to(z.dtype) + (joint is not None)
        trust = n.clamp_min(1).rsqrt()[:, None, None]
        parts = trust * evidence  # (B, M, C)
        total = parts.sum(dim=1)
        if joint is not None:
            total = total + trust[:, 0] * joint
        size = parts.abs().mean(dim=-1)
        weights = size / size.sum(dim=1, keepdim=True).clamp_min(1e-12)
        return FusionResult(total, weights, parts, joint)


class _JointPart(nn.Module):
    """A perceptron on what all modalities know; it reads no tokens.

    **Shape**: z (B, M, D), present (B, M); output (B, C).
    """

    def __init__(self, shape: FusionShape, dropout: float) -> None:
        super().__init__()
        self.mlp = ConcatMLP(shape, 4 * shape.d_model, dropout)

    def forward(
        self, z: Tensor, present: Tensor, tokens: Sequence[Tokens] = ()
    ) -> Tensor:
        return self.mlp(z, present)
