"""Reading the columns of a table, in whatever form they come."""

from __future__ import annotations

import datetime as dt
import os
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import check_array, get_tags
from sklearn.utils.validation import validate_data

from skfusion._validation import are_missing, check_ragged, shorten

__all__ = [
    "CELL_ERRORS",
    "cell_error",
    "convert_cells",
    "holds_complex",
    "is_absent",
    "is_file",
    "is_frame",
    "numpy_column",
    "object_rows",
    "read_columns",
    "read_for",
    "read_numbers",
    "repeated",
    "row_label",
    "take_rows",
]

#: What conversions of a cell raise; `Decimal("sNaN")` and large integers the last.
CELL_ERRORS = (TypeError, ValueError, ArithmeticError)


def is_absent(cell: Any) -> bool:
    """Tell whether a cell holds nothing: None, NaN, NaT, pd.NA or blank text."""
    if isinstance(cell, str):
        return not cell or cell.isspace()
    if cell is None or cell is pd.NA or cell is pd.NaT:
        return True
    return isinstance(cell, float | np.floating) and bool(np.isnan(cell))


def is_file(cell: Any) -> bool:
    """Tell whether a cell is a path or the bytes of a file."""
    return isinstance(cell, str | os.PathLike | bytes | bytearray | memoryview)


def is_frame(X: Any) -> bool:
    """Tell whether `X` is a frame or a series of pandas or polars."""
    return hasattr(X, "to_numpy") and (hasattr(X, "columns") or hasattr(X, "name"))


def repeated(names: Iterable[Any]) -> list[str]:
    """The names that occur more than once, as text and in order."""
    return sorted({str(name) for name, n in Counter(names).items() if n > 1})


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
    twice = repeated(names)
    if twice:
        raise ValueError(
            f"{name} needs column names that differ, but {twice} occur more than once. "
            "Rename or drop the repeated columns."
        )
    _check_columns(estimator, frame, reset=reset)
    if isinstance(frame, pd.DataFrame):
        return [numpy_column(column) for _, column in frame.items()]
    return [numpy_column(frame[n]) for n in names]


def _check_columns(estimator: BaseEstimator, X: Any, *, reset: bool) -> None:
    """Check the names and the number of the columns as scikit-learn does.

    Most often the names are those of `fit`; asking scikit-learn would take a fifth of
    the time in which a row is read.
    """
    seen = () if reset else getattr(estimator, "feature_names_in_", ())
    if len(seen) and hasattr(X, "columns") and list(X.columns) == list(seen):
        return
    validate_data(estimator, X, skip_check_array=True, reset=reset)


def numpy_column(column: Any) -> pd.Series:
    """A column of pandas, Arrow or polars as pandas holds it in NumPy arrays.

    Everything that looks at cells reads columns in this form, so that a table means the
    same in each of the three.
    """
    if not isinstance(column, pd.Series):
        return _from_polars(column)
    if isinstance(column.dtype, pd.ArrowDtype):
        array: Any = column.array
        values = array.__arrow_array__().to_pandas(date_as_object=False)
        column = values.set_axis(column.index).rename(column.name)
    return _stack_cells(column) if column.dtype == object else column


def _from_polars(column: Any) -> pd.Series:
    kind, name = str(column.dtype), column.name
    if kind.startswith(("Int", "UInt", "Float", "Date", "Duration")):
        out = pd.Series(column.to_numpy(), name=name)
        zone = getattr(column.dtype, "time_zone", None)
        return out.dt.tz_localize("UTC").dt.tz_convert(zone) if zone else out
    if kind.startswith(("Categorical", "Enum")):
        return pd.Series(pd.Categorical(column.to_list()), name=name)
    if kind.startswith("Array"):
        column = column.arr.to_list()
    if kind.startswith(("Array", "List")):
        return _stack_cells(pd.Series(column.to_numpy(), name=name, dtype=object))
    return pd.Series(column.to_list(), name=name, dtype=object)


def _stack_cells(column: pd.Series) -> pd.Series:
    """Cells that Arrow made arrays of arrays as arrays of two or more dimensions."""
    if not any(map(_is_nested, column)):
        return column
    cells = np.fromiter(map(_stacked, column), dtype=object)
    return pd.Series(cells, index=column.index, name=column.name)


def _is_nested(cell: Any) -> bool:
    return (
        isinstance(cell, np.ndarray)
        and cell.dtype == object
        and cell.size > 0
        and isinstance(cell.flat[0], np.ndarray)
    )


def _stacked(cell: Any) -> Any:
    if not _is_nested(cell):
        return cell
    inner = [_stacked(part) for part in cell]
    shapes = {getattr(part, "shape", None) for part in inner}
    return np.stack(inner) if len(shapes) == 1 else cell


def object_rows(X: Any) -> NDArray[np.object_]:
    """A table that is given as rows, as an array (n_samples, n_features) of objects."""
    if isinstance(X, np.ndarray):
        return X.astype(object)
    check_ragged(X)
    out = np.empty((len(X), len(X[0])), dtype=object)
    for i, row in enumerate(X):
        for j, cell in enumerate(row):  # NumPy would unpack cells that are arrays
            out[i, j] = cell
    return out


def read_numbers(column: pd.Series) -> NDArray[np.float64]:
    """Numbers, booleans, time spans and times of day (in seconds), as float64.

    NaN stands for what is missing.

    Raises
    ------
    ValueError
        Where a cell is no number, or is infinite.
    """
    if column.dtype.kind in "mO":
        kind = pd.api.types.infer_dtype(column, skipna=True)
        if kind == "time":
            column = column.map(_since_midnight, na_action="ignore")
        if kind in ("time", "timedelta", "timedelta64"):
            seconds = pd.to_timedelta(column).dt.total_seconds()
            return np.asarray(seconds, dtype=np.float64)
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        values = column.to_numpy().astype(np.float64)
    else:
        values = convert_cells(column, _to_float, "a number")
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


def _since_midnight(time: dt.time) -> dt.timedelta:
    return dt.timedelta(
        hours=time.hour,
        minutes=time.minute,
        seconds=time.second,
        microseconds=time.microsecond,
    )


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


def convert_cells(
    column: pd.Series, function: Callable[[pd.Series], Any], what: str
) -> Any:
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


def row_label(column: pd.Series, row: int) -> str:
    """The label of a row, for messages."""
    label = column.index[row]
    return shorten(label.item() if isinstance(label, np.generic) else label)


def cell_error(column: pd.Series, row: int, fault: str, remedy: str) -> ValueError:
    """An error that names the row label and the column of a cell."""
    return ValueError(
        f"Row {row_label(column, row)} of column {shorten(column.name)} {fault}. "
        f"{remedy}"
    )


def read_for(
    modality: Any, inner: Any, X: Any, *, reset: bool
) -> tuple[Any, NDArray[np.bool_]]:
    """`X` as the estimator inside a modality wants it, and the rows that are there.

    Parameters
    ----------
    modality : Modality
        Gets, or is checked against, `n_features_in_` and `feature_names_in_`.
    inner : estimator
        Whether it reads a table or, as text vectorisers do, one column, its tags say.
    X : DataFrame, Series, sparse matrix or array-like of n_samples rows
    reset : bool
        True in `fit`.

    Returns
    -------
    X : table or column
        As in `ColumnTransformer`, a Series (or array of one dimension) stays one. A
        table of one column becomes one where the estimator reads texts.
    present : ndarray of shape (n_samples,), bool
        Rows in which at least one cell is neither missing nor blank.
    """
    if not hasattr(X, "shape"):
        X = np.asarray(X, dtype=object if isinstance(X, list) else None)
    if len(X.shape) == 1:
        if not reset and modality.n_features_in_ > 1:
            check_array(X, dtype=None, ensure_all_finite=False)  # refuses it
        table = X.to_frame() if is_frame(X) else X[:, None]
        validate_data(modality, table, skip_check_array=True, reset=reset)
        return X, _rows_present(table)
    validate_data(modality, X, skip_check_array=True, reset=reset)
    present = _rows_present(X)
    if _reads_table(inner):
        return X, present
    if X.shape[1] != 1:
        raise ValueError(
            f"{type(inner).__name__} reads one column, but got {X.shape[1]}. Give "
            "each column to a modality of its own, or join them into one."
        )
    return (_objects(X) if is_frame(X) else X)[:, 0], present


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
    missing = are_missing(table)
    if table.dtype.kind in "OUST":
        blank = [[isinstance(c, str) and not c.strip() for c in row] for row in table]
        missing = missing | np.array(blank, dtype=bool).reshape(missing.shape)
    return np.logical_not(np.all(missing, axis=1)).reshape(-1)


def take_rows(X: Any, rows: NDArray[Any]) -> Any:
    """Some rows of a frame, an array or a sparse matrix."""
    if sparse.issparse(X):
        X = X.tocsr()  # not every format can be indexed
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]
