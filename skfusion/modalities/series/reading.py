"""Reading series: cells become arrays (channels, T), and what describes them."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "READ_ERRORS",
    "describe",
    "fill_gaps",
    "location_and_spread",
    "pool",
    "read",
    "wrong_channels",
]

N_BANDS = 10  # bands of frequency in the statistics
MAX_PAIRS = 32  # correlations between channels in the statistics
READ_ERRORS = (ValueError, TypeError)


def read(cell: Any) -> NDArray[np.float64] | None:
    """Read a cell to (channels, T) with NaN as gaps; None if it holds no number."""
    if isinstance(cell, str | bytes) or np.ndim(cell) == 0:
        raise TypeError(
            f"a single value of type {type(cell).__name__} ({str(cell)[:40]!r}) is no "
            "series. Where each column is one step, pass the frame's values as array."
        )
    if hasattr(cell, "to_numpy"):
        cell = cell.to_numpy()
    array = cell if isinstance(cell, np.ma.MaskedArray) else np.asarray(cell)
    if array.dtype.kind not in "fiubO":
        raise TypeError(f"an array of dtype {array.dtype} holds no real numbers.")
    array = np.ma.filled(np.ma.asarray(array, dtype=np.float64), np.nan)
    if array.ndim > 2:
        raise ValueError(f"an array of shape {array.shape} has too many axes.")
    array = np.atleast_2d(array)
    if np.isinf(array).any():
        channel, step = np.argwhere(np.isinf(array))[0]
        raise ValueError(f"step {step} of channel {channel} is infinite.")
    numbers = np.flatnonzero(~np.isnan(array).all(axis=0))
    return array[:, : numbers[-1] + 1] if len(numbers) else None


def wrong_channels(cell: NDArray[np.float64], n_channels: int) -> ValueError:
    message = f"it has {len(cell)} channel(s), but the column has {n_channels}."
    if cell.shape[1] == n_channels:
        message += " It may need to be transposed to (channels, T)."
    return ValueError(message)


def pool(row: NDArray[np.float64], step: int) -> NDArray[np.float64]:
    """Average every `step` neighbours of (channels, T), gaps aside."""
    if step == 1:
        return row
    x = np.pad(row, ((0, 0), (0, -row.shape[1] % step)), constant_values=np.nan)
    x = x.reshape(len(row), -1, step)
    known = ~np.isnan(x)
    with np.errstate(invalid="ignore"):  # 0 / 0 is a gap
        return np.where(known, x, 0).sum(axis=2) / known.sum(axis=2)


def fill_gaps(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Straight lines across the gaps of each channel, its nearest value at the ends."""
    gaps = np.isnan(x)
    if not gaps.any():
        return x
    x, steps = x.copy(), np.arange(x.shape[1])
    for channel, gap in zip(x, gaps, strict=True):
        if gap.any() and not gap.all():
            channel[gap] = np.interp(steps[gap], steps[~gap], channel[~gap])
    return x


def location_and_spread(values: NDArray[np.float64]) -> tuple[float, float]:
    """Median, and interquartile range as a standard deviation.

    The plain standard deviation keeps the spread from vanishing where more than half
    of the values are equal.
    """
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    largest = float(np.abs(values).max()) or 1.0  # the squares of 1e200 overflow
    deviation = float((values / largest).std()) * largest
    spread = max((high - low) / 1.349, deviation / 4)
    return float(middle), float(spread) if spread > 0 else 1.0


def describe(
    values: NDArray[np.float32],
    length: NDArray[np.int32],
    observed: NDArray[np.float64],
    n_steps: int,
) -> NDArray[np.float64]:
    """Describe the rows of `values`, those of equal length together."""
    groups = {int(n): np.flatnonzero(length == n) for n in np.unique(length)}
    parts: dict[int, NDArray[np.float64]] = {}
    for n, rows in groups.items():
        x = values[rows, :, :n].astype(np.float64)
        each = np.concatenate(
            [_shape_of(x), _spectrum_of(x, n_steps), observed[rows, :, None]], axis=2
        )
        parts[n] = np.concatenate(
            [
                each.reshape(len(rows), -1),
                _correlations(x),
                np.full((len(rows), 1), np.log(n)),
            ],
            axis=1,
        )
    out = np.empty((len(values), next(iter(parts.values())).shape[1]))
    for n, rows in groups.items():
        out[rows] = parts[n]
    return out


def _shape_of(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Level, spread, quantiles, trend and roughness of (n, channels, T)."""
    n = x.shape[2]
    mean, sd = x.mean(axis=2), x.std(axis=2)
    time = np.linspace(-1, 1, n) if n > 1 else np.zeros(1)
    slope = (x * time).sum(axis=2) / max(float((time**2).sum()), 1e-12)
    steps = np.diff(x, axis=2, prepend=x[..., :1])
    centred = x - mean[..., None]
    crossings = (np.diff(centred > 0, axis=2, prepend=False) != 0).mean(axis=2)
    edges = np.linspace(0, n, 5)
    segments = [
        x[..., int(a) : max(int(a) + 1, math.ceil(b))].mean(axis=2)
        for a, b in itertools.pairwise(edges)
    ]
    quantiles = np.quantile(x, [0, 0.1, 0.25, 0.5, 0.75, 0.9, 1], axis=2)
    rough = [np.abs(steps).mean(axis=2), steps.std(axis=2), crossings]
    return np.stack([mean, sd, slope, *rough, *segments, *quantiles], axis=2)


def _spectrum_of(x: NDArray[np.float64], n_steps: int) -> NDArray[np.float64]:
    """Log power in bands of frequency, and the strongest frequency, of (n, C, T)."""
    n_fft = 2 ** math.ceil(math.log2(4 * max(n_steps, x.shape[2], 16)))
    centred = x - x.mean(axis=2, keepdims=True)
    power = np.abs(np.fft.rfft(centred, n_fft, axis=2)) ** 2 / x.shape[2]
    frequency = np.fft.rfftfreq(n_fft)  # cycles a step
    edges = np.geomspace(1 / max(n_steps, 16), 0.5, N_BANDS)[:-1]
    band = np.searchsorted(edges, frequency, side="right")
    bands = [power[..., band == b].mean(axis=2) for b in range(N_BANDS)]
    strongest = frequency[power.argmax(axis=2)]
    return np.stack([*np.log(np.array(bands) + 1e-4), strongest], axis=2)


def _correlations(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlations of the first pairs of channels (n, C, T)."""
    first, second = np.triu_indices(x.shape[1], k=1)
    z = x - x.mean(axis=2, keepdims=True)
    z = z / np.maximum(np.sqrt((z**2).sum(axis=2, keepdims=True)), 1e-9)
    return (z[:, first[:MAX_PAIRS]] * z[:, second[:MAX_PAIRS]]).sum(axis=2)
