"""Scales of numeric features, learned in the presence of missing values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["as_float32", "learn_scale", "smooth_clip"]

#: What no scaled value exceeds: networks overflow in float32 long before its end.
LARGEST = 1e6


def learn_scale(
    x: NDArray[Any], *, robust: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What to subtract from each feature, and then to multiply it by.

    Not scikit-learn's `RobustScaler` and `StandardScaler`, since they leave a constant
    as it is, and the former also a column half of whose values are the same.

    Parameters
    ----------
    x : ndarray of shape (n_samples, n_features)
        NaN where missing.
    robust : bool
        Whether to take the median and the interquartile range (in units of what is one
        standard deviation of a normal distribution) rather than mean and standard
        deviation, which also serve where half of the values are the same.

    Returns
    -------
    center, factor : ndarray of shape (n_features,)
        The factor of a constant is 0: whatever else it holds at prediction, it taught
        nothing.
    """
    x = np.where(np.isnan(x).all(axis=0), 0, x)
    if not x.shape[1]:
        return np.zeros(0), np.zeros(0)
    largest = np.nanmax(np.abs(x), axis=0).astype(np.float64)
    size = np.where(largest > 1e100, largest, 1.0)  # their squares would overflow
    x = x / size if (size != 1).any() else x
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        spread = np.nanstd(x, axis=0, dtype=np.float64)
        if robust:
            low, center, high = np.nanquantile(x, [0.25, 0.5, 0.75], axis=0)
            bulk = (high - low) / 1.349
            spread = np.where(bulk > 0, bulk, spread)
        else:
            center = np.nanmean(x, axis=0, dtype=np.float64)
        constant = np.nanmin(x, axis=0) == np.nanmax(x, axis=0)
        factor = np.where(constant, 0, 1 / (spread * size))
    return center * size, np.nan_to_num(factor, posinf=0)


def smooth_clip(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squeeze values smoothly into (-3, 3); those near 0 stay as they are."""
    z = np.clip(z, -LARGEST, LARGEST)  # a square must not overflow
    return z / np.sqrt(1 + (z / 3) ** 2)


def as_float32(z: NDArray[Any]) -> NDArray[np.float32]:
    """Values as a network can read them: 0 where missing, none beyond a million."""
    return np.nan_to_num(np.clip(z, -LARGEST, LARGEST)).astype(np.float32)
