"""A picture in a few hundred numbers, for models that are not networks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["picture_feature_names", "picture_features", "picture_terms"]

ORIENTATIONS = 9
CHUNK = 32  # pictures at a time, so that they stay in the cache


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
    width = len(picture_feature_names(c, s, grid=grid, thumbnail=thumbnail))
    out = np.zeros((n, width), np.float32)
    grid, thumbnail = min(grid, s), min(thumbnail, s)
    rows = np.flatnonzero(present)
    for part in np.array_split(rows, len(rows) // CHUNK + 1):
        x = pixels[part]
        if len(x):
            scaled = (x / np.float32(255)).astype(np.float32, copy=False)
            small = _pool(scaled, thumbnail).reshape(len(x), -1)
            parts = [_gradients(scaled, grid), _colours(x, scaled), small]
            out[part] = np.concatenate(parts, axis=1)
    return out


def picture_feature_names(c: int, s: int, *, grid: int, thumbnail: int) -> list[str]:
    """What the features of pictures (C, S, S) are called."""
    grid, thumbnail = min(grid, s), min(thumbnail, s)
    channels = ["red", "green", "blue"] if c == 3 else ["grey"]
    n_gradients = 4 * ORIENTATIONS * (grid - 1) ** 2
    return [
        *(f"gradient{i}" for i in range(n_gradients)),
        *(f"{what}_{channel}" for what in ("mean", "sd") for channel in channels),
        *(f"colour{i}" for i in range(64 if c == 3 else 16)),
        *(
            f"thumbnail_{channel}_{row}_{column}"
            for channel in channels
            for row, column in np.ndindex(thumbnail, thumbnail)
        ),
    ]


def picture_terms(
    pixels: NDArray[np.uint8],
    features: NDArray[np.float32],
    coef: NDArray[np.floating],
    center: NDArray[np.floating],
    *,
    grid: int,
    thumbnail: int,
    edges: NDArray[np.integer],
) -> NDArray[np.float64]:
    """Split a linear model on `picture_features` among patches.

    Blocks of gradients belong to the patches that they overlap, by area; the means of
    channels and the thumbnail, to the pixels that they average; other features of
    colour, to none.

    Parameters
    ----------
    pixels, grid, thumbnail
        As in `picture_features`.
    features : ndarray of shape (n_samples, n_features)
        What it made of them.
    coef : ndarray of shape (n_features, n_outputs)
    center : ndarray of shape (n_features,)
    edges : ndarray of shape (n_patches_a_side + 1,)
        Where patches begin along a side, and where the last one ends, in pixels.

    Returns
    -------
    terms : ndarray of shape (n_samples, n_patches, n_outputs)
    """
    n, c, side, _ = pixels.shape
    grid, thumbnail = min(grid, side), min(thumbnail, side)
    n_gradients = 4 * ORIENTATIONS * (grid - 1) ** 2
    terms = _gradient_terms(
        features[:, :n_gradients].astype(np.float64) - center[:n_gradients],
        coef[:n_gradients],
        np.append(_starts(side, grid), side),
        edges,
    )
    means, small = slice(n_gradients, n_gradients + c), c * thumbnail**2
    terms += _pixel_terms(
        pixels,
        [
            (coef[means].reshape(c, 1, 1, -1), center[means].reshape(c, 1, 1)),
            (
                coef[-small:].reshape(c, thumbnail, thumbnail, -1),
                center[-small:].reshape(c, thumbnail, thumbnail),
            ),
        ],
        edges,
    )
    return terms.reshape(n, -1, coef.shape[1])


def _gradient_terms(
    gap: NDArray[np.float64],
    coef: NDArray[np.floating],
    starts: NDArray[np.integer],
    edges: NDArray[np.integer],
) -> NDArray[np.float64]:
    """Terms of gradient blocks, whose cells begin at `starts`, by the area they share.

    **Shape**: gap (n, n_features), the features less their centre; to (n, G, G,
    n_outputs).
    """
    side = len(starts) - 2  # blocks; each has two cells along a side
    by_block = np.einsum(
        "nkl,klo->nlo",
        gap.reshape(len(gap), -1, side**2),
        coef.reshape(-1, side**2, coef.shape[1]),
    ).reshape(len(gap), side, side, -1)
    first = np.maximum(starts[:-2, None], edges[:-1])
    last = np.minimum(starts[2:, None], edges[1:])
    share = np.maximum(last - first, 0) / (starts[2:] - starts[:-2])[:, None]
    return np.einsum("nijo,ip,jq->npqo", by_block, share, share, optimize=True)


def _pixel_terms(
    pixels: NDArray[np.uint8],
    models: list[tuple[NDArray[np.floating], NDArray[np.floating]]],
    edges: NDArray[np.integer],
) -> NDArray[np.float64]:
    """Terms of means of pixels: each patch adds what its own pixels add.

    Parameters
    ----------
    pixels : ndarray of shape (n, c, S, S)
    models : list of (coef, center)
        Of means over a grid of g x g rectangles: (c, g, g, n_outputs), (c, g, g).
    edges : ndarray of shape (G + 1,)

    Returns
    -------
    terms : ndarray of shape (n, G, G, n_outputs)
    """
    side = pixels.shape[-1]
    grids = [_starts(side, coef.shape[1]) for coef, _ in models]
    # pieces that lie in one patch, and in one rectangle of each grid
    cuts = np.unique(np.concatenate([edges[:-1], *grids]))
    sums = np.add.reduceat(pixels / 255.0, cuts, axis=-2)
    sums = np.add.reduceat(sums, cuts, axis=-1)  # (n, c, u, u)
    lengths = np.diff(np.append(cuts, side))
    area = np.outer(lengths, lengths)
    pieces: NDArray[np.float64] = np.zeros(1)
    for starts, (coef, center) in zip(grids, models, strict=True):
        where = np.searchsorted(starts, cuts, side="right") - 1
        size = np.diff(np.append(starts, side))[where]
        of = np.ix_(np.arange(len(coef)), where, where)
        gap = (sums - area * center[of]) / np.outer(size, size)
        pieces = pieces + np.einsum("ncuv,cuvo->nuvo", gap, coef[of])
    patch = np.searchsorted(edges, cuts, side="right") - 1
    own = (patch[:, None] == np.arange(len(edges) - 1)).astype(float)
    return np.einsum("nuvo,up,vq->npqo", pieces, own, own, optimize=True)


def _gradients(x: NDArray[np.float32], grid: int) -> NDArray[np.float32]:
    """Histograms of oriented gradients, normalised over blocks of 2 x 2 cells.

    Each pixel takes the gradient of the channel where it is steepest, and shares it
    between the two nearest of nine orientations (without sign).
    """
    n, side = len(x), x.shape[-1]
    wide = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), "edge")
    dx = wide[:, :, 1:-1, 2:] - wide[:, :, 1:-1, :-2]
    dy = wide[:, :, 2:, 1:-1] - wide[:, :, :-2, 1:-1]
    power = dx**2 + dy**2
    across, down, steepest = dx[:, 0], dy[:, 0], power[:, 0]
    for channel in range(1, x.shape[1]):
        steeper = power[:, channel] > steepest
        across = np.where(steeper, dx[:, channel], across)
        down = np.where(steeper, dy[:, channel], down)
        steepest = np.where(steeper, power[:, channel], steepest)
    size = np.sqrt(steepest)
    angle = np.arctan2(down, across) * np.float32(ORIENTATIONS / np.pi)
    angle += np.float32(ORIENTATIONS - 0.5)  # 0 is the middle of the first; not below 0
    low = np.floor(angle)
    share = angle - low
    low = low.astype(np.intp)
    lengths = np.diff(np.append(_starts(side, grid), side))
    cell = np.repeat(np.arange(grid), lengths)
    place = np.arange(n)[:, None, None] * grid**2 + cell[:, None] * grid + cell
    bins = n * grid**2 * ORIENTATIONS
    cells = np.zeros(bins)
    for orientation, part in ((low, 1 - share), (low + 1, share)):
        index = place * ORIENTATIONS + orientation % ORIENTATIONS
        cells += np.bincount(index.ravel(), (size * part).ravel(), bins)
    area = np.outer(lengths, lengths)[:, :, None]
    cells = (cells.reshape(n, grid, grid, ORIENTATIONS) / area).astype(np.float32)
    cells = cells.transpose(0, 3, 1, 2)
    corners = [
        cells[:, :, i : grid - 1 + i, j : grid - 1 + j] for i in (0, 1) for j in (0, 1)
    ]
    blocks = np.concatenate(corners, axis=1)
    blocks = np.minimum(_unit(blocks), 0.2)  # no single edge may outshout the others
    return _unit(blocks).reshape(n, -1)


def _unit(blocks: NDArray[np.float32]) -> NDArray[np.float32]:
    return blocks / np.sqrt((blocks**2).sum(axis=1, keepdims=True) + 1e-4)


def _colours(x: NDArray[np.uint8], scaled: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean and deviation of each channel; square root of the histogram of colours."""
    n, c = x.shape[:2]
    if c == 1:
        code, n_bins = x[:, 0] >> 4, 16
    else:
        code, n_bins = (x[:, 0] >> 6 << 4) | (x[:, 1] >> 6 << 2) | (x[:, 2] >> 6), 64
    index = code.reshape(n, -1) + n_bins * np.arange(n)[:, None]
    counts = np.bincount(index.ravel(), minlength=n * n_bins).reshape(n, n_bins)
    share = np.sqrt(counts / index.shape[1])
    flat = scaled.reshape(n, c, -1)
    parts = [flat.mean(axis=2), flat.std(axis=2), share]
    return np.concatenate(parts, axis=1).astype(np.float32, copy=False)


def _pool(x: NDArray[Any], grid: int) -> NDArray[np.float32]:
    """Means over a grid of nearly equal rectangles of the last two axes."""
    starts = _starts(x.shape[-1], grid)
    lengths = np.diff(np.append(starts, x.shape[-1]))
    sums: NDArray[np.float32] = np.add.reduceat(x, starts, axis=-2)
    sums = np.add.reduceat(sums, starts, axis=-1)
    area: NDArray[np.float32] = np.outer(lengths, lengths).astype(np.float32)
    return sums / area


def _starts(side: int, grid: int) -> NDArray[np.intp]:
    """Where the nearly equal parts of a side begin."""
    return np.arange(grid) * side // grid
