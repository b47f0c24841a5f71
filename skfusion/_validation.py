"""What the estimators check of a target, of weights and of groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skfusion._sklearn import check_sample_weight

__all__ = [
    "check_groups",
    "check_no_missing",
    "check_numbers",
    "check_weights",
    "is_numeric",
    "mend_surrogates",
    "shorten",
]


def shorten(value: Any, width: int = 80) -> str:
    """What a message shows of a value: its `repr`, at most `width` characters of it."""
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
    array = np.asarray(X) if not hasattr(X, "dtype") else X
    if array.dtype.kind in "biufc" or array.ndim != 2:
        return True  # or not, but then scikit-learn's own message is the one to show
    try:
        np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError):
        return False
    return True


def check_no_missing(y: Any) -> None:
    """Refuse a target with missing values, naming the first row that lacks one."""
    cells = np.asarray(y, dtype=object)
    missing = np.asarray(pd.isna(cells)).reshape(len(cells), -1)
    rows = np.flatnonzero(missing.any(axis=1))
    if len(rows):
        raise ValueError(
            f"Input y contains NaN: the target is missing in row {rows[0]} "
            f"({len(rows)} in all). Drop the rows without a target."
        )


def check_numbers(y: Any) -> None:
    """Refuse a target of a regression that holds words, naming the first such row."""
    cells = np.asarray(y, dtype=object)
    flat = pd.Series(cells.ravel(), dtype=object)
    is_text = flat.map(lambda cell: isinstance(cell, str)).astype(bool)
    words = is_text & pd.to_numeric(flat, errors="coerce").isna()
    rows = np.flatnonzero(words.to_numpy().reshape(len(cells), -1).any(axis=1))
    if len(rows):
        raise ValueError(
            f"FusionRegressor learns numbers, but y holds {cells[rows[0]]!r} in row "
            f"{rows[0]} ({len(rows)} such rows in all). Convert it to a number, or use "
            "FusionClassifier to learn classes."
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
