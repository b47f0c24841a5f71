"""The diagram of an estimator: a branch for each modality, and what joins them."""

from __future__ import annotations

from typing import Any

from skfusion._sklearn import VisualBlock
from skfusion.modalities.transformer import ModalityTransformer
from skfusion.network import FusionNetwork

__all__ = ["diagram"]


def diagram(estimator: Any, rule: Any) -> VisualBlock:
    """Draw an estimator; once it is fitted, with the sizes of its networks.

    Where the step before makes the batch, there are encoders and no transformer.
    """
    if not estimator.__sklearn_is_fitted__():
        modalities = estimator.modalities
        if not isinstance(modalities, ModalityTransformer):
            modalities = ModalityTransformer(modalities)
        return VisualBlock("serial", [modalities, rule], names=["modalities", "fusion"])
    networks, names = estimator.networks_, estimator.modality_names_
    network = networks[0]
    encoders = {name: _encoder(network, sorted(names).index(name)) for name in names}
    if hasattr(estimator, "modalities_"):
        branches = estimator.modalities_._branches(encoders)
    else:
        blocks = list(encoders.values())
        branches = VisualBlock("parallel", blocks, names=list(encoders))
    n = sum(p.numel() for p in network.parameters())
    several = f"{len(networks)} networks" if len(networks) > 1 else "a network"
    fused = VisualBlock(
        "single",
        rule,
        names=type(rule).__name__,
        name_caption=f"{estimator._rows.n_rows:,} rows, {several} of {n:,} parameters",
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
