"""The diagram of an estimator: a branch for each modality, and what joins them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skfusion._sklearn import VisualBlock
from skfusion.modalities.transformer import ModalityTransformer
from skfusion.network import FusionNetwork

__all__ = ["diagram"]


def diagram(
    modalities: Any,
    rule: Any,
    networks: Sequence[FusionNetwork] = (),
    names: Sequence[str] = (),
    n_rows: int = 0,
) -> VisualBlock:
    """Draw an estimator.

    Parameters
    ----------
    modalities : ModalityTransformer, list, or None
        None where the step before makes the batch, or where nothing is fitted yet.
    rule : Fusion
    networks : sequence of FusionNetwork
        None of them before the fit.
    names : sequence of str
        The modalities in the user's order; the networks have them sorted.
    n_rows : int
        Rows of the fit.
    """
    if not networks:
        if not isinstance(modalities, ModalityTransformer):
            modalities = ModalityTransformer(modalities)
        return VisualBlock("serial", [modalities, rule], names=["modalities", "fusion"])
    network = networks[0]
    encoders = {name: _encoder(network, sorted(names).index(name)) for name in names}
    if isinstance(modalities, ModalityTransformer):
        branches = modalities._branches(encoders)
    else:
        branches = VisualBlock(
            "parallel", list(encoders.values()), names=list(encoders)
        )
    n = sum(p.numel() for p in network.parameters())
    several = f"{len(networks)} networks of " if len(networks) > 1 else "a network of "
    fused = VisualBlock(
        "single",
        rule,
        names=type(rule).__name__,
        name_caption=f"{n_rows:,} rows, {several}{n:,} parameters",
        name_details="\n".join(f"{k}={v!r}" for k, v in rule.get_params().items()),
    )
    return VisualBlock("serial", [branches, fused], names=["modalities", "fusion"])


def _encoder(network: FusionNetwork, m: int) -> VisualBlock:
    """The part of a network that belongs to a modality."""
    tokens, width, n = network.branch_size(m)
    encoder = network.encoders[m]
    size = "1 token" if tokens == 1 else f"up to {tokens} tokens"
    if getattr(encoder, "same_tokens", False):
        size = size.removeprefix("up to ")
    return VisualBlock(
        "single",
        encoder,
        names=type(encoder).__name__.lstrip("_"),
        name_caption=f"{size} x {width}, {n:,} parameters",
        name_details=str(encoder),
    )
