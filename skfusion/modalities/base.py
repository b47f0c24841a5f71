"""The contract of a modality, and what all of them share."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin

from skfusion._sklearn import StrOptions
from skfusion.batch import Block
from skfusion.network import Encoder

__all__ = ["CellModality", "Modality", "is_absent"]


class Modality(TransformerMixin, BaseEstimator, ABC):
    """A scikit-learn transformer that also knows how to build its encoder.

    A modality cleans, normalises and tokenises the columns it is given; everything it
    learns in `fit` comes from training rows. `transform` returns a
    :class:`~skfusion.batch.Block`, whose arrays the encoder reads.

    To write one: subclass, declare the parameters in `__init__` and in
    `_parameter_constraints`, write `fit`, `transform`, `build_encoder`, `features` and
    (where the elements of a row have names) `elements`.
    """

    #: What a pass of the encoder costs. 0: little. 1: so much that of 1,000 rows or
    #: more, one network is all. 2: so much that it also sets how long all modalities
    #: learn, and how many networks are trained on fewer rows.
    cost: ClassVar[int] = 0

    @abstractmethod
    def transform(self, X: Any) -> Block:
        """Clean and tokenise the rows of `X`.

        Parameters
        ----------
        X : DataFrame, Series or array-like of n_samples rows
            The columns of this modality.

        Returns
        -------
        block : Block of n_samples rows
        """

    @abstractmethod
    def build_encoder(self, d_model: int, dropout: float) -> Encoder:
        """Make the torch module that turns a block into tokens.

        It is called inside the seeded `fit` of the estimator, so fresh weights may be
        drawn freely.

        Parameters
        ----------
        d_model : int
            Width D of the tokens.
        dropout : float
            Dropout probability chosen by the user, for the encoder's own layers.

        Returns
        -------
        encoder : Encoder
            Its forward gives tokens (B, T, D) and their mask (B, T), True = present.
        """

    @abstractmethod
    def features(self, block: Block) -> NDArray[np.float32] | sparse.csr_matrix:
        """Summarise each row in one 2-D matrix, as a simple model would want it.

        Returns
        -------
        features : ndarray or CSR matrix of shape (n_samples, n_features), float32
            Finite everywhere; rows in which the modality is absent are all zero.
        """

    def strangeness(self, block: Block) -> NDArray[np.float64] | None:
        """How unlike the rows of `fit` the content is, where `features` do not show it.

        Returns
        -------
        strangeness : ndarray of shape (n_samples,), or None
            Finite everywhere. No row of `fit` may seem usual for being in it alone.
        """
        return None

    def elements(self, block: Block, weights: NDArray[Any]) -> list[pd.Series]:
        """Name the tokens of each row.

        Parameters
        ----------
        block : Block of n_samples rows
        weights : ndarray of shape (n_samples, n_tokens)
            Attention of the encoder's tokens; 0 on masked tokens, rows sum to 1.
            `n_tokens` may exceed what the modality made (padding), never undercut it.

        Returns
        -------
        elements : list of n_samples Series
            Weights indexed by what a person would call the element (a word, a patch
            `(top, left, bottom, right)` in pixels, an interval `(start, end)` in
            seconds, a column); they sum to 1. Empty where the modality is absent.
        """
        names = pd.Index(self._element_names(), tupleize_cols=False)
        weights = np.asarray(weights, dtype=np.float64)
        return [
            pd.Series(w[: len(names)], index=names)
            if here
            else pd.Series([], dtype=float)
            for w, here in zip(weights, block.present, strict=True)
        ]

    def _element_names(self) -> Sequence[Any] | pd.Index:
        """Names of the tokens where they are the same in every row."""
        return ["all"]


class CellModality(Modality):
    """A modality whose columns hold one object a cell: a text, a picture, a sound.

    It reads columns from any frame, finds the absent cells, and turns a cell that
    cannot be read into one clear error, or into absence, as `on_error` says.
    """

    on_error: Literal["raise", "absent"]
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "on_error": [StrOptions({"raise", "absent"})]
    }
    #: What a cell of this modality is called in messages, and how it may look.
    _cell_name: ClassVar[str] = "cell"
    _cell_formats: ClassVar[str] = ""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.allow_nan = True
        return tags

    def _columns(
        self, X: Any, *, reset: bool
    ) -> tuple[list[str], list[NDArray[np.object_]], Sequence[Any]]:
        """Split `X` into columns of cells.

        Returns
        -------
        names : list of str
        columns : list of ndarray of shape (n_samples,), dtype object
        labels : sequence of the n_samples row labels, for messages
        """
        names, columns, labels = split_columns(X)
        if not columns or len(columns[0]) == 0:
            raise ValueError(
                f"{type(self).__name__} needs at least one row and one column; got "
                f"{len(labels)} row(s) and {len(columns)} column(s)."
            )
        if reset:
            self.n_features_in_ = len(columns)
            self._column_names = names
        elif len(columns) != self.n_features_in_:
            raise ValueError(
                f"{type(self).__name__} was fitted on {self.n_features_in_} column(s) "
                f"{self._column_names}, but got {len(columns)}: {names}."
            )
        return names, columns, labels

    def _unreadable(
        self,
        failures: list[tuple[Any, str, Exception]],
    ) -> None:
        """Raise the first failure or, with ``on_error="absent"``, warn with the count.

        Parameters
        ----------
        failures : list of (row label, column name, cause)
        """
        if not failures:
            return
        label, column, cause = failures[0]
        label = label.item() if isinstance(label, np.generic) else label
        where = f"row {label!r} of column {column!r}"
        if self.on_error == "raise":
            more = f" ({len(failures)} cells in all)" if len(failures) > 1 else ""
            raise ValueError(
                f"{type(self).__name__} cannot read the {self._cell_name} in {where}"
                f"{more}: {cause} Expected {self._cell_formats}. Mend the cell, set it "
                'to None, or pass on_error="absent" to treat such cells as missing.'
            ) from cause
        warnings.warn(
            f"{type(self).__name__}: {len(failures)} cell(s) could not be read and are "
            f"treated as absent; the first is {where}: {cause}",
            UserWarning,
            stacklevel=3,
        )


def is_absent(cell: Any) -> bool:
    """Tell whether a cell holds nothing: None, NaN, NaT or pd.NA."""
    if cell is None or cell is pd.NA or cell is pd.NaT:
        return True
    return isinstance(cell, float | np.floating) and bool(np.isnan(cell))


def split_columns(
    X: Any,
) -> tuple[list[str], list[NDArray[np.object_]], Sequence[Any]]:
    """Split a frame, a series, an array or a list into object columns.

    An array of more than two dimensions, and a two-dimensional one that is not of
    dtype object, is one column whose cells are its rows.
    """
    if hasattr(X, "to_dict") and hasattr(X, "columns"):  # pandas or polars frame
        names = [str(c) for c in X.columns]
        n = len(X)
        columns = [
            _objects(X.iloc[:, i] if hasattr(X, "iloc") else X[:, i])
            for i in range(len(names))
        ]
        labels: Sequence[Any] = X.index if hasattr(X, "index") else range(n)
    elif hasattr(X, "name") and hasattr(X, "to_numpy"):  # pandas or polars series
        names, columns = [str(X.name)], [_objects(X)]
        labels = X.index if hasattr(X, "index") else range(len(X))
    else:
        array = X if isinstance(X, np.ndarray) else _objects(X)
        if array.ndim == 2 and array.dtype == object:
            columns = [array[:, i] for i in range(array.shape[1])]
            names = [str(i) for i in range(array.shape[1])]
        else:
            columns, names = [_objects(array)], ["0"]
        labels = range(len(array))
    return names, columns, labels


def _objects(values: Any) -> NDArray[np.object_]:
    """One-dimensional object array of the cells, never broadcast into more."""
    if hasattr(values, "dtype") and hasattr(values, "to_list"):
        values = values.to_list()
    out = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):  # NumPy would unpack cells that are arrays
        out[i] = value
    return out
