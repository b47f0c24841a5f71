"""The residual network that turns pictures into tokens of patches."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from skfusion.network import Encoder

__all__ = ["ImageEncoder", "patch_side"]

MAX_GRID = 8  # patches along a side, at most: few enough to look at
WIDTHS = (16, 32, 96)  # channels, from fine to coarse: few where places are many
CONTEXT_WIDTH = 128


def patch_side(size: int) -> int:
    """Pixels along a patch of a square of `size` pixels: a power of two."""
    return int(2 ** max(1, math.ceil(math.log2(size / MAX_GRID))))


class ImageEncoder(Encoder):
    """Convolutions from pixels to one token a patch.

    **Shape**: input ``pixels`` (B, C, S, S), uint8 or float on the scale 0 to 255, or
    (B, K, C, S, S) for K columns with their mask ``there`` (B, K); output, tokens
    (B, K * G * G, D), where G patches lie along a side, row by row from the top.

    Group normalisation keeps rows apart, and stays right when corrupted rows, which
    would shift the statistics of a batch, are mixed with clean ones.

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
    augment : bool
        Whether to disturb the pictures in training mode.
    mirror : bool
        Whether that includes left-right flips.
    """

    # Pictures cost most of a fit; digits gained nothing from more passes.
    passes = 25

    def __init__(
        self,
        *,
        size: int,
        mean: NDArray[np.floating],
        std: NDArray[np.floating],
        n_columns: int,
        d_model: int,
        dropout: float,
        augment: bool,
        mirror: bool,
    ) -> None:
        super().__init__()
        self.augment = augment
        self.mirror = mirror
        self.mean: Tensor
        self.std: Tensor
        for name, values in (("mean", mean), ("std", std)):
            constant = torch.tensor(np.asarray(values), dtype=torch.float32)
            self.register_buffer(name, constant.view(-1, 1, 1))
        side = patch_side(size)
        n_halvings = side.bit_length() - 1
        n_patches = math.ceil(size / side) ** 2
        widths = WIDTHS[-n_halvings:]
        widths = (*[widths[0]] * (n_halvings - len(widths)), *widths)
        layers: list[nn.Module] = [nn.Conv2d(len(self.mean), widths[0], 5, 2, 2)]
        for narrow, wide in itertools.pairwise(widths):
            if wide == widths[-1]:
                layers.append(Residual(narrow))
            layers += [_norm(narrow), nn.SiLU(), nn.Conv2d(narrow, wide, 3, 2, 1)]
        layers += [Residual(widths[-1]), _norm(widths[-1]), Context(widths[-1])]
        self.layers = nn.Sequential(*layers)
        self.project = nn.Linear(widths[-1], d_model)
        self.position = nn.Parameter(0.02 * torch.randn(n_patches, d_model))
        self.overview = Overview(n_patches, d_model)
        self.column = nn.Parameter(0.02 * torch.randn(n_columns, 1, d_model))
        self.norm = nn.LayerNorm(d_model)
        self.dropout = nn.Dropout1d(dropout)

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        pixels, there = inputs["pixels"], inputs.get("there")
        if there is None:
            tokens = self._finish(self._tokens(pixels) + self.column[0])
            return tokens, tokens.new_ones(tokens.shape[:2]).bool()
        there = there.bool()
        column = there.nonzero()[:, 1]
        own = self._finish(self._tokens(pixels[there]) + self.column[column])
        tokens = own.new_zeros(*there.shape, *own.shape[1:])  # (B, K, T, D)
        tokens[there] = own
        mask = there[:, :, None].expand(tokens.shape[:3])
        return tokens.flatten(1, 2), mask.flatten(1)

    def _tokens(self, pixels: Tensor) -> Tensor:
        """(N, C, S, S) to (N, G * G, D)."""
        x = (pixels.to(self.mean.dtype) - self.mean) / self.std
        if self.augment and self.training:
            x = disturb(x, mirror=self.mirror)
        # twice as fast on a CPU, where the channels of a pixel lie side by side
        x = self.layers(x.contiguous(memory_format=torch.channels_last))
        h = self.project(x.flatten(2).transpose(1, 2)) + self.position
        return h + self.overview(h)  # (N, G * G, D)

    def _finish(self, tokens: Tensor) -> Tensor:
        # one mask for all patches of a picture: it costs a fiftieth of the draws, and
        # a feature dropped from one patch could be read from its neighbour
        return self.dropout(self.norm(tokens).transpose(1, 2)).transpose(1, 2)

    def add_noise(self, inputs: dict[str, Tensor], sd: Tensor) -> dict[str, Tensor]:
        """Grain, in standard deviations of the training pixels.

        Pixels become floats and stay within 0 to 255, as in a photograph taken in the
        dark.

        **Shape**: sd (B,); 0 leaves a row as is.
        """
        x = inputs["pixels"].to(self.mean.dtype)
        scale = sd.to(x.dtype).view(-1, *[1] * (x.dim() - 1)) * self.std
        x = (x + scale * torch.randn_like(x)).clamp(0, 255)
        return {**inputs, "pixels": x}


class Residual(nn.Module):
    """Depthwise and pointwise convolutions around which the input is carried on.

    **Shape**: (N, W, H, H) to the same.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((width, 1, 1), 0.5))
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, groups=width),
            nn.GroupNorm(1, width),
            nn.Conv2d(width, 2 * width, 1),
            nn.SiLU(),
            nn.Conv2d(2 * width, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.layers(x)


class Context(nn.Module):
    """What each patch forms with its neighbours, seen at half the resolution.

    There are a quarter of the places, so wide channels cost little.

    **Shape**: (N, W, G, G) to the same.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, CONTEXT_WIDTH, 3, 2, 1),
            Residual(CONTEXT_WIDTH),
            _norm(CONTEXT_WIDTH),
            nn.SiLU(),
            nn.Conv2d(CONTEXT_WIDTH, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.layers(x).repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        return x + h[..., : x.shape[2], : x.shape[3]]


class Overview(nn.Module):
    """The picture as a whole, told to each of its patches.

    A digit is known by what lies where, but attention sums over patches, and patches
    that share all weights make a bag of strokes. This map knows their places; it is
    what lets a few thousand digits be learned in a few epochs.

    **Shape**: (N, T, D) to (N, 1, D).
    """

    def __init__(self, n_patches: int, d_model: int, rank: int = 16) -> None:
        super().__init__()
        self.reduce = nn.Linear(d_model, rank)
        self.gather = nn.Linear(n_patches * rank, d_model)

    def forward(self, h: Tensor) -> Tensor:
        return self.gather(F.silu(self.reduce(h).flatten(1)))[:, None]


def _norm(width: int) -> nn.Module:
    return nn.GroupNorm(width // 16, width)


def disturb(x: Tensor, *, mirror: bool) -> Tensor:
    """Another view of each picture: turned, scaled, sheared, moved, mirrored, lit.

    **Shape**: (N, C, S, S) standardised, to the same. One draw a picture, all at once.
    """
    n, dtype, device = len(x), x.dtype, x.device

    def draw(limit: float, *shape: int) -> Tensor:
        return (torch.rand(n, *shape, dtype=dtype, device=device) * 2 - 1) * limit

    angle, scale, shear = draw(0.15), 1 + draw(0.12), draw(0.1)
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    left = torch.where(torch.rand(n, device=device) < 0.5, -1.0, 1.0).to(dtype)
    flip = left if mirror else torch.ones_like(left)
    linear = torch.stack([cosine * flip, shear - sine, sine * flip, cosine], dim=1)
    affine = torch.cat([linear.view(n, 2, 2), draw(0.2, 2, 1)], dim=2)  # 10 % of S
    grid = F.affine_grid(affine, list(x.shape), align_corners=False)
    x = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    level = x.mean(dim=(1, 2, 3), keepdim=True)
    contrast, brightness = 1 + draw(0.2, 1, 1, 1), draw(0.1, 1, 1, 1)
    return (x - level) * contrast + level + brightness
