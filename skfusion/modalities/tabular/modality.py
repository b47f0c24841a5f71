"""Numbers, booleans, dates and categories: each column a token."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from skfusion._row_keys import number_groups
from skfusion._sklearn import Interval, fit_context
from skfusion.batch import Block
from skfusion.modalities.base import Modality, Verdict
from skfusion.modalities.columns import read_columns
from skfusion.modalities.scaling import learn_scale, smooth_clip
from skfusion.modalities.tabular.describing import (
    describe_column,
    detect_text,
    remark_unique,
)
from skfusion.modalities.tabular.encoder import (
    CategoryTokens,
    NumberTokens,
    TabularEncoder,
    bin_edges,
    grouping,
)
from skfusion.modalities.tabular.features import (
    FIRST,
    MAX_ONE_HOT,
    MISSING,
    UNKNOWN,
    TableFeatures,
)
from skfusion.modalities.tabular.reading import (
    Parts,
    count_labels,
    learn_column,
    read_codes,
    read_parts,
    span_groups,
    stack_parts,
)
from skfusion.network import Encoder

__all__ = ["TabularModality"]

# Bins of all numbers together: 2,000 columns would otherwise cost half a second a step.
_MAX_BINS = 1024


class TabularModality(Modality):
    """Numbers, booleans, dates and categories, in one table.

    Numbers, booleans and time spans (in seconds) are scaled by median and
    interquartile range and clipped smoothly to (-3, 3). Dates become numbers (seconds
    since 1970, year, month, day, weekday, hour); of dates with a time zone, the hour
    and the day are those of the time zone of `fit`, or of UTC where that had several.
    Text is read as numbers ("$1,234.50", "29 %", "10:30") or dates ("31/12/2020",
    "5 Jan 2020 10:30") where nearly all cells of a column hold such; the others are
    missing, with one warning. Everything else is a category; categories that training
    did not see share one code. Missing cells are normal and say so; a row whose every
    cell is missing is absent.

    Parameters
    ----------
    n_bins : int, default=8
        At most so many quantile bins a number, for its piecewise-linear encoding;
        fewer where there are more than 128 numbers. With 1, numbers enter the network
        linearly.
    min_frequency : int, default=2
        Categories that fewer training rows have are treated as unknown, which is how
        the network learns what to make of categories it has never seen. Where a column
        has few categories and none is that frequent, all are kept.
    max_categories : int, default=1000
        At most so many categories a column are told apart, the most frequent ones.
    max_tokens : int, default=64
        Where there are more numbers, or more categories, than this, neighbouring
        columns share a token.

    Notes
    -----
    Whole numbers written as text stay categories where half of them repeat, or where
    all have the same number of digits, from four on (ZIP codes). To keep
    others from being read, convert the column to the type "category". Strings of which
    nearly all occur once say next to nothing as a category: a warning says what to do.

    Attributes
    ----------
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where all are strings.
    kinds_ : list of n_features_in_ str
        What each column was taken for: "number", "date", "category" or "empty".
    categories_ : dict of str to ndarray
        The categories told apart in each category column, most frequent first.

    References
    ----------
    Gorishniy, Rubachev, Babenko (2022), "On embeddings for numerical features in
    tabular deep learning", equation 1. Holzmüller, Grinsztajn, Steinwart (2024),
    "Better by default: strong pre-tuned MLPs and boosted trees on tabular data"
    (robust scaling and smooth clipping).

    Examples
    --------
    >>> import pandas as pd
    >>> from skfusion.modalities import TabularModality
    >>> df = pd.DataFrame({"age": [31, 58, None], "class": ["first", "first", None]})
    >>> table = TabularModality().fit(df)
    >>> table.kinds_
    ['number', 'category']
    >>> table.transform(df).present
    array([ True,  True, False])
    """

    short_name = "tabular"
    has_elements = True
    detection_rank = 45
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_bins": [Interval(Integral, 1, None, closed="left")],
        "min_frequency": [Interval(Integral, 1, None, closed="left")],
        "max_categories": [Interval(Integral, 1, None, closed="left")],
        "max_tokens": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        *,
        n_bins: int = 8,
        min_frequency: int = 2,
        max_categories: int = 1000,
        max_tokens: int = 64,
    ) -> None:
        self.n_bins = n_bins
        self.min_frequency = min_frequency
        self.max_categories = max_categories
        self.max_tokens = max_tokens

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    @classmethod
    def detect(cls, column: Any) -> Verdict:
        """Text that holds numbers or dates; what nothing detects is a table anyway."""
        return detect_text(column)

    def describe_column(self, column: pd.Series) -> tuple[str, str, list[str]]:
        """The kind as in `kinds_`, and why; what shows before any fit."""
        return describe_column(column)

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, groups: Any = None) -> TabularModality:
        """Learn the kinds of the columns, their scales and their categories.

        Parameters
        ----------
        X : DataFrame, Series or array-like of shape (n_samples, n_features)
        y : ignored
        groups : array-like of shape (n_samples,), optional
            Categories that stand in several rows of a single group, as the name of a
            patient does, are unknown: rows of other groups will not have them.

        Returns
        -------
        self : TabularModality

        Raises
        ------
        ValueError
            Where a number is infinite.
        """
        self._fit(X, groups)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X: Any, y: Any = None, groups: Any = None) -> Block:
        """Fit, and transform the same rows while reading every cell only once.

        Parameters
        ----------
        X : DataFrame, Series or array-like of shape (n_samples, n_features)
        y : ignored
        groups : array-like of shape (n_samples,), optional
            As in `fit`.

        Returns
        -------
        block : Block
        """
        return self._to_block(*self._fit(X, groups))

    def _fit(self, X: Any, groups: Any) -> tuple[list[pd.Series], Parts]:
        """Learn from the rows; return their columns and the numbers in them."""
        columns = read_columns(self, X, reset=True)
        groups = number_groups(groups, len(columns[0]))
        self._column_names: list[Any] = [column.name for column in columns]
        learned = [learn_column(column) for column in columns]
        self.kinds_ = [found.kind for found in learned]
        self._readers = [found.reader for found in learned]
        remarks: list[str] = []
        parts = read_parts(columns, self._readers, remarks.append, fitting=True)
        # A part of a date that never changes (the hour, mostly) says nothing.
        self._number_names = [
            name
            for name, x in parts.items()
            if name[1] in ("", "seconds") or np.nanmin(x) < np.nanmax(x)
        ]
        numbers = stack_parts(parts, self._number_names, n_rows=len(columns[0]))
        self._center, self._factor = learn_scale(numbers, robust=True)
        scaled = self._scale(numbers)
        n_bins = max(1, min(self.n_bins, _MAX_BINS // max(len(scaled.T), 1)))
        self._edges = [bin_edges(z[~np.isnan(z)], n_bins) for z in scaled.T]
        self._may_miss = np.asarray(np.isnan(numbers).any(axis=0))
        self.categories_: dict[Any, NDArray[np.object_]] = {}
        self._counts: list[NDArray[np.int64]] = []
        for column in self._category_columns(columns):
            frequency, n_missing = count_labels(column)
            remark_unique(column, frequency, remarks.append)
            shared = span_groups(column, frequency, groups)
            self.categories_[column.name], counts = self._choose(
                frequency[shared], n_missing, int(frequency[~shared].sum())
            )
            self._counts.append(counts)
        _warn(remarks)
        self._codes: list[dict[str | None, int]] = [
            {None: MISSING} | {c: code for code, c in enumerate(known, start=FIRST)}
            for known in self.categories_.values()
        ]
        return columns, parts

    def transform(self, X: Any) -> Block:
        """Scale the numbers and code the categories.

        Parameters
        ----------
        X : DataFrame, Series or array-like of shape (n_samples, n_features)

        Returns
        -------
        block : Block
            Arrays "numbers" (n_samples, n_numbers), float32, 0 where missing;
            "missing", of the same shape, uint8; "codes" (n_samples, n_categories),
            int32: 0 missing, 1 unknown, then the categories of `categories_`.

        Raises
        ------
        ValueError
            Where a number is infinite, or a cell does not suit its column.
        """
        check_is_fitted(self)
        columns = read_columns(self, X, reset=False)
        if {column.name for column in columns} != set(self._column_names):
            # An array after a frame, or the reverse: matched by position.
            columns = [
                column.rename(name)
                for column, name in zip(columns, self._column_names, strict=True)
            ]
        remarks: list[str] = []
        parts = read_parts(columns, self._readers, remarks.append)
        _warn(remarks)
        return self._to_block(columns, parts)

    def _to_block(self, columns: list[pd.Series], parts: Parts) -> Block:
        scaled = self._scale(
            stack_parts(parts, self._number_names, n_rows=len(columns[0]))
        )
        missing = np.isnan(scaled)
        scaled[missing] = 0
        codes = np.zeros((len(scaled), len(self.categories_)), dtype=np.int32)
        for i, column in enumerate(self._category_columns(columns)):
            codes[:, i] = read_codes(column, self._codes[i], unknown=UNKNOWN)
        present = (~missing).any(axis=1) | (codes != MISSING).any(axis=1)
        arrays = {
            "numbers": scaled.astype(np.float32),
            "missing": missing.astype(np.uint8),
            "codes": codes,
        }
        return Block(arrays, present)

    def build_encoder(self, d_model: int, dropout: float) -> Encoder:
        """Make the encoder: one token a number, one a category column."""
        check_is_fitted(self)
        edges = self._edges
        if not edges and not self._counts:
            edges = [np.zeros(1, dtype=np.float32)]  # a token that says nothing
        numbers = categories = None
        if edges:
            numbers = NumberTokens(edges, d_model, max_tokens=self.max_tokens)
        if self._counts:
            categories = CategoryTokens(
                self._counts, d_model, max_tokens=self.max_tokens
            )
        encoder = TabularEncoder(numbers, categories)
        # Many categories of few rows each are overfitted: measured on drug names.
        n_rows = max((int(c.sum()) for c in self._counts), default=0)
        if sum(len(c) for c in self._counts) > 0.1 * n_rows > 0:
            encoder.max_epochs = 5
        return encoder

    def features(self, block: Block) -> NDArray[np.float32]:
        """Scaled numbers, missing indicators, one-hot categories.

        Of a column with more than 30 categories, the 30 most frequent are one-hot, and
        one more feature is the logarithm of how frequent the value was in training.
        """
        check_is_fitted(self)
        return self._features.matrix(block)

    @property
    def _features(self) -> TableFeatures:
        return TableFeatures(
            self._number_names,
            self._may_miss,
            self.categories_,
            self._counts,
            self.max_tokens,
        )

    def linear_terms(
        self, block: Block, coef: NDArray[Any], center: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Split the terms of a linear model among the columns, or groups of them."""
        return self._features.linear_terms(
            block,
            coef,
            center,
            token=[token for token, _ in self._named_features(self._column_names)],
            n_tokens=len(self._element_names()),
        )

    def _feature_names(self, columns: list[str]) -> list[str]:
        """Columns and parts of dates; "column_category"; "missingindicator_column"."""
        return [name for _, name in self._named_features(columns)]

    def _named_features(self, columns: Sequence[Any]) -> list[tuple[int, str]]:
        """The token and the name of each feature, in the order of `features`."""
        called = dict(zip(self._column_names, columns, strict=True))
        return self._features.named(called)

    def hide(
        self, block: Block, hidden: NDArray[np.bool_], names: Sequence[pd.Index]
    ) -> Block:
        """Let cells be missing."""
        arrays = {key: array.copy() for key, array in block.arrays.items()}
        first = 0
        for key in ("numbers", "codes"):
            n_columns = arrays[key].shape[1]
            size, n_tokens = grouping(n_columns, self.max_tokens)
            gone = np.repeat(hidden[:, first : first + n_tokens], size, axis=1)
            gone = gone[:, :n_columns]
            arrays[key][gone] = 0
            if key == "numbers":
                arrays["missing"][gone] = 1
            first += n_tokens
        return Block(arrays, block.present, block.cells)

    def _element_names(self) -> Sequence[Any]:
        numbers = [f"{c}: {part}" if part else c for c, part in self._number_names]
        names = []
        for singles in (numbers, list(self.categories_)):
            size, n_tokens = grouping(len(singles), self.max_tokens)
            groups = [singles[t * size : (t + 1) * size] for t in range(n_tokens)]
            names += [f"{g[0]} … {g[-1]}" if size > 1 else g[0] for g in groups]
        return names or ["all"]

    def _category_columns(self, columns: list[pd.Series]) -> list[pd.Series]:
        return [
            column
            for column, kind in zip(columns, self.kinds_, strict=True)
            if kind == "category"
        ]

    def _scale(self, numbers: NDArray[np.float64]) -> NDArray[np.float32]:
        """Centre, scale, and clip smoothly; NaN stays NaN."""
        with np.errstate(over="ignore"):
            z = smooth_clip((numbers - self._center) * self._factor)
        return z.astype(np.float32)

    def _choose(
        self, frequency: pd.Series, n_missing: int, n_unknown: int
    ) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
        """The categories to tell apart, and how many rows have each code."""
        often = frequency >= self.min_frequency
        # Rows that repeat are learned from once: each of a few categories may be rare.
        kept = frequency[often | (len(often) <= MAX_ONE_HOT and not often.any())]
        kept = kept.iloc[: self.max_categories]
        n_unknown += int(frequency.sum() - kept.sum())
        counts = np.array([n_missing, n_unknown, *kept])
        return kept.index.to_numpy(dtype=object), counts


def _warn(remarks: list[str]) -> None:
    """One warning of all that a user should know of the columns."""
    if remarks:
        warnings.warn(f"TabularModality: {'; '.join(remarks)}.", stacklevel=4)
