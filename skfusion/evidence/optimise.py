"""How mixing step and gate are fitted: the loss of held-out rows, and L-BFGS."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize

from skfusion.training.links import Link

__all__ = ["held_out_loss", "minimise"]


def held_out_loss(
    y: NDArray[np.float64] | NDArray[np.int64],
    log_prior: NDArray[np.float64],
    start: NDArray[np.float64],
    weight: NDArray[np.float64],
    link: Link,
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Negative log-likelihood of rows as a function of their summed evidence (..., C).

    In a regression it is Gaussian; its variance is that of the errors where the fit
    begins, with `start` (n, ..., C) as the evidence of the first n rows.
    """
    if link.is_classification:
        answer, prior = torch.from_numpy(y), torch.from_numpy(log_prior)
        return lambda total: link.loss(prior + total, answer)
    y = y.reshape(len(y), *[1] * (start.ndim - 2), -1).astype(np.float64)
    errors = ((start - y[: len(start)]) ** 2).mean(axis=-1)
    share = weight / weight.sum()
    variance = np.maximum(np.tensordot(share, errors, axes=1), 1e-6)
    target, spread = torch.from_numpy(y), torch.from_numpy(np.asarray(variance))

    def squared(total: torch.Tensor) -> torch.Tensor:
        return 0.5 * (total - target).square().mean(dim=-1) / spread

    return squared


def minimise(
    objective: Callable[..., torch.Tensor],
    *start: NDArray[np.float64],
    positive: bool = False,
) -> list[NDArray[np.float64]]:
    """Full-batch L-BFGS of a function of arrays, from where they start.

    If `positive`, no entry may fall below 0.
    """
    ends = np.cumsum([x.size for x in start])[:-1]

    def unpack(flat: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        pieces = np.split(flat, ends)
        return [p.reshape(x.shape) for p, x in zip(pieces, start, strict=True)]

    def value_and_gradient(
        flat: NDArray[np.float64],
    ) -> tuple[float, NDArray[np.float64]]:
        tensors = [torch.tensor(x, requires_grad=True) for x in unpack(flat)]
        value = objective(*tensors)
        value.backward()
        gradient = [
            (torch.zeros_like(t) if t.grad is None else t.grad).numpy().ravel()
            for t in tensors
        ]
        return float(value.detach()), np.concatenate(gradient)

    flat = np.concatenate([x.ravel() for x in start])
    bounds = [(0, None)] * flat.size if positive else None
    found = minimize(
        value_and_gradient, flat, jac=True, method="L-BFGS-B", bounds=bounds
    )
    return unpack(found.x if np.isfinite(found.fun) else flat)
