"""Series in a few numbers a channel, for models that are not networks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from skfusion.modalities.intervals import interval_terms, quarters

__all__ = ["N_EACH", "describe", "describe_terms", "statistic_names"]

N_BANDS = 10  # bands of frequency in the statistics
MAX_PAIRS = 32  # correlations between channels in the statistics
QUANTILES = [0, 0.1, 0.25, 0.5, 0.75, 0.9, 1]  # over time
#: Statistics of a channel, in their order.
EACH = ["mean", "sd", "slope", "change", "sd_of_changes", "crossings"]
EACH += [f"quarter{i}" for i in range(1, 5)]
EACH += ["min", *(f"q{100 * q:.0f}" for q in QUANTILES[1:-1]), "max"]
EACH += [f"power{i}" for i in range(N_BANDS)] + ["frequency", "observed"]
N_EACH = len(EACH)
SUMS = [0, 2, 6, 7, 8, 9]  # of them: mean, slope, means of the quarters


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


def statistic_names(channels: Sequence[str]) -> list[str]:
    """What the statistics are called, behind the prefixes of their channels."""
    first, second = _pairs(len(channels))
    return [
        *(channel + statistic for channel in channels for statistic in EACH),
        *(f"correlation_{a}_{b}" for a, b in zip(first, second, strict=True)),
        "log_length",
    ]


def describe_terms(
    values: NDArray[np.float32],
    length: NDArray[np.int32],
    coef: NDArray[np.floating],
    center: NDArray[np.floating],
    *,
    mean: NDArray[np.floating],
    sd: NDArray[np.floating],
    clip: float,
    step: int,
) -> NDArray[np.float64]:
    """Split a linear model on standardised statistics among intervals of `step` steps.

    Means and slopes belong to the steps that make them; other statistics, to none.

    Parameters
    ----------
    values : ndarray of shape (n_samples, n_channels, n_steps)
    length : ndarray of shape (n_samples,)
        Steps that are there; 0 where there is no series.
    coef : ndarray of shape (n_statistics, n_outputs)
    center, mean, sd : ndarray of shape (n_statistics,)
    clip : float
        Standard deviations beyond which the statistics were compressed.

    Returns
    -------
    terms : ndarray of shape (n_samples, n_intervals, n_outputs)
    """
    n, n_channels = values.shape[:2]

    def sums(x: NDArray[np.floating]) -> NDArray[np.floating]:
        """Of all statistics, the weighted sums over time: (n_sums, n_channels, ...)."""
        each = x[: n_channels * N_EACH].reshape(n_channels, N_EACH, *x.shape[1:])
        return each.swapaxes(0, 1)[SUMS]

    terms = np.zeros((n, -(-int(length.max(initial=1)) // step), coef.shape[1]))
    for n_steps in np.unique(length[length > 0]).tolist():
        rows = np.flatnonzero(length == n_steps)
        x = values[rows, :, :n_steps].astype(np.float64).transpose(0, 2, 1)
        time = _time(n_steps)
        weights = np.zeros((len(SUMS), n_steps))
        weights[0] = 1 / n_steps
        weights[1] = time / max(float((time**2).sum()), 1e-12)
        for weight, part in zip(weights[2:], quarters(n_steps), strict=True):
            weight[part] = 1 / (part.stop - part.start)
        z = (np.einsum("st,ntc->nsc", weights, x) - sums(mean)) / sums(sd)
        scale = 1 / (np.hypot(1, z / clip) * sums(sd))
        of_rows = interval_terms(
            x,
            weights,
            sums(coef),
            scale=scale,
            constant=scale * sums(mean) + sums(center),
            step=step,
        )
        terms[rows, : of_rows.shape[1]] = of_rows
    return terms


def _time(n_steps: int) -> NDArray[np.float64]:
    return np.linspace(-1, 1, n_steps) if n_steps > 1 else np.zeros(1)


def _shape_of(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Level, spread, quantiles, trend and roughness of (n, channels, T)."""
    n = x.shape[2]
    mean, sd = x.mean(axis=2), x.std(axis=2)
    time = _time(n)
    slope = (x * time).sum(axis=2) / max(float((time**2).sum()), 1e-12)
    steps = np.diff(x, axis=2, prepend=x[..., :1])
    centred = x - mean[..., None]
    crossings = (np.diff(centred > 0, axis=2, prepend=False) != 0).mean(axis=2)
    segments = [x[..., part].mean(axis=2) for part in quarters(n)]
    quantiles = np.quantile(x, QUANTILES, axis=2)
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
    first, second = _pairs(x.shape[1])
    z = x - x.mean(axis=2, keepdims=True)
    z = z / np.maximum(np.sqrt((z**2).sum(axis=2, keepdims=True)), 1e-9)
    return (z[:, first] * z[:, second]).sum(axis=2)


def _pairs(n_channels: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The first pairs of channels."""
    first, second = np.triu_indices(n_channels, k=1)
    return first[:MAX_PAIRS], second[:MAX_PAIRS]
