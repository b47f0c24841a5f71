"""Sounds in a few hundred numbers, for models that are not networks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from skfusion.modalities.audio.reading import HOP, RANGE, STEP
from skfusion.modalities.intervals import interval_terms, quarters

__all__ = ["band_statistics", "sound_feature_names", "sound_features", "sound_terms"]

QUANTILES = (0.1, 0.5, 0.9)  # quantiles over time
#: Statistics of a band: the first is all that is left beside an embedding.
STATISTICS = ["mean", "sd", "change", *(f"q{100 * q:.0f}" for q in QUANTILES)]
STATISTICS += [f"quarter{i}" for i in range(1, 5)]
MEANS = [0, 6, 7, 8, 9]  # of ten statistics of a band: mean, means of the quarters
CHUNK = 2**18  # frames at a time, to bound the memory


def band_statistics(
    codes: Iterable[NDArray[np.uint8]], n_mels: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation (n_mels,) of each band over all frames, in dB."""
    counts = np.zeros((n_mels, 256), np.int64)
    for frames in codes:
        at = frames + 256 * np.arange(n_mels)
        counts += np.bincount(at.ravel(), minlength=counts.size).reshape(-1, 256)
    total = counts.sum(axis=1)
    levels = np.arange(256)
    mean = counts @ levels / np.maximum(total, 1)
    square = (counts * (levels - mean[:, None]) ** 2).sum(axis=1)
    sd = np.where(total, np.sqrt(square / np.maximum(total, 1)), 1.0)
    return mean * STEP - RANGE, np.maximum(sd * STEP, 1.0)


def sound_features(
    codes: NDArray[np.object_],
    length: NDArray[np.integer],
    mean: NDArray[np.floating],
    sd: NDArray[np.floating],
    *,
    brief: bool = False,
) -> NDArray[np.float32]:
    """Statistics of the bands over time, the level, and the logarithm of the duration.

    The level is the mean of all, and what the rest is relative to: sounds come relative
    to their loudest value, which would let every frame know how loud that was.

    Parameters
    ----------
    codes : ndarray of shape (n_samples,) of arrays (n_frames, n_mels), uint8
    length : ndarray of shape (n_samples,)
        Frames that are there; rows without any become zero.
    mean, sd : ndarray of shape (n_mels,)
        Of each band over the training frames, in codes.
    brief : bool
        Whether the mean of each band over time is all that is taken of it: beside an
        embedding, the rest tells speakers rather than words.

    Returns
    -------
    features : ndarray of shape (n_samples, 10 * n_mels + 2), float32
        If `brief`, of shape (n_samples, n_mels + 2).
    """
    width = len(sound_feature_names(len(mean), brief=brief))
    out = np.zeros((len(codes), width), np.float32)
    for n_frames, rows in _equally_long(length):
        frames = np.ascontiguousarray(np.stack(codes[rows].tolist()).transpose(0, 2, 1))
        x = frames.astype(np.float32)  # (n, n_mels, n_frames)
        average = (x.mean(axis=2) - mean) / sd
        level = average.mean(axis=1, keepdims=True)
        duration = np.full_like(level, np.log(n_frames * HOP))
        statistics = [average - level]
        if not brief:
            change = np.abs(np.diff(x, axis=2)).sum(axis=2) / n_frames
            ordered = np.sort(frames, axis=2)
            heights = [_quantile(ordered, q) for q in QUANTILES]
            heights += [x[..., part].mean(axis=2) for part in quarters(n_frames)]
            statistics += [x.std(axis=2) / sd, change / sd]
            statistics += [(height - mean) / sd - level for height in heights]
        out[rows] = np.concatenate([*statistics, level, duration], axis=1)
    return out


def sound_feature_names(n_mels: int, *, brief: bool = False) -> list[str]:
    """What `sound_features` are called; bands count from the lowest."""
    kept = STATISTICS[:1] if brief else STATISTICS
    names = [f"mel{band}_{statistic}" for statistic in kept for band in range(n_mels)]
    return [*names, "level", "log_duration"]


def sound_terms(
    codes: NDArray[np.object_],
    length: NDArray[np.integer],
    mean: NDArray[np.floating],
    sd: NDArray[np.floating],
    *,
    coef: NDArray[np.floating],
    center: NDArray[np.floating],
    step: int,
) -> NDArray[np.float64]:
    """Split a linear model on `sound_features` among intervals of `step` frames.

    Means belong to the frames that they average; other statistics, to none.

    Returns
    -------
    terms : ndarray of shape (n_samples, n_intervals, n_outputs)
    """
    n, n_mels = len(codes), len(mean)
    n_intervals = -(-int(length.max(initial=1)) // step)
    terms = np.zeros((n, n_intervals, coef.shape[1]))
    means = MEANS if len(coef) > n_mels + 2 else MEANS[:1]  # of `brief` features, one
    own = coef[:-2].reshape(-1, n_mels, coef.shape[1])[means]
    constant = center[:-2].reshape(-1, n_mels)[means]
    for n_frames, rows in _equally_long(length):
        weights = np.zeros((len(means), n_frames))
        weights[0] = 1 / n_frames
        for weight, part in zip(weights[1:], quarters(n_frames), strict=False):
            weight[part] = 1 / (part.stop - part.start)
        x = (np.stack(codes[rows].tolist()) - mean) / sd
        x -= x.mean(axis=(1, 2), keepdims=True)  # the level
        of_rows = interval_terms(
            x, weights, own, scale=np.ones(()), constant=constant, step=step
        )
        terms[rows, : of_rows.shape[1]] = of_rows
    return terms


def _equally_long(
    length: NDArray[np.integer],
) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Rows of equal length, a number of frames and a few rows at a time."""
    for n_frames in np.unique(length[length > 0]).tolist():
        rows = np.flatnonzero(length == n_frames)
        for part in np.array_split(rows, len(rows) * n_frames // CHUNK + 1):
            yield n_frames, part


def _quantile(ordered: NDArray[np.uint8], q: float) -> NDArray[np.float64]:
    """As `np.quantile` of the last axis, which is in order already."""
    place = q * (ordered.shape[-1] - 1)
    low = int(place)
    high = min(low + 1, ordered.shape[-1] - 1)
    share = place - low
    return ordered[..., low] * (1 - share) + ordered[..., high] * share
