"""The convolutions that turn series into tokens of intervals."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skfusion.network import Encoder

__all__ = ["SeriesEncoder", "n_stages"]

WIDTH = 64  # channels inside the encoder
N_TOKENS = 16  # intervals of the longest training series, at most


class SeriesEncoder(Encoder):
    """Convolutions of several widths over time; the statistics are the first token.

    Padding is set to zero before every convolution and each step is normalised by
    itself, so a row's tokens depend neither on its padding nor on other rows.

    **Shape**: ``values`` (B, channels, steps), ``length`` (B,) and ``statistics``
    (B, n_statistics) to tokens (B, T, D), T = 1 + ceil(steps / stride), and their mask.
    """

    def __init__(
        self,
        *,
        n_channels: int,
        n_steps: int,
        n_statistics: int,
        d_model: int,
        dropout: float,
        augment: bool,
    ) -> None:
        super().__init__()
        self.augment = augment
        n_halvings = n_stages(n_steps)
        self.stem_stride = 2 ** max(0, n_halvings - 2)
        # Odd widths, and wide enough to see every step whatever the stride.
        widths = [k * self.stem_stride // 2 * 2 + 1 for k in (3, 9)]
        self.stem = nn.ModuleList(
            [
                nn.Conv1d(2 * n_channels, WIDTH // 2, k, self.stem_stride, k // 2)
                for k in widths
            ]
        )
        self.strides = [2 if i < n_halvings else 1 for i in range(2)]
        self.stem_norm = nn.LayerNorm(WIDTH)
        self.lines = nn.ModuleList([nn.Linear(3 * WIDTH, WIDTH) for _ in self.strides])
        self.line_norms = nn.ModuleList([nn.LayerNorm(WIDTH) for _ in self.strides])
        self.out = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(WIDTH, d_model),
            nn.LayerNorm(d_model),
            nn.ReLU(),
            nn.Dropout(dropout),
        )
        self.describe = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(n_statistics, d_model),
            nn.LayerNorm(d_model),
            nn.ReLU(),
            nn.Dropout(dropout),
        )

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        dtype = self.stem_norm.weight.dtype
        length = inputs["length"].long().clamp_min(1)
        x = inputs["values"].to(dtype)[..., : int(length.max())]  # (B, C, T)
        if self.training and self.augment:
            x, length = _augment(x, length)
        x = _with_own_scale(x * _mask(length, x.shape[2])[:, None], length)
        x = torch.cat([conv(x) for conv in self.stem], dim=1).transpose(1, 2)
        length = -(-length // self.stem_stride)
        x = self.stem_norm(x).relu() * _mask(length, x.shape[1])[..., None]
        for stride, linear, norm in zip(
            self.strides, self.lines, self.line_norms, strict=True
        ):
            windows = F.pad(x, (0, 0, 1, 1)).unfold(1, 3, stride).flatten(2)
            length = -(-length // stride)
            h = norm(linear(windows)).relu()
            x = h * _mask(length, h.shape[1])[..., None]
        statistics = self.describe(inputs["statistics"].to(dtype))[:, None]
        tokens = torch.cat([statistics, self.out(x)], dim=1)
        mask = _mask(length + 1, tokens.shape[1])
        if self.training and self.augment:
            mask = _hide_intervals(mask)
        return tokens, mask


def _mask(length: Tensor, n_steps: int) -> Tensor:
    """(B, n_steps), True in the first `length` (B,) steps."""
    return torch.arange(n_steps, device=length.device) < length[:, None]


def _hide_intervals(mask: Tensor) -> Tensor:
    """Hide 30 % of the intervals, and in half of the rows all but the statistics.

    Otherwise a few intervals learnt by heart keep the statistics from being learnt.
    """
    B, T = mask.shape
    shown = torch.rand(B, T, device=mask.device) > 0.3
    shown &= torch.rand(B, 1, device=mask.device) > 0.5
    shown[:, 0] = True
    return mask & shown


def _with_own_scale(x: Tensor, length: Tensor) -> Tensor:
    """Append to (B, C, T), zero where padded, the channels scaled by their own spread.

    The first half says where a curve lies, the second which form it has.
    """
    n, mask = length.to(x.dtype)[:, None, None], _mask(length, x.shape[2])[:, None]
    own = (x - x.sum(dim=2, keepdim=True) / n) * mask
    spread = (own.square().sum(dim=2, keepdim=True) / n + 0.01).sqrt()
    return torch.cat([x, own / spread], dim=1)


def _augment(x: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Stretch, shift and scale curves (B, C, T), and add noise."""
    B, C, T = x.shape
    rate = torch.exp((2 * torch.rand(B, 1, device=x.device) - 1) * 0.1)
    first = torch.rand(B, 1, device=x.device) * 0.05 * length[:, None]
    steps = torch.arange(math.ceil(T * math.exp(0.1)), device=x.device)
    place = (steps * rate + first).to(x.dtype)
    last = length[:, None] - 1
    before = torch.minimum(place.long(), last)
    after = torch.minimum(before + 1, last)
    share = (place - before).clamp(0, 1)[:, None]
    left = x.gather(2, before[:, None].expand(-1, C, -1))
    right = x.gather(2, after[:, None].expand(-1, C, -1))
    length = ((length - first[:, 0]) / rate[:, 0]).long().clamp(1, len(steps))
    x = (left * (1 - share) + right * share)[..., : int(length.max())]
    scale = torch.exp(0.1 * torch.randn(B, C, 1, device=x.device, dtype=x.dtype))
    return x * scale + 0.05 * torch.randn_like(x), length


def n_stages(n_steps: int) -> int:
    """Halvings of the time axis that leave at most `N_TOKENS` steps."""
    return max(0, math.ceil(math.log2(n_steps / N_TOKENS)))
