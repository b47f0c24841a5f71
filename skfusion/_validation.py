"""What is checked of rows, targets, weights and groups; how messages show values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from skfusion._sklearn import check_sample_weight

__all__ = [
    "are_missing",
    "check_groups",
    "check_indicator",
    "check_labels",
    "check_no_missing",
    "check_numbers",
    "check_ragged",
    "check_same_length",
    "check_weights",
    "is_numeric",
    "mend_surrogates",
    "shorten",
]

LARGEST_TARGET = 1e100


def shorten(value: Any, width: int = 80) -> str:
    """What a message shows of a value: its `repr`, at most `width` characters of it."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, int) and value.bit_length() > 3 * width:
        return f"an integer of about {round(value.bit_length() * 0.30103)} digits"
    if isinstance(value, str | bytes | bytearray | memoryview | list | tuple):
        value = value[:width]  # a `repr` of a megabyte would take its time
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 (a message must not fail by what it shows)
        text = f"<{type(value).__name__}>"
    text = " ".join(text.split())  # arrays are shown in lines
    return text if len(text) <= width else text[: width - 1] + "…"


def mend_surrogates(text: str) -> str:
    """A text that can be encoded: pairs of surrogates joined, single ones replaced.

    Cut texts and JSON hold halves of characters, which most programs refuse.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def is_numeric(X: Any) -> bool:
    """Whether an array-like can be read as numbers."""
    if hasattr(X, "dtype"):
        array = X
    else:
        check_ragged(X)
        try:
            array = np.asarray(X)
        except ValueError:  # cells that are lists or arrays of unequal length
            return False
    if array.dtype.kind in "biufc" or array.ndim != 2:
        return True  # or not, but then scikit-learn's own message is the one to show
    try:
        np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError):
        return False
    return True


def check_ragged(X: Any) -> None:
    """Refuse lists of unequal length as rows, naming two of them."""
    if not isinstance(X, list | tuple):
        return
    lengths = [len(row) if isinstance(row, list | tuple) else None for row in X]
    for i, length in enumerate(lengths):
        if length != lengths[0]:
            what = [f"{n} values" if n is not None else "no list" for n in lengths]
            raise ValueError(
                f"The rows of X must be equally long, but row 0 has {what[0]} and row "
                f"{i} has {what[i]}. Fill short rows with None, or give a DataFrame "
                "whose cells are lists."
            )


def check_no_missing(y: Any) -> None:
    """Refuse a target with missing values, naming the first row that lacks one."""
    cells = np.asarray(y, dtype=object)
    missing = are_missing(cells).reshape(len(cells), -1)
    rows = np.flatnonzero(missing.any(axis=1))
    if len(rows):
        raise ValueError(
            f"Input y contains NaN: the target is missing in row {rows[0]} "
            f"({len(rows)} in all). Drop the rows without a target."
        )


def are_missing(cells: NDArray[Any]) -> NDArray[np.bool_]:
    """Which cells of an array are missing, as pandas has it."""
    try:
        return np.asarray(pd.isna(cells), dtype=bool)
    except ArithmeticError:  # Decimal("sNaN") refuses to be compared
        missing = np.array([_is_missing(c) for c in cells.ravel()], dtype=bool)
        return missing.reshape(cells.shape)


def _is_missing(cell: Any) -> bool:
    try:
        return bool(pd.isna(cell))
    except ArithmeticError:
        return True


def check_numbers(y: Any) -> None:
    """Refuse a target of a regression that holds words or huge numbers, by its row."""
    cells = np.asarray(y, dtype=object)
    flat = pd.Series(cells.ravel(), dtype=object)
    width = max(1, len(flat) // max(1, len(cells)))
    is_text = np.array([isinstance(cell, str) for cell in flat], dtype=bool)
    number = pd.to_numeric(flat[is_text], errors="coerce")
    words = number.index[number.isna()]
    if len(words):
        raise ValueError(
            f"FusionRegressor learns numbers, but y holds {shorten(flat[words[0]])} in "
            f"row {words[0] // width} ({len(words)} such values in all). Convert it to "
            "a number, or use FusionClassifier to learn classes."
        )
    flat[is_text] = number
    huge = [i for i, number in enumerate(flat) if _is_huge(number, LARGEST_TARGET)]
    if huge:
        raise ValueError(
            f"y holds {shorten(flat[huge[0]])} in row {huge[0] // width} ({len(huge)} "
            "such values in all), and the squares of errors would overflow: numbers up "
            f"to {LARGEST_TARGET:g} are learned. Divide y by a constant."
        )


def _is_huge(number: Any, most: float) -> bool:
    """Whether a target is finite and too large; what is no number is not."""
    try:
        return bool(most < abs(number) < math.inf)
    except (TypeError, ArithmeticError):
        return False


def check_labels(y: Any) -> None:
    """Refuse classes that have no order, or that floats do not tell apart, by row."""
    cells = np.asarray(y, dtype=object)
    if cells.ndim != 1:
        return
    check_no_missing(cells)
    is_text = np.array([isinstance(cell, str) for cell in cells], dtype=bool)
    if is_text.any() and not is_text.all():
        a, b = int(is_text.argmax()), int(is_text.argmin())
        raise ValueError(
            f"y mixes str and other labels: {shorten(cells[a])} in row {a}, and "
            f"{shorten(cells[b])} of type {type(cells[b]).__name__} in row {b}. Make "
            "them one type, as in y.astype(str)."
        )
    huge = [i for i, cell in enumerate(cells) if _is_huge(cell, 2.0**63)]
    if huge:
        raise ValueError(
            f"y holds the label {shorten(cells[huge[0]])} in row {huge[0]} "
            f"({len(huge)} such rows in all), and numbers from 2**63 on cannot name "
            "classes. Pass y.astype(str)."
        )


def check_indicator(y: Any) -> NDArray[np.int64] | None:
    """Labels as an indicator (n, L) of 0 and 1; None where y is one column.

    Parameters
    ----------
    y : DataFrame, array-like or sparse matrix
    """
    if sparse.issparse(y):
        cells = y.toarray()
    else:
        cells = np.asarray(y, dtype=None if hasattr(y, "dtype") else object)
    if cells.ndim == 1 and len(cells) and isinstance(cells[0], list | tuple | set):
        raise ValueError(
            f"y holds {shorten(cells[0])} in row 0. Sets of labels are learned as an "
            "indicator matrix of 0 and 1: pass "
            "sklearn.preprocessing.MultiLabelBinarizer().fit_transform(y)."
        )
    if cells.ndim != 2 or cells.shape[1] < 2:
        return None
    check_no_missing(cells)
    wrong = np.array([[c not in (0, 1) for c in row] for row in cells.tolist()])
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ValueError(
            f"y has {cells.shape[1]} columns, and holds "
            f"{shorten(cells[row, column])} in row {row}, column {column}. Several "
            "columns are learned as an indicator matrix: 0 or 1 for each label. To "
            "learn several targets of classes, use sklearn.multioutput."
            "MultiOutputClassifier(FusionClassifier(...)); of numbers, FusionRegressor."
        )
    return cells.astype(np.int64)


def check_same_length(n: int, y: Any) -> None:
    """Refuse targets that are not as many as the n rows."""
    if len(y) != n:
        raise ValueError(
            "Found input variables with inconsistent numbers of samples: "
            f"X has {n} rows and y has {len(y)}."
        )


def check_weights(sample_weight: Any, X: Any) -> NDArray[np.float64] | None:
    """Weights of the rows as numbers, at least 0 and not all 0."""
    if sample_weight is None:
        return None
    weight = check_sample_weight(
        sample_weight, X, dtype=np.float64, ensure_non_negative=True
    )
    if not (weight > 0).any():
        raise ValueError(
            "sample_weight is 0 for every row: nothing to learn from. Give at least "
            "one row a positive weight."
        )
    return weight


def check_groups(groups: Any, n: int) -> NDArray[Any] | None:
    """Groups of the rows, one for each."""
    if groups is None:
        return None
    groups = np.asarray(groups, dtype=object)
    if groups.shape != (n,):
        raise ValueError(
            f"groups must be of shape ({n},), one for each row of X, but has shape "
            f"{groups.shape}."
        )
    return groups
