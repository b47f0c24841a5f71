"""Series: curves of one or many channels become steps and statistics."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from numbers import Integral
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from skfusion._sklearn import Interval, fit_context
from skfusion.batch import Block
from skfusion.modalities.base import Verdict
from skfusion.modalities.cells import CellModality, Failures
from skfusion.modalities.columns import is_absent
from skfusion.modalities.detection import numeric_cells
from skfusion.modalities.output import prefixes
from skfusion.modalities.series.encoder import SeriesEncoder, n_stages
from skfusion.modalities.series.features import (
    N_EACH,
    describe,
    describe_terms,
    statistic_names,
)
from skfusion.modalities.series.reading import (
    READ_ERRORS,
    fill_gaps,
    location_and_spread,
    pool,
    read,
    wrong_channels,
)
from skfusion.network import Encoder

__all__ = ["SeriesModality"]

CLIP = 10.0  # standard deviations beyond which values are compressed


class SeriesModality(CellModality):
    """Series of numbers, one a cell: sensors, curves, histories.

    Every channel is scaled by its median and spread over the training rows, and
    values far away are compressed smoothly. Its tokens are at most 16 intervals, each
    of which knows its own steps, its two neighbours and its place. Statistics of
    whole series (level, spread, quantiles, trend, frequencies, correlations of
    channels) are the features of base models.

    Parameters
    ----------
    max_length : int, default=2000
        Longest series kept as it is, in steps. Where a series is longer, the averages
        of 2, 3, ... neighbouring steps stand for them, so that at most `max_length`
        remain. The same factor serves all rows whose series are no longer than 95 % of
        the training series, so that they keep one clock.
    augment : bool, default=True
        Whether the encoder augments the series in training: shifts them in time,
        scales them, changes their level, adds noise, hides intervals.
    on_error : {"raise", "absent"}, default="raise"
        What to do with a cell that is there and cannot be read (infinite values, no
        numbers, another number of channels than the rest): raise one error that names
        row and column, or warn once and treat such cells as absent.

    Attributes
    ----------
    n_channels_ : list of int
        Number of channels of each column.
    center_, scale_ : ndarray of shape (sum of n_channels_,)
        Median and spread of each channel over the training rows.
    n_steps_ : int
        Steps of the longest training series, after averaging.
    pooling_ : int
        Number of neighbouring steps that are averaged.
    n_features_in_ : int
        Number of columns.

    Notes
    -----
    Cells may be a list, an array or a Series of numbers (T,), or (channels, T); lengths
    may differ between rows. NaN inside a series is a gap, filled along a straight
    line; NaN at its end is no part of it. A series without any number is absent.
    Several columns are channels of one series, on one clock; give series of different
    clocks a modality each. An array (n_samples, T) or (n_samples, channels, T) may
    stand for a column.

    Examples
    --------
    >>> import numpy as np
    >>> from skfusion.modalities import SeriesModality
    >>> block = SeriesModality().fit_transform([[1, 2, 3], [4, 5, np.nan, 7], None])
    >>> block.arrays["length"], block.present
    (array([3, 4, 1], dtype=int32), array([ True,  True, False]))
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **CellModality._parameter_constraints,
        "max_length": [Interval(Integral, 8, None, closed="left")],
        "augment": ["boolean"],
    }
    short_name = "series"
    has_elements = True
    detection_rank = 40
    _cell_name = "series"
    _cell_formats = "numbers of shape (T,) or (channels, T)"

    def __init__(
        self,
        *,
        max_length: int = 2000,
        augment: bool = True,
        on_error: Literal["raise", "absent"] = "raise",
    ) -> None:
        self.max_length = max_length
        self.augment = augment
        self.on_error = on_error

    @classmethod
    def detect(cls, column: Any) -> Verdict:
        """Lists or arrays of numbers, of one or two dimensions."""
        found = any(c.ndim <= 2 for c in numeric_cells(column))
        return Verdict(found, "lists or arrays of numbers" if found else "")

    @fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X: Any, y: Any = None) -> Block:
        """Fit, and transform the same rows while reading every series only once.

        Parameters
        ----------
        X : DataFrame, Series or array-like of n_samples rows
        y : ignored

        Returns
        -------
        block : Block
        """
        rows = self._rows(*self._columns(X, reset=True), reset=True)
        lengths = [row.shape[1] for row in rows if row is not None] or [1]
        usual = float(np.quantile(lengths, 0.95))
        self.pooling_ = max(1, math.ceil(usual / self.max_length))
        pooled = [
            pool(row, int(self._step(row.shape[1]))) for row in rows if row is not None
        ]
        self.n_steps_ = max((row.shape[1] for row in pooled), default=1)
        n_channels = sum(self.n_channels_)
        self.center_, self.scale_ = np.zeros(n_channels), np.ones(n_channels)
        for c in range(n_channels):
            values = np.concatenate([row[c] for row in pooled] or [[np.nan]])
            values = values[~np.isnan(values)]
            if len(values):
                some = values[:: 1 + len(values) // 1_000_000]
                self.center_[c], self.scale_[c] = location_and_spread(some)
        arrays, present, raw = self._clean(rows)
        seen = raw[present] if present.any() else raw
        spread = seen.std(axis=0)
        self._statistics_mean = seen.mean(axis=0)
        self._statistics_sd = np.where(spread > 1e-6, spread, 1.0)
        return self._block(arrays, present, raw)

    def transform(self, X: Any) -> Block:
        """Clean, scale and pad the series.

        Parameters
        ----------
        X : DataFrame, Series or array-like of n_samples rows
            The columns that were fitted.

        Returns
        -------
        block : Block
            Arrays: ``values`` (n_samples, n_channels, n_steps) float32, zero where the
            series has ended; ``length`` (n_samples,) int32, steps in ``values``;
            ``n_raw`` (n_samples,) int32, steps of the series as it was given;
            ``statistics`` (n_samples, n_statistics) float32, standardised.
        """
        check_is_fitted(self)
        rows = self._rows(*self._columns(X, reset=False), reset=False)
        return self._block(*self._clean(rows))

    def _rows(
        self,
        names: list[str],
        columns: list[NDArray[np.object_]],
        labels: Sequence[Any],
        *,
        reset: bool,
    ) -> list[NDArray[np.float64] | None]:
        """Read the cells and join the columns of each row to (n_channels, T)."""
        failures: Failures = []
        parsed: list[list[NDArray[np.float64] | None]] = []
        for name, column in zip(names, columns, strict=True):
            parsed.append([])
            for label, cell in zip(labels, column, strict=True):
                try:
                    parsed[-1].append(None if is_absent(cell) else read(cell))
                except READ_ERRORS as error:
                    parsed[-1].append(None)
                    failures.append((label, name, error))
        if reset:
            counts = [
                Counter(len(c) for c in cells if c is not None) for cells in parsed
            ]
            self.n_channels_ = [
                max(count, key=lambda c: (count[c], c), default=1) for count in counts
            ]
        for name, cells, n_channels in zip(
            names, parsed, self.n_channels_, strict=True
        ):
            for i, cell in enumerate(cells):
                if cell is not None and len(cell) != n_channels:
                    failures.append((labels[i], name, wrong_channels(cell, n_channels)))
                    cells[i] = None
        self._unreadable(failures)
        return [self._join(row) for row in zip(*parsed, strict=True)]

    def _join(
        self, cells: tuple[NDArray[np.float64] | None, ...]
    ) -> NDArray[np.float64] | None:
        longest = max((c.shape[1] for c in cells if c is not None), default=0)
        if not longest:
            return None
        parts = [np.full((n, longest), np.nan) for n in self.n_channels_]
        for part, cell in zip(parts, cells, strict=True):
            if cell is not None:
                part[:, : cell.shape[1]] = cell
        return np.concatenate(parts)

    def _step(self, n_raw: Any) -> Any:
        """Steps averaged into one, of series with `n_raw` steps (number or array)."""
        return np.maximum(self.pooling_, -(-n_raw // self.max_length))

    def _clean(
        self, rows: list[NDArray[np.float64] | None]
    ) -> tuple[dict[str, NDArray[Any]], NDArray[np.bool_], NDArray[np.float64]]:
        """Arrays of the block, presence, and statistics not yet standardised."""
        present = np.array([row is not None for row in rows])
        n_raw = np.array([1 if row is None else row.shape[1] for row in rows], np.int32)
        length = -(-n_raw // self._step(n_raw)).astype(np.int32)
        n_channels, n_steps = len(self.center_), max(self.n_steps_, int(length.max()))
        values = np.zeros((len(rows), n_channels, n_steps), np.float32)
        observed = np.zeros((len(rows), n_channels))
        for i, row in enumerate(rows):
            if row is None:
                continue
            x = pool(row, int(self._step(n_raw[i])))
            observed[i] = 1 - np.isnan(x).mean(axis=1)
            z = (fill_gaps(x) - self.center_[:, None]) / self.scale_[:, None]
            z = z / np.hypot(1, z / CLIP)
            # A channel without any number says nothing: the median stands for it.
            values[i, :, : length[i]] = np.nan_to_num(z)
        raw = describe(values, length, observed, self.n_steps_)
        return {"values": values, "length": length, "n_raw": n_raw}, present, raw

    def _block(
        self,
        arrays: dict[str, NDArray[Any]],
        present: NDArray[np.bool_],
        raw: NDArray[np.float64],
    ) -> Block:
        statistics = self._standardise(raw, present)
        return Block({**arrays, "statistics": statistics}, present)

    def _standardise(
        self, raw: NDArray[np.float64], present: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        z = (raw - self._statistics_mean) / self._statistics_sd
        z = z / np.hypot(1, z / CLIP)
        return np.where(present[:, None], z, 0).astype(np.float32)

    def build_encoder(self, d_model: int, dropout: float) -> Encoder:
        """Make the network that turns series into tokens of intervals."""
        return SeriesEncoder(
            n_channels=len(self.center_),
            n_steps=self.n_steps_,
            d_model=d_model,
            dropout=dropout,
            augment=self.augment,
        )

    def features(self, block: Block) -> NDArray[np.float32]:
        """Statistics of every channel, standardised.

        Mean, spread, quantiles, trend, roughness, power in bands of frequency, means
        of four segments, share of steps observed; correlations between channels;
        logarithm of the length.

        Returns
        -------
        features : ndarray of shape (n_samples, n_statistics), float32
        """
        return np.where(block.present[:, None], block.arrays["statistics"], 0)

    def _feature_names(self, columns: list[str]) -> list[str]:
        """Statistics of the channels, "mean", or "channel0_mean" where several."""
        channels = [
            prefix + (f"channel{k}_" if n > 1 else "")
            for prefix, n in zip(prefixes(columns), self.n_channels_, strict=True)
            for k in range(n)
        ]
        return statistic_names(channels)

    def linear_terms(
        self, block: Block, coef: NDArray[Any], center: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Split the terms of a linear model among the intervals.

        Means, over the series and over its quarters, and slopes belong to the steps
        that make them; other statistics belong to none.
        """
        return describe_terms(
            block.arrays["values"],
            np.where(block.present, block.arrays["length"], 0),
            coef,
            center,
            mean=self._statistics_mean,
            sd=self._statistics_sd,
            clip=CLIP,
            step=2 ** n_stages(self.n_steps_),
        )

    def elements(self, block: Block, values: NDArray[Any]) -> list[pd.Series]:
        """Name the tokens of each row by their interval of time.

        Returns
        -------
        elements : list of n_samples Series
            Values indexed by ``(start, end)`` in steps of the series as it was given;
            `end` is excluded.
        """
        stride = 2 ** n_stages(self.n_steps_)
        elements = []
        for i, here in enumerate(block.present):
            n_raw, length = (int(block.arrays[k][i]) for k in ("n_raw", "length"))
            width = stride * int(self._step(n_raw))
            names = [
                (t * width, min((t + 1) * width, n_raw))
                for t in range(math.ceil(length / stride) if here else 0)
            ]
            index = pd.Index(names, dtype=object, tupleize_cols=False)
            elements.append(
                pd.Series(values[i, : len(names)], index=index, dtype=float)
            )
        return elements

    def hide(
        self, block: Block, hidden: NDArray[np.bool_], names: Sequence[pd.Index]
    ) -> Block:
        """Give steps the median of their channel, and describe the series again."""
        values = block.arrays["values"].copy()
        for i, k in zip(*np.nonzero(hidden), strict=True):
            n_raw, length = (int(block.arrays[key][i]) for key in ("n_raw", "length"))
            step = -(-n_raw // length)
            start, end = names[i][k]
            values[i, :, start // step : -(-end // step)] = 0
        changed = hidden.any(axis=1) & block.present
        statistics = block.arrays["statistics"].copy()
        if changed.any():
            statistics[changed] = self._described_again(block[changed], values[changed])
        arrays = {**block.arrays, "values": values, "statistics": statistics}
        return Block(arrays, block.present, block.cells)

    def _described_again(
        self, block: Block, values: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Statistics of other values; how much was observed stays as it was."""
        observed = np.zeros(values.shape[:2])
        raw = describe(values, block.arrays["length"], observed, self.n_steps_)
        statistics = self._standardise(raw, block.present)
        same = np.arange(1, values.shape[1] + 1) * N_EACH - 1
        statistics[:, same] = block.arrays["statistics"][:, same]
        return statistics
