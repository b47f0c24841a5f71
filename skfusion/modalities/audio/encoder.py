"""The convolutions that turn log-mel frames into tokens of 40 ms."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from skfusion.modalities.audio.reading import HOP, RANGE, STEP
from skfusion.network import Encoder

__all__ = ["STRIDE", "AudioEncoder"]

STRIDE = 4  # frames a token, so 25 tokens a second


class AudioEncoder(Encoder):
    """Convolutions over time and mel bands, then over time.

    Padding is set to zero before every convolution and each frame is normalised by
    itself, so a row's tokens depend neither on its padding nor on other rows.

    Parameters
    ----------
    mean, sd : ndarray of shape (n_mels,)
        Of each band over the training frames, in the codes of the block.
    bandwidth : ndarray of shape (n_mels,)
        Share of white noise that each band catches, up to a factor.
    n_columns, d_model, dropout, augment
        As in :class:`AudioModality`.

    **Shape**: ``log_mel`` (B, columns, frames, mels) and ``length`` (B, columns) to
    tokens (B, T, D), T = columns * ceil(frames / 4), the columns of one time side by
    side, and their mask.
    """

    mean: Tensor
    sd: Tensor
    bandwidth: Tensor

    def __init__(
        self,
        *,
        mean: NDArray[Any],
        sd: NDArray[Any],
        bandwidth: NDArray[Any],
        n_columns: int,
        d_model: int,
        dropout: float,
        augment: bool,
    ) -> None:
        super().__init__()
        self.augment = augment
        for name, value in (("mean", mean), ("sd", sd), ("bandwidth", bandwidth)):
            self.register_buffer(name, torch.as_tensor(value, dtype=torch.float32))
        bands = [-(-len(mean) // 2), -(-len(mean) // 4)]
        self.planes = nn.ModuleList(
            [
                nn.Conv2d(1, 16, 3, stride=(2, 2), padding=1),
                nn.Conv2d(16, 32, 3, stride=(1, 2), padding=1),
            ]
        )
        self.plane_norms = nn.ModuleList(
            [nn.LayerNorm([bands[0], 16]), nn.LayerNorm([bands[1], 32])]
        )
        self.lines = nn.ModuleList(
            [nn.Linear(3 * 32 * bands[1], 128), nn.Linear(384, 128)]
        )
        self.line_norms = nn.ModuleList([nn.LayerNorm(128), nn.LayerNorm(128)])
        self.column = nn.Parameter(torch.zeros(n_columns, d_model))
        self.out = nn.Linear(128 + 2, d_model)
        self.out_norm = nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        B, K, T, M = inputs["log_mel"].shape
        there = inputs["length"].long().reshape(B * K)
        length = there.clamp_min(1)
        x = inputs["log_mel"].reshape(B * K, T, M)[:, : int(length.max())]
        x = (x.to(self.mean.dtype) - self.mean) / self.sd
        if self.training and self.augment:
            x, length = _augment(x, length)
        n_frames = length
        x = (x * _mask(length, x)[..., None])[..., None]  # (B*K, T, M, 1)
        for stride, conv, norm in zip(
            (2, 1), self.planes, self.plane_norms, strict=True
        ):
            x = conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
            length = -(-length // stride)
            x = norm(x).relu() * _mask(length, x)[..., None, None]
        x = x.flatten(2)  # (B*K, T/2, C)
        for stride, linear, norm in zip(
            (2, 1), self.lines, self.line_norms, strict=True
        ):
            windows = F.pad(x, (0, 0, 1, 1)).unfold(1, 3, stride).flatten(2)
            length = -(-length // stride)
            h = norm(linear(windows)).relu()
            x = (x + h if stride == 1 else h) * _mask(length, h)[..., None]
        h = self.dropout(
            self.out_norm(self.out(_with_place(x, length, n_frames))).relu()
        )
        mask = _mask(length, h) & (there > 0)[:, None]
        h = h.view(B, K, *h.shape[1:]) + self.column[:, None]  # (B, K, T/4, D)
        mask = mask.view(B, K, -1).transpose(1, 2).flatten(1)
        # Absent rows: the mask of the modality hides this token.
        mask[:, 0] |= ~mask.any(dim=1)
        return h.transpose(1, 2).flatten(1, 2), mask

    def add_noise(self, inputs: dict[str, Tensor], sd: Tensor) -> dict[str, Tensor]:
        """Add white hiss: `sd` times the root mean square of the sound.

        The powers of signal and noise add up, so this happens to the log-mel values,
        which are then scaled to their new maximum, as `AudioModality` would.
        """
        codes = inputs["log_mel"].to(self.mean.dtype)  # (B, K, T, M)
        mask = _mask(inputs["length"].reshape(-1), codes.flatten(0, 1))
        mask = mask.view(codes.shape[:3])[..., None]
        power = 10 ** ((codes * STEP - RANGE) / 10) * mask
        n_frames = inputs["length"].clamp_min(1).to(codes.dtype)
        signal = power.sum(dim=(2, 3)) / n_frames  # (B, K)
        # A narrow band catches few independent bins, so its noise fluctuates more.
        spread = self.bandwidth.clamp_min(1).rsqrt()
        hiss = self.bandwidth / self.bandwidth.sum()
        hiss = hiss * torch.exp(torch.randn_like(codes) * spread - spread.square() / 2)
        strength = sd.to(codes.dtype).view(-1, 1).square() * signal
        power = (power + strength[..., None, None] * hiss) * mask
        peak = power.amax(dim=(2, 3), keepdim=True).clamp_min(1e-30)
        decibels = 10 * torch.log10((power / peak).clamp_min(10 ** (-RANGE / 10)))
        noisy = (decibels + RANGE) / STEP
        changed = (sd > 0).view(-1, 1, 1, 1) & mask
        return {**inputs, "log_mel": torch.where(changed, noisy, codes)}


def _mask(length: Tensor, x: Tensor) -> Tensor:
    """(B, T), True in the first `length` (B,) steps of `x` (B, T, ...)."""
    return torch.arange(x.shape[1], device=x.device) < length[:, None]


def _with_place(x: Tensor, length: Tensor, n_frames: Tensor) -> Tensor:
    """Append to each token its place in the sound and the sound's duration."""
    steps = torch.arange(x.shape[1], device=x.device, dtype=x.dtype)
    place = (2 * steps + 1) / length[:, None] - 1
    duration = (n_frames.to(x.dtype) * HOP * 2).log()[:, None].expand_as(place)
    return torch.cat([x, torch.stack([place, duration], dim=2)], dim=2)


def _augment(x: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Stretch and shift time, mask time and bands, of frames (B, T, M)."""
    B, T, M = x.shape

    def random() -> Tensor:
        return torch.rand(B, 1, device=x.device)

    rate, first = torch.exp((2 * random() - 1) * 0.15), 4 * random()
    steps = torch.arange(math.ceil(T * math.exp(0.15)), device=x.device)
    source = torch.minimum((steps * rate + first).long(), length[:, None] - 1)
    x = x.gather(1, source[..., None].expand(-1, -1, M))
    length = ((length - first[:, 0]) / rate[:, 0]).long().clamp(1, len(steps))
    x = x[:, : int(length.max())]
    for _ in range(2):  # 0 is the mean of a band
        width = 0.15 * length[:, None] * random()
        start = random() * (length[:, None] - width)
        step = torch.arange(x.shape[1], device=x.device)
        x = x.masked_fill(((step >= start) & (step < start + width))[..., None], 0)
        width, band = 0.15 * M * random(), torch.arange(M, device=x.device)
        start = random() * (M - width)
        x = x.masked_fill(((band >= start) & (band < start + width))[:, None], 0)
    return x, length
