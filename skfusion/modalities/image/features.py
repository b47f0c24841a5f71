"""A picture in a few hundred numbers, for models that are not networks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["picture_features"]

ORIENTATIONS = 9
CHUNK = 256  # pictures at a time, to bound the memory


def picture_features(
    pixels: NDArray[np.uint8], present: NDArray[np.bool_], *, grid: int, thumbnail: int
) -> NDArray[np.float32]:
    """Histograms of oriented gradients, colours, and a thumbnail.

    Parameters
    ----------
    pixels : ndarray of shape (n_samples, C, S, S), uint8
    present : ndarray of shape (n_samples,), bool
        The other rows become zero.
    grid : int
        Cells of the gradient histograms along each side; their blocks are 2 x 2.
    thumbnail : int
        Pixels along each side of the thumbnail.

    Returns
    -------
    features : ndarray of shape (n_samples, n_features), float32
    """
    n, c, s, _ = pixels.shape
    grid, thumbnail = min(grid, s), min(thumbnail, s)
    width = (
        4 * ORIENTATIONS * (grid - 1) ** 2 + (64 if c == 3 else 16) + c * thumbnail**2
    )
    out = np.zeros((n, width + 2 * c), np.float32)
    rows = np.flatnonzero(present)
    for part in np.array_split(rows, len(rows) // CHUNK + 1):
        x = pixels[part]
        if len(x):
            out[part] = np.concatenate(
                [
                    _gradients(x, grid),
                    _colours(x),
                    _pool(x / np.float32(255), thumbnail).reshape(len(x), -1),
                ],
                axis=1,
            )
    return out


def _gradients(x: NDArray[np.uint8], grid: int) -> NDArray[np.float32]:
    """Histograms of oriented gradients, normalised over blocks of 2 x 2 cells.

    Each pixel takes the gradient of the channel where it is steepest, and shares it
    between the two nearest of nine orientations (without sign).
    """
    z = np.pad(x / np.float32(255), ((0, 0), (0, 0), (1, 1), (1, 1)), "edge")
    dx = z[:, :, 1:-1, 2:] - z[:, :, 1:-1, :-2]
    dy = z[:, :, 2:, 1:-1] - z[:, :, :-2, 1:-1]
    steepest = (dx**2 + dy**2).argmax(axis=1)[:, None]
    dx = np.take_along_axis(dx, steepest, axis=1)[:, 0]
    dy = np.take_along_axis(dy, steepest, axis=1)[:, 0]
    size = np.hypot(dx, dy)
    angle = np.arctan2(dy, dx) % np.pi * (ORIENTATIONS / np.pi)
    cells = np.empty((len(x), ORIENTATIONS, grid, grid), np.float32)
    for i in range(ORIENTATIONS):
        gap = np.abs(angle - (i + 0.5))
        gap = np.minimum(gap, ORIENTATIONS - gap)
        cells[:, i] = _pool(size * np.maximum(0, 1 - gap), grid)
    corners = [
        cells[:, :, i : grid - 1 + i, j : grid - 1 + j] for i in (0, 1) for j in (0, 1)
    ]
    blocks = np.concatenate(corners, axis=1)
    blocks = np.minimum(_unit(blocks), 0.2)  # no single edge may outshout the others
    return _unit(blocks).reshape(len(x), -1)


def _unit(blocks: NDArray[np.float32]) -> NDArray[np.float32]:
    return blocks / np.sqrt((blocks**2).sum(axis=1, keepdims=True) + 1e-4)


def _colours(x: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean and deviation of each channel; square root of the histogram of colours."""
    n, c = x.shape[:2]
    flat = x.reshape(n, c, -1)
    code = flat[:, 0] // 16 if c == 1 else (flat // 64 * [[16], [4], [1]]).sum(axis=1)
    n_bins = 16 if c == 1 else 64
    code = code + n_bins * np.arange(n)[:, None]
    counts = np.bincount(code.ravel(), minlength=n * n_bins).reshape(n, n_bins)
    share = np.sqrt(counts / code.shape[1])
    parts = [flat.mean(axis=2) / 255, flat.std(axis=2) / 255, share]
    return np.concatenate(parts, axis=1).astype(np.float32, copy=False)


def _pool(x: NDArray[Any], grid: int) -> NDArray[np.float32]:
    """Means over a grid of nearly equal rectangles of the last two axes."""
    side = x.shape[-1]
    starts = np.arange(grid) * side // grid
    lengths = np.diff(np.append(starts, side))
    sums: NDArray[np.float32] = np.add.reduceat(x, starts, axis=-2)
    sums = np.add.reduceat(sums, starts, axis=-1)
    area: NDArray[np.float32] = np.outer(lengths, lengths).astype(np.float32)
    return sums / area
