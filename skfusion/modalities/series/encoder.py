"""From the steps of series to tokens of intervals."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from skfusion.modalities.intervals import IntervalTokens, n_parts, time_mask
from skfusion.network import Encoder, exporting

__all__ = ["SeriesEncoder", "n_stages"]

WIDTH = 64  # hidden units
N_TOKENS = 16  # intervals of the longest training series, at most
N_SEGMENTS = 8  # averages that stand for the steps of an interval, at most
HIDDEN = 0.5  # share of the intervals that are hidden in training


class SeriesEncoder(Encoder):
    """A perceptron over the steps of each interval and of its two neighbours.

    It sees the values and the sizes of their changes, as averages of segments where
    intervals are long. Padding is zero before it is seen, so a row's tokens depend
    neither on its padding nor on other rows. Statistics of whole series are left to the
    base models: as a token, they kept the intervals from being learned.

    **Shape**: ``values`` (B, channels, steps) and ``length`` (B,) to tokens (B, T, D),
    T = ceil(steps / stride), and their mask.
    """

    max_epochs = 20
    padded = {"values": 2}

    def __init__(
        self,
        *,
        n_channels: int,
        n_steps: int,
        d_model: int,
        dropout: float,
        augment: bool,
    ) -> None:
        super().__init__()
        self.augment = augment
        self.n_steps = n_steps
        self.stride = 2 ** n_stages(n_steps)
        self.pool = max(1, self.stride // N_SEGMENTS)
        step = self.stride // self.pool
        self.tokens = IntervalTokens(
            2 * n_channels,
            step=step,
            around=step,
            width=WIDTH,
            d_model=d_model,
            dropout=dropout,
        )

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        dtype = self.tokens.norm.weight.dtype
        length = inputs["length"].long().clamp_min(1)
        x = inputs["values"].to(dtype)  # (B, C, T)
        if not exporting():
            x = x[..., : int(length.max())]
        if self.training and self.augment:
            x, length = augment(x, length, self.stride, self)
        h, mask = self.tokens(
            _segments(x, length, self.pool),
            n_parts(length, self.pool),
            (length.to(dtype) / self.n_steps).log(),
        )
        if self.training and self.augment:
            # otherwise a few intervals, learned first, keep the rest from being learned
            shown = mask & (self.rand(mask.shape, h) > HIDDEN)
            mask = torch.where(shown.any(dim=1, keepdim=True), shown, mask)
        return h, mask


def _segments(x: Tensor, length: Tensor, pool: int) -> Tensor:
    """Values and sizes of changes of (B, C, T), averaged over segments of `pool` steps.

    **Shape**: to (B, ceil(T / pool), 2 * C), zero where padded.
    """
    B, C, T = x.shape
    change = F.pad((x[..., 1:] - x[..., :-1]).abs(), (1, 0))
    present = time_mask(length, T)
    x = (torch.cat([x, change], dim=1) * present[:, None]).transpose(1, 2)
    if pool == 1:
        return x
    behind = n_parts(T, pool) * pool - T
    x = F.pad(x, (0, 0, 0, behind)).view(B, -1, pool, 2 * C).sum(dim=2)
    count = F.pad(present, (0, behind)).view(B, -1, pool).sum(dim=2)
    return x / count.clamp_min(1)[..., None]


def augment(
    x: Tensor, length: Tensor, most: int, module: Encoder
) -> tuple[Tensor, Tensor]:
    """Shift curves (B, C, T) by up to `most` steps, scale them, add level and noise."""
    B, C, T = x.shape
    first = (module.rand((B,), x) * most).long()
    first = torch.minimum(first, length - 1)
    steps = torch.arange(T, device=x.device)
    source = torch.minimum(steps + first[:, None], length[:, None] - 1)
    x = x.gather(2, source[:, None].expand(-1, C, -1))
    scale, level = 0.1 * module.randn((2, B, C, 1), x)
    x = x * torch.exp(scale) + level + 0.05 * module.randn(x.shape, x)
    return x, length - first


def n_stages(n_steps: int) -> int:
    """Halvings of the time axis that leave at most `N_TOKENS` steps."""
    return max(0, math.ceil(math.log2(n_steps / N_TOKENS)))
