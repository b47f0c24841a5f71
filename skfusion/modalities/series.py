"""Series: curves of one or many channels become steps and statistics."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from numbers import Integral
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from skfusion._sklearn import Interval, fit_context
from skfusion.batch import Block
from skfusion.modalities.base import CellModality, is_absent
from skfusion.network import Encoder

__all__ = ["SeriesModality"]

CLIP = 10.0  # standard deviations beyond which values are compressed
N_BANDS = 10  # bands of frequency in the statistics
MAX_PAIRS = 32  # correlations between channels in the statistics
WIDTH = 64  # channels inside the encoder
N_TOKENS = 16  # intervals of the longest training series, at most
READ_ERRORS = (ValueError, TypeError)


class SeriesModality(CellModality):
    """Series of numbers, one a cell: sensors, curves, histories.

    Every channel is scaled by its median and spread over the training rows, and
    values far away are compressed smoothly. Beside the steps themselves, the encoder
    reads statistics of every channel (level, spread, quantiles, trend, frequencies) and
    of pairs of channels, as one more token.

    Parameters
    ----------
    max_length : int, default=2000
        Longest series kept as it is, in steps. Where a series is longer, the averages
        of 2, 3, ... neighbouring steps stand for them, so that at most `max_length`
        remain. The same factor serves all rows whose series are no longer than 95 % of
        the training series, so that they keep one clock.
    augment : bool, default=True
        Whether the encoder disturbs the series in training: stretches and shifts them
        in time, scales them, adds noise, hides intervals.
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
    _cell_name = "series"
    _cell_formats = "numbers of shape (T,) or (channels, T)."

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

    def fit(self, X: Any, y: Any = None) -> SeriesModality:
        """Learn channels, scales and lengths from the training series.

        Parameters
        ----------
        X : DataFrame, Series or array-like of n_samples rows
            One series a cell.
        y : ignored

        Returns
        -------
        self : SeriesModality

        Raises
        ------
        ValueError
            If a cell cannot be read and ``on_error="raise"``.
        """
        self.fit_transform(X)
        return self

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
            _pool(row, int(self._step(row.shape[1]))) for row in rows if row is not None
        ]
        self.n_steps_ = max((row.shape[1] for row in pooled), default=1)
        n_channels = sum(self.n_channels_)
        self.center_, self.scale_ = np.zeros(n_channels), np.ones(n_channels)
        for c in range(n_channels):
            values = np.concatenate([row[c] for row in pooled] or [[np.nan]])
            values = values[~np.isnan(values)]
            if len(values):
                some = values[:: 1 + len(values) // 1_000_000]
                self.center_[c], self.scale_[c] = _location_and_spread(some)
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
        failures: list[tuple[Any, str, Exception]] = []
        parsed: list[list[NDArray[np.float64] | None]] = []
        for name, column in zip(names, columns, strict=True):
            parsed.append([])
            for label, cell in zip(labels, column, strict=True):
                try:
                    parsed[-1].append(None if is_absent(cell) else _read(cell))
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
                    failures.append(
                        (labels[i], name, _wrong_channels(cell, n_channels))
                    )
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
            x = _pool(row, int(self._step(n_raw[i])))
            observed[i] = 1 - np.isnan(x).mean(axis=1)
            z = (_fill_gaps(x) - self.center_[:, None]) / self.scale_[:, None]
            z = z / np.hypot(1, z / CLIP)
            # A channel without any number says nothing: the median stands for it.
            values[i, :, : length[i]] = np.nan_to_num(z)
        raw = _statistics(values, length, observed, self.n_steps_)
        return {"values": values, "length": length, "n_raw": n_raw}, present, raw

    def _block(
        self,
        arrays: dict[str, NDArray[Any]],
        present: NDArray[np.bool_],
        raw: NDArray[np.float64],
    ) -> Block:
        z = (raw - self._statistics_mean) / self._statistics_sd
        z = z / np.hypot(1, z / CLIP)
        statistics = np.where(present[:, None], z, 0).astype(np.float32)
        return Block({**arrays, "statistics": statistics}, present)

    def build_encoder(self, d_model: int, dropout: float) -> Encoder:
        """Make the convolutions over time, with the statistics as the first token."""
        return SeriesEncoder(
            n_channels=len(self.center_),
            n_steps=self.n_steps_,
            n_statistics=len(self._statistics_mean),
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

    def elements(self, block: Block, weights: NDArray[Any]) -> list[pd.Series]:
        """Name the tokens of each row by their interval of time.

        Returns
        -------
        elements : list of n_samples Series
            Weights indexed by "statistics" and by ``(start, end)`` in steps of the
            series as it was given; `end` is excluded.
        """
        stride = 2 ** _n_stages(self.n_steps_)
        elements = []
        for i, here in enumerate(block.present):
            n_raw, length = (int(block.arrays[k][i]) for k in ("n_raw", "length"))
            width = stride * int(self._step(n_raw))
            names: list[Any] = ["statistics"] if here else []
            for t in range(math.ceil(length / stride) if here else 0):
                names.append((t * width, min((t + 1) * width, n_raw)))
            index = pd.Index(names, dtype=object, tupleize_cols=False)
            elements.append(
                pd.Series(weights[i, : len(names)], index=index, dtype=float)
            )
        return elements


class SeriesEncoder(Encoder):
    """Convolutions of several widths over time; the statistics are the first token.

    Padding is set to zero before every convolution and each step is normalised by
    itself, so a row's tokens depend neither on its padding nor on other rows.

    **Shape**: ``values`` (B, channels, steps), ``length`` (B,) and ``statistics``
    (B, n_statistics) to tokens (B, T, D), T = 1 + ceil(steps / stride), and their mask.
    """

    def __init__(
        self,
        *,
        n_channels: int,
        n_steps: int,
        n_statistics: int,
        d_model: int,
        dropout: float,
        augment: bool,
    ) -> None:
        super().__init__()
        self.augment = augment
        n_stages = _n_stages(n_steps)
        self.stem_stride = 2 ** max(0, n_stages - 2)
        # Odd widths, and wide enough to see every step whatever the stride.
        widths = [k * self.stem_stride // 2 * 2 + 1 for k in (3, 9)]
        self.stem = nn.ModuleList(
            [
                nn.Conv1d(2 * n_channels, WIDTH // 2, k, self.stem_stride, k // 2)
                for k in widths
            ]
        )
        self.strides = [2 if i < n_stages else 1 for i in range(2)]
        self.stem_norm = nn.LayerNorm(WIDTH)
        self.lines = nn.ModuleList([nn.Linear(3 * WIDTH, WIDTH) for _ in self.strides])
        self.line_norms = nn.ModuleList([nn.LayerNorm(WIDTH) for _ in self.strides])
        self.out = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(WIDTH, d_model),
            nn.LayerNorm(d_model),
            nn.ReLU(),
            nn.Dropout(dropout),
        )
        self.describe = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(n_statistics, d_model),
            nn.LayerNorm(d_model),
            nn.ReLU(),
            nn.Dropout(dropout),
        )

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        dtype = self.stem_norm.weight.dtype
        length = inputs["length"].long().clamp_min(1)
        x = inputs["values"].to(dtype)[..., : int(length.max())]  # (B, C, T)
        if self.training and self.augment:
            x, length = _augment(x, length)
        x = _with_own_scale(x * _mask(length, x.shape[2])[:, None], length)
        x = torch.cat([conv(x) for conv in self.stem], dim=1).transpose(1, 2)
        length = -(-length // self.stem_stride)
        x = self.stem_norm(x).relu() * _mask(length, x.shape[1])[..., None]
        for stride, linear, norm in zip(
            self.strides, self.lines, self.line_norms, strict=True
        ):
            windows = F.pad(x, (0, 0, 1, 1)).unfold(1, 3, stride).flatten(2)
            length = -(-length // stride)
            h = norm(linear(windows)).relu()
            x = h * _mask(length, h.shape[1])[..., None]
        statistics = self.describe(inputs["statistics"].to(dtype))[:, None]
        tokens = torch.cat([statistics, self.out(x)], dim=1)
        mask = _mask(length + 1, tokens.shape[1])
        if self.training and self.augment:
            mask = _hide_intervals(mask)
        return tokens, mask


def _mask(length: Tensor, n_steps: int) -> Tensor:
    """(B, n_steps), True in the first `length` (B,) steps."""
    return torch.arange(n_steps, device=length.device) < length[:, None]


def _hide_intervals(mask: Tensor) -> Tensor:
    """Hide 30 % of the intervals, and in half of the rows all but the statistics.

    Otherwise a few intervals learnt by heart keep the statistics from being learnt.
    """
    B, T = mask.shape
    shown = torch.rand(B, T, device=mask.device) > 0.3
    shown &= torch.rand(B, 1, device=mask.device) > 0.5
    shown[:, 0] = True
    return mask & shown


def _with_own_scale(x: Tensor, length: Tensor) -> Tensor:
    """Append to (B, C, T), zero where padded, the channels scaled by their own spread.

    The first half says where a curve lies, the second which form it has.
    """
    n, mask = length.to(x.dtype)[:, None, None], _mask(length, x.shape[2])[:, None]
    own = (x - x.sum(dim=2, keepdim=True) / n) * mask
    spread = (own.square().sum(dim=2, keepdim=True) / n + 0.01).sqrt()
    return torch.cat([x, own / spread], dim=1)


def _augment(x: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Stretch, shift and scale curves (B, C, T), and add noise."""
    B, C, T = x.shape
    rate = torch.exp((2 * torch.rand(B, 1, device=x.device) - 1) * 0.1)
    first = torch.rand(B, 1, device=x.device) * 0.05 * length[:, None]
    steps = torch.arange(math.ceil(T * math.exp(0.1)), device=x.device)
    place = (steps * rate + first).to(x.dtype)
    last = length[:, None] - 1
    before = torch.minimum(place.long(), last)
    after = torch.minimum(before + 1, last)
    share = (place - before).clamp(0, 1)[:, None]
    left = x.gather(2, before[:, None].expand(-1, C, -1))
    right = x.gather(2, after[:, None].expand(-1, C, -1))
    length = ((length - first[:, 0]) / rate[:, 0]).long().clamp(1, len(steps))
    x = (left * (1 - share) + right * share)[..., : int(length.max())]
    scale = torch.exp(0.1 * torch.randn(B, C, 1, device=x.device, dtype=x.dtype))
    return x * scale + 0.05 * torch.randn_like(x), length


def _n_stages(n_steps: int) -> int:
    """Halvings of the time axis that leave at most `N_TOKENS` steps."""
    return max(0, math.ceil(math.log2(n_steps / N_TOKENS)))


def _read(cell: Any) -> NDArray[np.float64] | None:
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


def _wrong_channels(cell: NDArray[np.float64], n_channels: int) -> ValueError:
    message = f"it has {len(cell)} channel(s), but the column has {n_channels}."
    if cell.shape[1] == n_channels:
        message += " It may need to be transposed to (channels, T)."
    return ValueError(message)


def _pool(row: NDArray[np.float64], step: int) -> NDArray[np.float64]:
    """Average every `step` neighbours of (channels, T), gaps aside."""
    if step == 1:
        return row
    x = np.pad(row, ((0, 0), (0, -row.shape[1] % step)), constant_values=np.nan)
    x = x.reshape(len(row), -1, step)
    known = ~np.isnan(x)
    with np.errstate(invalid="ignore"):  # 0 / 0 is a gap
        return np.where(known, x, 0).sum(axis=2) / known.sum(axis=2)


def _fill_gaps(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Straight lines across the gaps of each channel, its nearest value at the ends."""
    gaps = np.isnan(x)
    if not gaps.any():
        return x
    x, steps = x.copy(), np.arange(x.shape[1])
    for channel, gap in zip(x, gaps, strict=True):
        if gap.any() and not gap.all():
            channel[gap] = np.interp(steps[gap], steps[~gap], channel[~gap])
    return x


def _location_and_spread(values: NDArray[np.float64]) -> tuple[float, float]:
    """Median, and interquartile range as a standard deviation.

    The plain standard deviation keeps the spread from vanishing where more than half
    of the values are equal.
    """
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    largest = float(np.abs(values).max()) or 1.0  # the squares of 1e200 overflow
    deviation = float((values / largest).std()) * largest
    spread = max((high - low) / 1.349, deviation / 4)
    return float(middle), float(spread) if spread > 0 else 1.0


def _statistics(
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
