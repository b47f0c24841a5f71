"""Losses of the output, of each modality alone, and of the joint part."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from skfusion.network import NetworkOutput
from skfusion.training.links import Link

__all__ = ["FusionLoss"]


class FusionLoss(nn.Module):
    """Loss of the fused output, of each modality alone, and of the joint part.

    In evaluation mode it is the fused loss only, which early stopping watches. After
    each call `parts` holds the fused loss and that of each modality.

    Parameters
    ----------
    names : sequence of M str
    prior : Tensor (C,)
        What is added to the evidence of a source alone.
    link : Link
    """

    prior: Tensor

    def __init__(self, names: Sequence[str], prior: Tensor, *, link: Link) -> None:
        super().__init__()
        self.names = tuple(names)
        self.link = link
        self.register_buffer("prior", prior)
        self.parts: dict[str, Tensor] = {}

    def forward(self, output: NetworkOutput, target: dict[str, Tensor]) -> Tensor:
        y, weight = target["y"], target["weight"]
        total = weight.sum().clamp_min(1e-12)
        loss = (self.link.loss(output.logits, y) * weight).sum() / total
        alone, share = self.alone(output, target)
        counts = share.sum(dim=0)
        alone = (alone * share).sum(dim=0) / counts.clamp_min(1e-12)
        self.parts = {"fused": loss.detach()}
        self.parts.update(zip(self.names, alone.detach().unbind(), strict=True))
        if not self.training:
            return loss
        # A modality that is seldom there weighs as much as its rows do.
        loss = loss + (alone * counts / total).sum()
        if output.joint is not None:
            joint = self.link.loss(self.prior + output.joint, y)
            loss = loss + (joint * weight).sum() / total
        if not loss.requires_grad:  # all that is present in the batch has learned
            loss.requires_grad_()
        return loss

    def alone(
        self, output: NetworkOutput, target: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Loss of what each modality says alone, and what it counts, both (B, M)."""
        alone = self.link.loss(self.prior + output.evidence, target["y"])
        counts = output.present
        if "label_valid" in target:
            counts = counts & target["label_valid"]
        return alone, counts * target["weight"][:, None]
