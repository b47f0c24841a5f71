"""Reading the columns of a table: what kind each is, and its cells as plain arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import get_tags
from sklearn.utils.validation import validate_data

from skfusion._validation import mend_surrogates, shorten

__all__ = [
    "CELL_ERRORS",
    "DATE_PARTS",
    "cell_error",
    "column_kind",
    "date_numbers",
    "holds_complex",
    "is_frame",
    "read_codes",
    "read_columns",
    "read_for",
    "read_labels",
    "read_numbers",
    "take_rows",
]

#: Numbers made of a date, and the attribute of pandas' `dt` that each one is.
DATE_PARTS = {
    "seconds": None,
    "year": "year",
    "month": "month",
    "day": "day",
    "weekday": "day_of_week",
    "hour": "hour",
}

#: What conversions of a cell raise; `Decimal("sNaN")` and large integers the last.
CELL_ERRORS = (TypeError, ValueError, ArithmeticError)
_DATES = frozenset({"date", "datetime", "datetime64", "period"})
_SPANS = frozenset({"timedelta", "timedelta64"})
_NUMBERS = frozenset(
    {"boolean", "decimal", "floating", "integer", "integer-na", "mixed-integer-float"}
)


def is_frame(X: Any) -> bool:
    """Tell whether `X` is a frame or a series of pandas or polars."""
    return hasattr(X, "to_numpy") and (hasattr(X, "columns") or hasattr(X, "name"))


def read_columns(estimator: BaseEstimator, X: Any, *, reset: bool) -> list[pd.Series]:
    """Check the table as scikit-learn does, and split it into named columns.

    Parameters
    ----------
    estimator : BaseEstimator
        Gets, or is checked against, `n_features_in_` and `feature_names_in_`.
    X : DataFrame, Series or array-like of shape (n_samples, n_features)
    reset : bool
        True in `fit`.

    Returns
    -------
    columns : list of n_features Series
        They share the row labels of `X`.
    """
    if not is_frame(X):
        array = validate_data(
            estimator, X, dtype=None, ensure_all_finite="allow-nan", reset=reset
        )
        return [pd.Series(array[:, i], name=f"x{i}") for i in range(array.shape[1])]
    frame = X if hasattr(X, "columns") else X.to_frame()
    name = type(estimator).__name__
    if 0 in frame.shape:
        raise ValueError(
            f"{name} needs at least one row and one column; got {len(frame)} row(s) "
            f"and {frame.shape[1]} column(s)."
        )
    names = list(frame.columns)
    if len(set(names)) < len(names):
        twice = sorted({str(n) for n in names if names.count(n) > 1})
        raise ValueError(
            f"{name} needs column names that differ, but {twice} occur more than once. "
            "Rename or drop the repeated columns."
        )
    _check_columns(estimator, frame, reset=reset)
    if isinstance(frame, pd.DataFrame):
        return [column for _, column in frame.items()]
    return [_from_polars(frame[n]) for n in names]


def _check_columns(estimator: BaseEstimator, X: Any, *, reset: bool) -> None:
    """Check the names and the number of the columns as scikit-learn does.

    Most often the names are those of `fit`; asking scikit-learn would take a fifth of
    the time in which a row is read.
    """
    seen = () if reset else getattr(estimator, "feature_names_in_", ())
    if len(seen) and hasattr(X, "columns") and list(X.columns) == list(seen):
        return
    validate_data(estimator, X, skip_check_array=True, reset=reset)


def _from_polars(column: Any) -> pd.Series:
    kind = str(column.dtype)
    if kind.startswith(("Int", "UInt", "Float", "Date", "Duration")):
        return pd.Series(column.to_numpy(), name=column.name)
    return pd.Series(column.to_list(), name=column.name, dtype=object)


def column_kind(column: pd.Series) -> str:
    """What a column holds: "number", "date", "category" or, all missing, "empty"."""
    dtype = column.dtype
    if _convert(column, pd.Series.isna, "a number").all():
        return "empty"
    if isinstance(dtype, pd.CategoricalDtype):
        return "category"
    if isinstance(dtype, pd.PeriodDtype) or pd.api.types.is_datetime64_any_dtype(dtype):
        return "date"
    if pd.api.types.is_complex_dtype(dtype):
        raise ValueError(f"Complex data not supported: column {column.name!r}.")
    if pd.api.types.is_numeric_dtype(dtype) or dtype.kind == "m":
        return "number"
    inferred = pd.api.types.infer_dtype(column, skipna=True)
    if inferred in _DATES:
        return "date"
    return "number" if inferred in _NUMBERS | _SPANS else "category"


def read_numbers(column: pd.Series) -> NDArray[np.float64]:
    """A column of numbers, booleans or time spans (in seconds) as float64, NaN missing.

    Raises
    ------
    ValueError
        Where a cell is no number, or is infinite.
    """
    if column.dtype.kind in "mO" and (
        pd.api.types.infer_dtype(column, skipna=True) in _SPANS
    ):
        seconds = pd.to_timedelta(column).dt.total_seconds()
        return np.asarray(seconds, dtype=np.float64)
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        values = column.to_numpy().astype(np.float64)
    else:
        values = _convert(column, _to_float, "a number")
    infinite = np.isinf(values)
    if infinite.any():
        where = int(infinite.argmax())
        raise cell_error(
            column,
            where,
            f"holds infinity ({values[where]}), one of {int(infinite.sum())} such "
            "cell(s)",
            "Replace infinity by None (a missing value) or by a finite number.",
        )
    return values


def _to_float(column: pd.Series) -> NDArray[np.float64]:
    if holds_complex(column):
        raise TypeError("complex numbers would lose a part")
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def holds_complex(values: Any) -> bool:
    """Whether a series or an array holds complex numbers."""
    if values.dtype == object:
        cells = getattr(values, "flat", values)
        return any(isinstance(x, complex | np.complexfloating) for x in cells)
    return bool(values.dtype.kind == "c")


def date_numbers(column: pd.Series) -> NDArray[np.float64]:
    """A column of dates as float64 of shape (n_samples, len(DATE_PARTS)), NaN missing.

    Parts of the day are in the column's own time zone.
    """
    if isinstance(column.dtype, pd.PeriodDtype):
        column = column.dt.to_timestamp()
    if pd.api.types.is_numeric_dtype(column.dtype) and column.notna().any():
        where = int(column.notna().to_numpy().argmax())
        raise cell_error(column, where, "is a number", "Pass dates, as in `fit`.")
    dates = _convert(column, _to_datetime, "a date")
    missing = dates.isna().to_numpy()
    if isinstance(dates.dtype, pd.DatetimeTZDtype):
        dates = dates.dt.tz_localize(None)
    seconds = dates.to_numpy().astype("datetime64[us]").astype(np.int64) / 1e6
    out = np.stack(
        [
            seconds if part is None else getattr(dates.dt, part).to_numpy(np.float64)
            for part in DATE_PARTS.values()
        ],
        axis=1,
    )
    out[missing] = np.nan
    return out


def _to_datetime(column: pd.Series) -> pd.Series:
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return column
    return pd.to_datetime(column.astype(object).where(column.notna(), None))


def read_labels(column: pd.Series) -> list[str | None]:
    """A column of categories as str, None where missing or blank."""
    cells = column.tolist()
    try:
        return [_label(cell) for cell in cells]
    except CELL_ERRORS:
        raise _no_category(column, cells) from None


def read_codes(
    column: pd.Series, known: Mapping[str | None, int], *, unknown: int
) -> NDArray[np.int32]:
    """A column of categories as the codes of their labels; None codes what is missing.

    Most cells are labels already, and are looked up as they are.
    """
    cells, get = column.tolist(), known.get
    try:
        found = [get(cell, -1) for cell in cells]
        found = [
            get(_label(cell), unknown) if code < 0 else code
            for cell, code in zip(cells, found, strict=True)
        ]
    except CELL_ERRORS:
        raise _no_category(column, cells) from None
    return np.array(found, dtype=np.int32)


def _label(value: Any) -> str | None:
    """The same text for 1, 1.0 and "1": tables change type when cells go missing."""
    if isinstance(value, str):
        return mend_surrogates(value).strip() or None
    hash(value)  # of what cannot be a category, such as a list, a TypeError
    if isinstance(value, complex | np.complexfloating):
        raise ValueError("complex numbers are no categories")
    if value is None or value is pd.NA or value != value:
        return None
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    return str(value).strip() or None


def _no_category(column: pd.Series, cells: Sequence[Any]) -> Exception:
    """An error that names the first cell that cannot be a category."""
    where, error = next((i, e) for i, e in enumerate(map(_fault, cells)) if e)
    remedy = "Convert the cells, or give the column to another modality."
    if not isinstance(error, TypeError):
        return cell_error(
            column, where, f"is no category: {shorten(cells[where])}", remedy
        )
    found = type(cells[where]).__name__
    return TypeError(
        f"A category argument must be a string or a real number, not {found!r}, which "
        f"row {shorten(column.index[where])} of column {shorten(column.name)} holds. "
        f"{remedy}"
    )


def _fault(cell: Any) -> Exception | None:
    try:
        _label(cell)
    except CELL_ERRORS as error:
        return error
    return None


def _convert(column: pd.Series, function: Callable[[pd.Series], Any], what: str) -> Any:
    """Convert the column or, where that fails, name the first cell that is to blame."""
    try:
        return function(column)
    except CELL_ERRORS as error:
        low, high = 0, len(column)  # the first failing cell lies in between
        while high - low > 1:
            middle = (low + high) // 2
            try:
                function(column.iloc[low:middle])
                low = middle
            except CELL_ERRORS:
                high = middle
        try:
            function(column.iloc[low:high])
        except CELL_ERRORS:
            raise cell_error(
                column,
                low,
                f"is not {what}: {shorten(column.iloc[low])}",
                f"Expected {what}: mend the cell, or set it to None.",
            ) from error
        raise


def cell_error(column: pd.Series, row: int, fault: str, remedy: str) -> ValueError:
    """An error that names the row label and the column of a cell."""
    return ValueError(
        f"Row {shorten(column.index[row])} of column {shorten(column.name)} {fault}. "
        f"{remedy}"
    )


def read_for(
    modality: BaseEstimator, inner: Any, X: Any, *, reset: bool
) -> tuple[Any, NDArray[np.bool_]]:
    """`X` as the estimator inside a modality wants it, unchanged but in its dimension.

    Parameters
    ----------
    modality : BaseEstimator
        Gets, or is checked against, `n_features_in_` and `feature_names_in_`.
    inner : estimator
        Whether it reads a table or, as text vectorisers do, one column, its tags say.
    X : DataFrame, Series, sparse matrix or array-like of n_samples rows
    reset : bool
        True in `fit`.

    Returns
    -------
    X : table, or ndarray of shape (n_samples,)
    present : ndarray of shape (n_samples,), bool
        Rows in which at least one cell is neither missing nor blank.
    """
    table = X.to_frame() if is_frame(X) and not hasattr(X, "columns") else X
    if _reads_table(inner):
        if not hasattr(table, "shape"):
            table = np.asarray(table, dtype=object if isinstance(table, list) else None)
        if len(table.shape) < 2:
            raise ValueError(
                f"Expected 2D array, got {len(table.shape)}D array instead. Reshape "
                "your data using array.reshape(-1, 1) if it has a single feature."
            )
        validate_data(modality, table, skip_check_array=True, reset=reset)
        return table, _rows_present(table)
    if not is_frame(table):
        table = np.asarray(table, dtype=object)
        table = table[:, None] if table.ndim == 1 else table
    validate_data(modality, table, skip_check_array=True, reset=reset)
    if table.shape[1] != 1:
        raise ValueError(
            f"{type(inner).__name__} reads one column, but got {table.shape[1]}. Give "
            "each column to a modality of its own, or join them into one."
        )
    cells = table[:, 0] if isinstance(table, np.ndarray) else _objects(table)[:, 0]
    return cells, _rows_present(cells)


def _reads_table(estimator: Any) -> bool:
    while hasattr(estimator, "steps"):
        estimator = estimator.steps[0][1]
    return isinstance(estimator, str) or get_tags(estimator).input_tags.two_d_array


def _objects(frame: Any) -> NDArray[np.object_]:
    """The cells of a pandas or polars frame."""
    table = np.empty(frame.shape, dtype=object)
    for i, name in enumerate(frame.columns):
        column = frame.iloc[:, i] if hasattr(frame, "iloc") else frame[name]
        table[:, i] = column.to_list()
    return table


def _rows_present(X: Any) -> NDArray[np.bool_]:
    # A sparse row without entries is present: it says 0, not nothing.
    if sparse.issparse(X):
        return np.ones(X.shape[0], dtype=bool)
    if is_frame(X):
        table = _objects(X)
    else:
        table = X.reshape(len(X), -1)
    if table.size == 0 or table.dtype.kind in "biu":
        return np.ones(len(table), dtype=bool)
    missing = np.asarray(pd.isna(table), dtype=bool)
    if table.dtype.kind in "OUST":
        blank = [[isinstance(c, str) and not c.strip() for c in row] for row in table]
        missing = missing | np.array(blank, dtype=bool).reshape(missing.shape)
    return np.logical_not(np.all(missing, axis=1)).reshape(-1)


def take_rows(X: Any, rows: NDArray[Any]) -> Any:
    """Some rows of a frame, an array or a sparse matrix."""
    if sparse.issparse(X):
        X = X.tocsr()  # not every format can be indexed
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]
