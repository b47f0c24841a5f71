"""Intervals of time, which sound and series share: tokens, means, linear terms."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from skfusion.network import Dropout, exporting

__all__ = ["IntervalTokens", "interval_terms", "n_parts", "quarters", "time_mask"]

GAIN = 3.0  # of a token over unit variance: an average over tokens is small


class IntervalTokens(nn.Module):
    """One token an interval, from its steps and a few on both sides.

    A token knows nothing else of the content, only where in the sound or series it lies
    and how long that is. Present intervals are picked before anything is computed, so
    that padding costs nothing.

    **Shape**: x (B, n_steps, n_channels), zero where padded, length (B,), in steps, and
    log_duration (B,), usually about 0, to tokens (B, T, D) and their mask (B, T), T =
    ceil(n_steps / step).

    Parameters
    ----------
    n_channels : int
    step : int
        Steps of an interval.
    around : int
        Steps that a token sees on each side of its interval.
    width : int
        Hidden units.
    d_model : int
        Width D of the tokens.
    dropout : float
    """

    def __init__(
        self,
        n_channels: int,
        *,
        step: int,
        around: int,
        width: int,
        d_model: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.step, self.around = step, around
        self.stem = nn.Linear((step + 2 * around) * n_channels, width)
        self.hidden = nn.Linear(width, width)
        self.out = nn.Linear(width + 2, d_model)
        self.norm = nn.LayerNorm(d_model)
        nn.init.constant_(self.norm.weight, GAIN)
        self.dropout = Dropout(dropout)

    def forward(
        self, x: Tensor, length: Tensor, log_duration: Tensor
    ) -> tuple[Tensor, Tensor]:
        B, n_steps, n_channels = x.shape
        n_tokens = n_parts(n_steps, self.step)
        behind = n_tokens * self.step - n_steps + self.around
        x = F.pad(x, (0, 0, self.around, behind)).flatten(1)
        size = (self.step + 2 * self.around) * n_channels
        windows = x.unfold(1, size, self.step * n_channels)  # (B, T, size)
        n_present = n_parts(length, self.step)
        mask = time_mask(n_present, n_tokens)
        # Of an export, sizes may not depend on the lengths.
        present = (slice(None),) if exporting() else mask.nonzero(as_tuple=True)
        h = F.silu(self.stem(windows[present]))  # (N, width), N present intervals
        h = h + F.silu(self.hidden(h))
        steps = torch.arange(n_tokens, device=x.device, dtype=x.dtype)
        place = (2 * steps + 1) / n_present[:, None] - 1
        where = torch.stack([place, log_duration[:, None].expand_as(place)], dim=2)
        h = self.norm(self.out(torch.cat([h, where[present]], dim=-1)))
        if exporting():
            return torch.where(mask[..., None], h, 0.0), mask
        tokens = h.new_zeros(B, n_tokens, h.shape[1])
        tokens[present] = self.dropout(h)
        return tokens, mask


def n_parts(length: Any, size: int) -> Any:
    """How many parts of so many steps cover a length, a number or a tensor of them."""
    return (length + size - 1) // size  # ONNX rounds quotients below 0 towards it


def time_mask(length: Tensor, n_steps: int) -> Tensor:
    """(B, n_steps), True in the first `length` (B,) steps."""
    return torch.arange(n_steps, device=length.device) < length[:, None]


def quarters(n_steps: int) -> list[slice]:
    """Four parts of equal length; they overlap where steps are too few to be cut."""
    edges = np.linspace(0, n_steps, 5)
    return [
        slice(int(a), max(int(a) + 1, math.ceil(b)))
        for a, b in itertools.pairwise(edges)
    ]


def interval_terms(
    x: NDArray[Any],
    weights: NDArray[Any],
    coef: NDArray[Any],
    *,
    scale: NDArray[Any],
    constant: NDArray[Any],
    step: int,
) -> NDArray[np.float64]:
    """Split a linear model on weighted sums over time among intervals.

    Feature s of channel m is ``scale * (weights[s] @ x[:, m]) - constant``; each step
    adds what stands in it, and its part of the constant.

    Parameters
    ----------
    x : ndarray of shape (n_samples, n_steps, n_channels)
    weights : ndarray of shape (n_sums, n_steps)
    coef : ndarray of shape (n_sums, n_channels, n_outputs)
    scale, constant : ndarray that broadcast to (n_samples, n_sums, n_channels)
    step : int
        Steps of an interval.

    Returns
    -------
    terms : ndarray of shape (n_samples, n_intervals, n_outputs)
    """
    terms: NDArray[np.float64] = np.zeros((*x.shape[:2], coef.shape[2]))
    shape = (len(x), *coef.shape[:2])
    scale, constant = np.broadcast_to(scale, shape), np.broadcast_to(constant, shape)
    for s, weight in enumerate(weights):
        size = np.abs(weight)[:, None]
        part = weight[:, None] * x * scale[:, None, s]
        part = part - size / size.sum() * constant[:, None, s]
        terms += part @ coef[s]
    return np.add.reduceat(terms, np.arange(0, x.shape[1], step), axis=1)
