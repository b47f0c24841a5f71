"""Rows before they are learned: their target, their weights, their order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split
from torch import Tensor

from skfusion._sklearn import check_sample_weight
from skfusion.batch import ModalityBatch

__all__ = [
    "check_no_missing",
    "check_numbers",
    "count_copies",
    "is_numeric",
    "own_order",
    "split_rows",
]


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


def count_copies(
    X: Any, y: NDArray[Any], sample_weight: Any
) -> tuple[Any, NDArray[Any], NDArray[np.float64] | None]:
    """Make whole-number weights copies, which is how scikit-learn defines them.

    A weight of 0 is no row. Weights that are not whole, or make too many copies, stay
    factors of the loss.
    """
    if sample_weight is None:
        return X, y, None
    weight = check_sample_weight(
        sample_weight, X, dtype=np.float64, ensure_non_negative=True
    )
    if not (weight > 0).any():
        raise ValueError("sample_weight is 0 for every row: nothing to learn from.")
    whole = np.all(weight == np.round(weight)) and weight.sum() <= 10 * len(y)
    rows = np.arange(len(y))
    rows = np.repeat(rows, weight.astype(int)) if whole else rows[weight > 0]
    return _take(X, rows), y[rows], None if whole else weight[rows]


def own_order(batch: ModalityBatch, target: Tensor) -> NDArray[np.intp]:
    """An order of the rows that depends on their numbers, not on how they came.

    With it, a weight of 2 and the row twice give the same model, and so do all the
    forms in which the same table can be passed.
    """
    key = np.zeros(len(batch))
    random = np.random.RandomState(0)
    for block in batch.blocks.values():
        for array in block.arrays.values():
            if not sparse.issparse(array) and array.dtype.kind == "f":
                flat = array.reshape(len(array), -1).astype(np.float64)
                flat = np.where(block.present[:, None], flat, 0)
                key += np.nan_to_num(flat) @ random.uniform(1, 2, flat.shape[1])
    y = target.numpy().reshape(len(target), -1)[:, 0]
    return np.lexsort((y, key))


def _take(X: Any, rows: NDArray[np.intp]) -> Any:
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


def split_rows(
    target: NDArray[Any],
    n_folds: int,
    *,
    n_held: int,
    seed: int,
    is_classification: bool,
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Rows to learn from and rows held out, `n_folds` times, by class if that can be.

    One fold holds out `n_held` rows, several hold out each row once.
    """
    n = len(target)
    rows = np.arange(n)
    labels, least = None, 0
    if is_classification:
        counts = np.bincount(target)
        least = int(counts.min())
        if least >= 2 and n_held >= len(counts) <= n - n_held:
            labels = target
    n_folds = max(1, min(n_folds, n // 2))
    if n_folds == 1:
        learn, watch = train_test_split(
            rows, test_size=n_held, random_state=seed, stratify=labels
        )
        return [(np.sort(learn), np.sort(watch))]
    if labels is not None and least >= n_folds:
        folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    else:
        folds = KFold(n_folds, shuffle=True, random_state=seed)
    return list(folds.split(rows, labels))
