"""From log-mel frames to tokens of 40 ms."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from skfusion.modalities.audio.reading import HOP, RANGE, STEP
from skfusion.modalities.intervals import IntervalTokens, n_parts, time_mask
from skfusion.network import Encoder, exporting

__all__ = ["STRIDE", "AudioEncoder"]

STRIDE = 4  # frames a token, so 25 tokens a second
POOL = 2  # frames that are averaged first, two by two
WIDTH = 96


class AudioEncoder(Encoder):
    """A perceptron over the frames of each token and of its two neighbours.

    Padding is zero before it is seen, so a row's tokens depend neither on its padding
    nor on other rows. Recordings are stored relative to their loudest value, which
    tells each frame about the whole; random levels in training take that away.

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

    max_epochs = 16
    padded = {"log_mel": 2}

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
        self.tokens = IntervalTokens(
            len(mean),
            step=STRIDE // POOL,
            around=STRIDE // POOL,
            width=WIDTH,
            d_model=d_model,
            dropout=dropout,
        )
        self.column = nn.Parameter(torch.zeros(n_columns, d_model))

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        B, K, T, M = inputs["log_mel"].shape
        there = inputs["length"].long().reshape(B * K)
        length = there.clamp_min(1)
        codes = inputs["log_mel"].reshape(B * K, T, M)
        if not exporting():
            codes = codes[:, : int(length.max())]
        level = self.mean.new_zeros(1)
        if self.training and self.augment:
            codes, length = self._stretched(codes, length)
            level = 0.2 * self.randn((B * K, 1, 1), self.mean)
        x = self._pairs(codes, length, level)  # (B*K, T/2, M)
        duration = (length.to(x.dtype) * HOP * 2).log()
        h, mask = self.tokens(x, n_parts(length, POOL), duration)
        mask = mask & (there > 0)[:, None]
        h = h.view(B, K, *h.shape[1:]) + self.column[:, None]  # (B, K, T/4, D)
        mask = mask.view(B, K, -1).transpose(1, 2).flatten(1)
        # Absent rows: the mask of the modality hides this token.
        mask[:, 0] |= (there <= 0).view(B, K).all(dim=1)
        return h.transpose(1, 2).flatten(1, 2), mask

    def _stretched(self, codes: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Stretch frames (B, T, M) in time by up to 15 %, and shift them by a token."""
        B, T = codes.shape[:2]
        drawn = self.rand((2, B, 1), self.mean)
        rate, first = torch.exp((2 * drawn[0] - 1) * 0.15), STRIDE * drawn[1]
        steps = torch.arange(math.ceil(T * math.exp(0.15)), device=codes.device)
        source = torch.minimum((steps * rate + first).long(), length[:, None] - 1)
        length = ((length - first[:, 0]) / rate[:, 0]).long().clamp(1, len(steps))
        source = source[:, : int(length.max())]
        return codes[torch.arange(B, device=codes.device)[:, None], source], length

    def _pairs(self, codes: Tensor, length: Tensor, level: Tensor) -> Tensor:
        """Average each two frames (B, T, M), standardised; 0 where none is present."""
        odd = codes.shape[1] % POOL
        present = time_mask(length, codes.shape[1] + odd).to(self.mean.dtype)
        x = F.pad(codes, (0, 0, 0, odd)).to(self.mean.dtype) * present[..., None]
        count = (present[:, ::2] + present[:, 1::2])[..., None]
        share = count.clamp_min(1).reciprocal()  # divisions cost ten times a product
        x = ((x[:, ::2] + x[:, 1::2]) * share - self.mean) * self.sd.reciprocal()
        return (x + level) * (count > 0)

    def add_noise(self, inputs: dict[str, Tensor], sd: Tensor) -> dict[str, Tensor]:
        """Add white hiss: `sd` times the root mean square of the sound.

        The powers of signal and noise add up, so this happens to the log-mel values,
        which are then scaled to their new maximum, as `AudioModality` would.
        """
        every = inputs["log_mel"].to(self.mean.dtype)  # (B, K, T, M)
        rows = (sd > 0).nonzero().squeeze(1)
        codes, length, sd = every[rows], inputs["length"][rows], sd[rows]
        mask = time_mask(length.reshape(-1), codes.shape[2])
        mask = mask.view(codes.shape[:3])[..., None]
        power = 10 ** ((codes * STEP - RANGE) / 10) * mask
        n_frames = length.clamp_min(1).to(codes.dtype)
        signal = power.sum(dim=(2, 3)) / n_frames  # (B, K)
        # A narrow band catches few independent bins, so its noise fluctuates more.
        spread = self.bandwidth.clamp_min(1).rsqrt()
        hiss = self.bandwidth / self.bandwidth.sum()
        drawn = self.randn(codes.shape, codes) * spread - spread.square() / 2
        hiss = hiss * torch.exp(drawn)
        strength = sd.to(codes.dtype).view(-1, 1).square() * signal
        power = (power + strength[..., None, None] * hiss) * mask
        peak = power.amax(dim=(2, 3), keepdim=True).clamp_min(1e-30)
        decibels = 10 * torch.log10((power / peak).clamp_min(10 ** (-RANGE / 10)))
        noisy = torch.where(mask, (decibels + RANGE) / STEP, codes)
        return {**inputs, "log_mel": every.index_copy(0, rows, noisy)}
