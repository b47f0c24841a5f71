"""Fits, on held-out rows, the few numbers that training rows would get wrong.

A modality that learned its training rows by heart looks sure of itself and deserves
trust there, and nowhere else. How sharp each modality's word is, how far the gate
follows it, and how sharp the output is, are therefore fitted on rows that the network
has not learned from, clean ones and disturbed ones.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skfusion.corruption import Corruption
from skfusion.network import FusionNetwork
from skfusion.training import BatchDataset, BatchIterator, FusionLoss, to_device

__all__ = ["calibrate"]

#: Normal prior around what training found: few rows should move it little.
PRIOR_SD = 0.5


def calibrate(
    network: FusionNetwork,
    dataset: BatchDataset,
    corruption: Corruption | None,
    *,
    is_classification: bool,
) -> tuple[float, NDArray[np.float64]]:
    """Set the fusion rule's calibration parameters in place; return temperatures.

    Returns
    -------
    temperature : float
        By which the fused logits are to be divided; 1 in regression.
    temperatures : ndarray of shape (n_modalities,)
        The same for what each modality says alone.
    """
    z, u, present, y, weight = _collect(network, dataset, corruption)
    loss = FusionLoss([], is_classification=is_classification)
    alone = _alone_temperatures(loss, u, present, y, weight)
    fusion: Any = copy.deepcopy(network.fusion).double()
    some = present.any(dim=1)
    z, u, present, y, weight = (t[some] for t in (z, u, present, y, weight))
    if len(y) == 0:
        return 1.0, alone
    fitted = fusion.calibration_parameters()
    log_t = nn.Parameter(torch.zeros((), dtype=torch.float64))
    if is_classification:
        fitted = [*fitted, log_t]
    start = [p.detach().clone() for p in fitted]

    def objective() -> Tensor:
        logits = fusion(z, u, present).logits
        if is_classification:
            logits = logits / log_t.exp()
        each = loss.elementwise(logits, y, mix=True)[:, 0]
        fit = (each * weight).sum() / weight.sum()
        if not is_classification:  # Gaussian likelihood with the best variance
            fit = 0.5 * fit.clamp_min(1e-12).log()
        away = sum((p - p0).square().sum() for p, p0 in zip(fitted, start, strict=True))
        return fit + 0.5 * away / PRIOR_SD**2 / len(y)

    if fitted:
        _minimise(objective, fitted)
        network.fusion.load_state_dict(fusion.state_dict())
    return math.exp(log_t.item()), alone


@torch.no_grad()
def _collect(
    network: FusionNetwork, dataset: BatchDataset, corruption: Corruption | None
) -> tuple[Tensor, ...]:
    """What the modalities know and say of the held-out rows, in float64."""
    network.eval()
    device = next(network.parameters()).device
    parts: list[tuple[Tensor, ...]] = []
    for how in [None] if corruption is None else [None, corruption]:
        for x, target in BatchIterator(dataset, 256, corruption=how):
            z, u, _ = network.encode(**to_device(x, device))
            parts.append(
                (
                    z.double().cpu(),
                    u.double().cpu(),
                    x["present"],
                    target["y"],
                    target["weight"].double(),
                )
            )
    return tuple(torch.cat(column) for column in zip(*parts, strict=True))


def _alone_temperatures(
    loss: FusionLoss, u: Tensor, present: Tensor, y: Tensor, weight: Tensor
) -> NDArray[np.float64]:
    """Temperature of each modality's own logits; 1 in regression."""
    M = u.shape[1]
    log_t = nn.Parameter(torch.zeros(M, dtype=torch.float64))
    share = present * weight[:, None]
    if not loss.is_classification or not bool(share.any()):
        return np.ones(M)

    def objective() -> Tensor:
        scaled = u / log_t.exp()[:, None, None]
        each = loss.elementwise(scaled, y, mix=True)[..., 0]  # (B, M)
        away = 0.5 * log_t.square().sum() / PRIOR_SD**2
        return (each * share).sum() / weight.sum() + away / len(y)

    _minimise(objective, [log_t])
    return log_t.detach().exp().numpy()


def _minimise(objective: Any, parameters: list[nn.Parameter]) -> None:
    """Full-batch L-BFGS; keeps the start if it ends anywhere worse."""
    start = [p.detach().clone() for p in parameters]
    before = objective().item()
    optimiser = torch.optim.LBFGS(
        parameters, max_iter=40, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = objective()
        grads = torch.autograd.grad(value, parameters)
        for p, grad in zip(parameters, grads, strict=True):
            p.grad = grad
        return value

    optimiser.step(closure)
    after = objective().item()
    if not math.isfinite(after) or after > before:
        with torch.no_grad():
            for p, p0 in zip(parameters, start, strict=True):
                p.copy_(p0)
