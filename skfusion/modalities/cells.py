"""Modalities whose columns hold one object a cell: a text, a picture, a sound."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from skfusion._sklearn import StrOptions
from skfusion._validation import shorten
from skfusion.modalities.base import Modality
from skfusion.modalities.columns import numpy_column

__all__ = ["CellModality", "Failures"]

#: Of cells that cannot be read: label of the row, name of the column, and cause.
Failures = list[tuple[Any, str, Exception]]


class CellModality(Modality):
    """A modality whose columns hold one object a cell: a text, a picture, a sound.

    It reads columns from any frame, finds the absent cells, and turns a cell that
    cannot be read into one clear error, or into absence, as `on_error` says. Subclasses
    write `fit_transform`, so that training cells are read only once.
    """

    on_error: Literal["raise", "absent"]
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "on_error": [StrOptions({"raise", "absent"})]
    }
    #: What a cell of this modality is called in messages, and how it may look.
    _cell_name: ClassVar[str] = "cell"
    _cell_formats: ClassVar[str] = ""

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> Self:
        """Learn from the cells of the training rows, by `fit_transform`.

        Parameters
        ----------
        X : DataFrame, Series or array-like of n_samples rows
            One object a cell.
        y : array-like of n_samples targets, optional
            Read where there is an `encoder` that fine-tunes.
        **fit_params : dict
            `groups`, array-like of shape (n_samples,), where `fit_transform` takes
            them: what it then says of a row was learned from other groups.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a cell cannot be read and ``on_error="raise"``.
        """
        self.fit_transform(X, y, **fit_params)
        return self

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

    def _unreadable(self, failures: Failures) -> None:
        """Raise the first failure; with ``on_error="absent"``, warn with the count."""
        if not failures:
            return
        label, column, error = failures[0]
        where = f"row {shorten(label)} of column {shorten(column)}"
        cause = str(getattr(error, "strerror", None) or error)
        if self.on_error == "raise":
            more = f" ({len(failures)} cells in all)" if len(failures) > 1 else ""
            raise ValueError(
                f"{type(self).__name__} cannot read the {self._cell_name} in {where}"
                f"{more}: {cause} Expected {self._cell_formats}. Mend the cell, set it "
                'to None, or pass on_error="absent" to treat such cells as missing.'
            ) from error
        warnings.warn(
            f"{type(self).__name__}: {len(failures)} cell(s) could not be read and are "
            f"treated as absent; the first is {where}: {cause}",
            UserWarning,
            stacklevel=3,
        )


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
            _objects(numpy_column(X.iloc[:, i] if hasattr(X, "iloc") else X[:, i]))
            for i in range(len(names))
        ]
        labels: Sequence[Any] = X.index if hasattr(X, "index") else range(n)
    elif hasattr(X, "name") and hasattr(X, "to_numpy"):  # pandas or polars series
        names, columns = [str(X.name or 0)], [_objects(numpy_column(X))]
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
    return np.fromiter(values, dtype=object)  # `asarray` would unpack arrays
