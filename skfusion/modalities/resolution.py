"""Which columns of a table a modality is given: what the user wrote, resolved."""

from __future__ import annotations

import difflib
from collections.abc import Hashable
from typing import Any

import numpy as np
from sklearn.utils import check_array

from skfusion._validation import is_numeric
from skfusion.modalities.columns import object_rows, repeated

__all__ = ["Columns", "as_table", "check_frame", "check_names", "resolve"]


class Columns:
    """Resolved columns of a modality: names (or positions), and whether just one."""

    def __init__(self, names: list[Any], *, one: bool) -> None:
        self.names, self.one = names, one

    def __repr__(self) -> str:
        return repr(self.names[0] if self.one else self.names)


def as_table(X: Any) -> Any:
    """A frame as it is, anything else as an array of two dimensions."""
    if hasattr(X, "columns") and hasattr(X, "shape"):
        return X
    if len(getattr(X, "shape", ())) == 1:
        check_array(X, dtype=None, ensure_all_finite=False)  # refuses it
    if not isinstance(X, np.ndarray):
        X = np.asarray(X) if is_numeric(X) else object_rows(X)
    if X.ndim != 2:
        raise ValueError(
            f"Expected 2D array, got {X.ndim}D array instead: ModalityTransformer "
            "needs a DataFrame or an array of shape (n_samples, n_features). Reshape "
            "your data with array.reshape(-1, 1) if it has a single feature."
        )
    return X


def resolve(name: str, columns: Any, X: Any) -> Columns:
    """Turn what the user wrote into the columns of `X`."""
    every = list(X.columns) if hasattr(X, "columns") else list(range(X.shape[1]))
    one = _is_one(columns, every)
    if callable(columns) and not one:
        columns = columns(X)
        one = _is_one(columns, every)
    if isinstance(columns, slice):
        chosen = _resolve_slice(name, columns, every)
    else:
        wanted = [columns] if one else list(columns)
        if wanted and all(isinstance(c, bool | np.bool_) for c in wanted):
            if len(wanted) != len(every):
                raise ValueError(
                    f"The mask of modality {name!r} has {len(wanted)} values, but X "
                    f"has {len(every)} columns."
                )
            chosen = [c for c, use in zip(every, wanted, strict=True) if use]
        else:
            chosen = [_resolve_one(name, c, every) for c in wanted]
    if not chosen:
        raise ValueError(
            f"Modality {name!r} has no columns; its selector found none among {every}."
        )
    twice = repeated(chosen)
    if twice:
        raise ValueError(f"Modality {name!r} names the column(s) {twice} twice.")
    return Columns(chosen, one=one)


def _is_one(columns: Any, every: list[Any]) -> bool:
    """Whether one column is meant; its name may be a date, or a tuple of levels."""
    if isinstance(columns, bool | slice):
        return False
    if isinstance(columns, str | int | np.integer):
        return True
    return isinstance(columns, Hashable) and columns in every


def _resolve_one(name: str, column: Any, every: list[Any]) -> Any:
    if column in every:
        return column
    is_position = isinstance(column, int | np.integer)
    if is_position and -len(every) <= column < len(every):
        return every[column]
    near = difflib.get_close_matches(str(column), [str(c) for c in every], n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"Modality {name!r} asks for column {column!r}, which X does not have.{hint} "
        f"X has {every}."
    )


def _resolve_slice(name: str, columns: slice, every: list[Any]) -> list[Any]:
    """A slice of positions, or of labels with both ends included, as in pandas."""
    start, stop = columns.start, columns.stop
    if isinstance(start, str):
        start = every.index(_resolve_one(name, start, every))
    if isinstance(stop, str):
        stop = every.index(_resolve_one(name, stop, every)) + 1
    return every[slice(start, stop, columns.step)]


def check_frame(X: Any) -> None:
    """Refuse a table without rows or columns, and one whose column names repeat."""
    if X.shape[0] == 0 or X.shape[1] == 0:
        raise ValueError(
            f"Found array with {X.shape[0]} sample(s) and {X.shape[1]} feature(s) "
            f"(shape={tuple(X.shape)}) while a minimum of 1 is required: give at least "
            "one row and one column."
        )
    if hasattr(X, "columns"):
        _check_unique(list(X.columns))


def _check_unique(columns: list[Any]) -> None:
    twice = repeated(columns)
    if twice:
        raise ValueError(
            f"The column name(s) {twice} stand more than once in X, so it is not clear "
            "which one is meant. Rename or drop the duplicates."
        )


def check_names(X: Any, seen: list[Any], used: list[Any]) -> None:
    """Refuse a frame that lacks a column which the fit used."""
    here = list(X.columns)
    _check_unique(here)
    missing = [c for c in used if c not in here]
    if missing:
        extra = [c for c in here if c not in set(seen)]
        raise ValueError(
            f"X lacks the column(s) {missing} that were there in fit. Columns here "
            f"that fit did not see: {extra or 'none'}. To predict without a modality, "
            "keep its column and fill it with None."
        )
