"""From pictures to one token a patch."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from skfusion.network import Dropout, Encoder, exporting

__all__ = ["ImageEncoder", "patch_edges", "patches"]

GRID = 6  # patches along a side, at most
WIDTH = 64  # features of a patch
GAIN = 3.0  # of a token over unit variance: an average over tokens is small
MOVED = 0.07  # of a side, how far pictures are moved in training


class Grid(NamedTuple):
    """How a square of pixels is cut into patches.

    Pixels are averaged `pool` by `pool`; of what is left, a patch takes `step` along
    each side, and the first begins `before` outside.
    """

    pool: int
    step: int
    before: int
    n: int


def _grid(size: int) -> Grid:
    # 32 pixels a side tell as much as 64 where pictures are few, at half the cost
    pool = 1 if size < 48 else max(2, -(-size // 64))
    side = -(-size // pool)
    step = max(2, -(-side // GRID))
    n = -(-side // step)
    return Grid(pool, step, -(-(n * step - side) // 2), n)


def patch_edges(size: int) -> list[int]:
    """Where patches begin along a side, in pixels, and where the last one ends."""
    grid = _grid(size)
    edges = [grid.pool * (i * grid.step - grid.before) for i in range(grid.n + 1)]
    return [0, *edges[1:-1], size]


def patches(size: int) -> list[tuple[int, int, int, int]]:
    """(top, left, bottom, right) of the patches of a square, in pixels."""
    edges = list(itertools.pairwise(patch_edges(size)))
    return [
        (top, left, bottom, right) for top, bottom in edges for left, right in edges
    ]


class ImageEncoder(Encoder):
    """A perceptron over each patch and half of its neighbours, then a map by place.

    A picture is known by what lies where, but its evidence is a sum over patches, and
    patches that share all weights make a bag of strokes. So the last linear map is a
    sum of one that all patches share and one that each place has to itself: what a
    stroke means depends on its place, while a token still knows its own surroundings
    only (compare Brendel & Bethge, 2019, "Approximating CNNs with bag-of-local-features
    models works surprisingly well on ImageNet").

    **Shape**: input ``pixels`` (B, C, S, S), uint8 or float on the scale 0 to 255, or
    (B, K, C, S, S) for K columns with their mask ``there`` (B, K); output, tokens
    (B, K * G * G, D), where G patches lie along a side, row by row from the top.

    Parameters
    ----------
    size : int
        Side S of the pictures.
    mean, std : ndarray of shape (C,)
        Statistics of the training pixels, on the scale 0 to 255.
    n_columns : int
        Number K of pictures a row.
    d_model : int
        Width D of the tokens.
    dropout : float
    light, move, mirror : bool
        What happens to the pictures in training: other brightness and contrast, moves
        by a few pixels, left-right flips.
    """

    def __init__(
        self,
        *,
        size: int,
        mean: NDArray[np.floating],
        std: NDArray[np.floating],
        n_columns: int,
        d_model: int,
        dropout: float,
        light: bool,
        move: bool,
        mirror: bool,
    ) -> None:
        super().__init__()
        self.light, self.move, self.mirror = light, move, mirror
        # Moved pictures are new in every epoch; the others are soon overfitted.
        self.max_epochs = 20 if move else 14
        self.mean: Tensor
        self.std: Tensor
        for name, values in (("mean", mean), ("std", std)):
            constant = torch.tensor(np.asarray(values), dtype=torch.float32)
            self.register_buffer(name, constant.view(-1, 1, 1))
        grid = _grid(size)
        self.pool = grid.pool
        around = grid.step // 2
        T, W, D = grid.n**2, WIDTH, d_model
        self.stem = nn.Conv2d(
            len(self.mean),
            W,
            grid.step + 2 * around,
            grid.step,
            grid.before + around,
        )
        self.hidden = nn.Linear(W, W)
        self.shared = nn.Linear(W, D)
        self.own = nn.Parameter(0.5 * W**-0.5 * torch.randn(T, W, D))
        self.position = nn.Parameter(0.02 * torch.randn(T, D))
        self.column = nn.Parameter(0.02 * torch.randn(n_columns, 1, D))
        self.norm = nn.LayerNorm(D)
        nn.init.constant_(self.norm.weight, GAIN)
        # one mask for all patches of a picture: a feature dropped from one patch could
        # be read from its neighbour
        self.dropout = Dropout(dropout, shared=1)

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        pixels, there = inputs["pixels"], inputs.get("there")
        if there is None:
            tokens = self._finish(self._tokens(pixels) + self.column[0])
            return tokens, tokens.new_ones(tokens.shape[:2]).bool()
        there = there.bool()
        # Of absent rows, which the mask of the modality hides, one token as well.
        first = torch.arange(there.shape[1], device=there.device) == 0
        there = there | (first & ~there.any(dim=1, keepdim=True))
        if exporting():
            own = self._tokens(pixels.flatten(0, 1))
            tokens = self._finish(own.unflatten(0, there.shape) + self.column)
        else:
            column = there.nonzero()[:, 1]
            own = self._finish(self._tokens(pixels[there]) + self.column[column])
            tokens = own.new_zeros(*there.shape, *own.shape[1:])  # (B, K, T, D)
            tokens[there] = own
        mask = there[:, :, None].expand(tokens.shape[:3])
        return tokens.flatten(1, 2), mask.flatten(1)

    def _tokens(self, pixels: Tensor) -> Tensor:
        """(N, C, S, S) to (N, G * G, D)."""
        x = pixels.to(self.mean.dtype)
        if self.pool > 1:
            x = F.avg_pool2d(x, self.pool, ceil_mode=True)
        x = (x - self.mean) / self.std
        if self.training:
            x = self._augment(x)
        # faster on a CPU, where the channels of a pixel lie side by side
        x = self.stem(x.contiguous(memory_format=torch.channels_last))
        x = F.silu(x.permute(2, 3, 0, 1).flatten(0, 1))  # (T, N, W)
        x = x + F.silu(self.hidden(x))
        weight = self.own + self.shared.weight.T  # (T, W, D)
        bias = self.position + self.shared.bias
        return torch.baddbmm(bias[:, None], x, weight).transpose(0, 1)

    def _finish(self, tokens: Tensor) -> Tensor:
        return self.dropout(self.norm(tokens))

    def _augment(self, x: Tensor) -> Tensor:
        """Another view of each picture (N, C, S, S), standardised."""
        n, side = len(x), x.shape[-1]
        if self.move:
            most = max(1, round(MOVED * side))
            padded = F.pad(x, (most,) * 4, mode="replicate")
            top, left = (self.rand((2, n), x) * (2 * most + 1)).long()
            windows = padded.unfold(2, side, 1).unfold(3, side, 1)
            x = windows[torch.arange(n, device=x.device), :, top, left]
        if self.mirror:
            left_right = self.rand((n, 1, 1, 1), x) < 0.5
            x = torch.where(left_right, x.flip(3), x)
        if self.light:
            level = x.mean(dim=(1, 2, 3), keepdim=True)
            contrast, brightness = 2 * self.rand((2, n, 1, 1, 1), x) - 1
            x = (x - level) * (1 + 0.2 * contrast) + (level + 0.1 * brightness)
        return x

    def add_noise(self, inputs: dict[str, Tensor], sd: Tensor) -> dict[str, Tensor]:
        """Grain, in standard deviations of the training pixels.

        Pixels become floats and stay within 0 to 255, as in a photograph taken in the
        dark.

        **Shape**: sd (B,); 0 leaves a row as is.
        """
        x = inputs["pixels"].to(self.mean.dtype)
        rows = (
            (sd > 0).nonzero().squeeze(1)
        )  # few: grain for all costs a tenth of a fit
        clean = x[rows]
        scale = sd[rows].to(x.dtype).view(-1, *[1] * (x.dim() - 1)) * self.std
        noisy = (clean + scale * self.randn(clean.shape, x)).clamp(0, 255)
        return {**inputs, "pixels": x.index_copy(0, rows, noisy)}
