"""Reading series: cells become arrays (channels, T)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skfusion._validation import shorten
from skfusion.modalities.columns import CELL_ERRORS, holds_complex

__all__ = [
    "READ_ERRORS",
    "fill_gaps",
    "location_and_spread",
    "pool",
    "read",
    "wrong_channels",
]

READ_ERRORS = CELL_ERRORS
LARGEST = 1e300  # of which sums are finite


def read(cell: Any) -> NDArray[np.float64] | None:
    """Read a cell to (channels, T) with NaN as gaps; None if it holds no number."""
    if isinstance(cell, str | bytes) or np.ndim(cell) == 0:
        raise TypeError(
            f"a single value of type {type(cell).__name__} ({shorten(cell, 40)}) is no "
            "series. Where each column is one step, pass the frame's values as array."
        )
    if hasattr(cell, "to_numpy"):
        cell = cell.to_numpy()
    array = cell if isinstance(cell, np.ma.MaskedArray) else np.asarray(cell)
    if array.dtype.kind not in "fiubO" or holds_complex(array):
        raise TypeError(f"an array of dtype {array.dtype} holds no real numbers.")
    array = np.ma.filled(np.ma.asarray(array, dtype=np.float64), np.nan)
    if array.ndim > 2:
        raise ValueError(f"an array of shape {array.shape} has too many axes.")
    array = np.atleast_2d(array)
    if np.isinf(array).any():
        channel, step = np.argwhere(np.isinf(array))[0]
        raise ValueError(f"step {step} of channel {channel} is infinite.")
    if (np.abs(array) > LARGEST).any():
        channel, step = np.argwhere(np.abs(array) > LARGEST)[0]
        raise ValueError(
            f"step {step} of channel {channel} is {array[channel, step]:g}; at most "
            f"{LARGEST:g} is read."
        )
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
