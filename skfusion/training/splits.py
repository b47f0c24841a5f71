"""Rows before they are learned: which are distinct, in which order, in which fold."""

from __future__ import annotations

import hashlib
import itertools
import math
import pickle
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    train_test_split,
)

from skfusion.batch import ModalityBatch

__all__ = ["DistinctRows", "distinct_rows", "row_keys", "split_rows", "take_rows"]

Split = tuple[NDArray[np.intp], NDArray[np.intp]]


class DistinctRows:
    """The distinct rows of a table in an order of their own.

    Attributes
    ----------
    rows : ndarray (n_distinct,)
        Positions, in the order of the keys of their content: it does not depend on how
        the rows were ordered or repeated.
    weight : ndarray (n_distinct,)
        Sum of the weights of the copies, 1 on average.
    group : ndarray (n_distinct,) or None
        Rows of one number belong together: those of one group that the user named, and
        those of the same content with another target. None where each is by itself.
    """

    def __init__(
        self,
        rows: NDArray[np.intp],
        weight: NDArray[np.float64],
        group: NDArray[np.intp] | None,
    ) -> None:
        self.rows, self.weight, self.group = rows, weight, group


def distinct_rows(X: Any, y: NDArray[Any], weight: Any, groups: Any) -> DistinctRows:
    """Merge rows of the same content and target, and add up their weights.

    Parameters
    ----------
    X : DataFrame, array, CSR matrix or ModalityBatch of n_samples rows
    y : ndarray of shape (n_samples,) or (n_samples, n_targets)
    weight : ndarray of shape (n_samples,), or None
        Rows of weight 0 are left out.
    groups : array-like of shape (n_samples,), or None
    """
    n = len(y)
    weight = np.ones(n) if weight is None else weight
    used = np.flatnonzero(weight > 0)
    keys = row_keys(X)[used]
    parts = [keys, row_keys(np.asarray(y).reshape(n, -1))[used]]
    if groups is not None:
        parts.append(row_keys(np.asarray(groups, dtype=object).reshape(n, 1))[used])
    _, first, inverse = np.unique(
        np.concatenate(parts, axis=1), axis=0, return_index=True, return_inverse=True
    )
    total = np.bincount(inverse.ravel(), weight[used])
    names = None if groups is None else parts[2][first]
    return DistinctRows(used[first], total / total.mean(), _linked(keys[first], names))


def _linked(keys: NDArray[Any], names: NDArray[Any] | None) -> NDArray[np.intp] | None:
    """Number of the set of rows that each belongs to, by content and by name."""
    _, by_content = np.unique(keys, axis=0, return_inverse=True)
    if names is None:
        alone = by_content.max(initial=-1) + 1 == len(keys)
        return None if alone else by_content.ravel()
    _, by_name = np.unique(names, axis=0, return_inverse=True)
    n_content = int(by_content.max()) + 1
    links = sparse.coo_matrix(
        (np.ones(len(keys)), (by_content.ravel(), by_name.ravel() + n_content)),
        shape=(n_content + int(by_name.max()) + 1,) * 2,
    )
    _, part = sparse.csgraph.connected_components(links, directed=False)
    return part[by_content.ravel()]


def row_keys(X: Any) -> NDArray[np.uint64]:
    """A digest of the content of each row, (n, 2).

    It does not depend on the form in which the content comes: 1, 1.0 and a float32 of
    1 are the same number, None and NaN the same absence.
    """
    if isinstance(X, ModalityBatch):
        columns: list[Any] = []
        for block in X.blocks.values():
            columns += [*block.arrays.values(), block.present[:, None]]
    elif hasattr(X, "columns"):
        columns = [X[c] for c in X.columns]
    else:
        columns = [X if sparse.issparse(X) else np.asarray(X)]
    numbers = [_flat(c) for c in columns if _is_numeric(c)]
    parts = [_rows_of(c) for c in columns if not _is_numeric(c)]
    if numbers:
        parts.append(_matrix_rows(np.concatenate(numbers, axis=1)))
    digests = [
        hashlib.blake2b(b"\x1e".join(cells), digest_size=16).digest()
        for cells in zip(*parts, strict=True)
    ]
    return np.frombuffer(b"".join(digests), dtype=np.uint64).reshape(-1, 2)


def _is_numeric(column: Any) -> bool:
    dtype = getattr(column, "dtype", None)
    return (
        isinstance(dtype, np.dtype)
        and dtype.kind in "biuf"
        and not sparse.issparse(column)
        and not (dtype == np.uint8 and np.ndim(column) > 1)
    )


def _flat(column: Any) -> NDArray[np.float64]:
    """A numeric column, or an array of more axes, as a matrix with one form of NaN."""
    array = np.asarray(column)
    flat = array.reshape(len(array), -1).astype(np.float64) + 0.0  # no minus zero
    flat[np.isnan(flat)] = np.nan
    return flat


def _matrix_rows(matrix: NDArray[Any]) -> Iterator[bytes]:
    return (row.tobytes() for row in np.ascontiguousarray(matrix))


def _rows_of(column: Any) -> Iterator[bytes]:
    """The content of each row of a column that holds no plain numbers, as bytes."""
    if sparse.issparse(column):
        return _sparse_rows(sparse.csr_matrix(column))
    dtype = getattr(column, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind in "mM":
        return _matrix_rows(np.asarray(column).astype(f"{dtype.kind}8[ns]").view("i8"))
    if isinstance(column, np.ndarray) and column.ndim > 1:
        flat = column.reshape(len(column), -1)
        if column.dtype == np.uint8:
            return _matrix_rows(flat)
        return (b"\x1f".join(map(_cell, row)) for row in flat)
    return map(_cell, column.to_list() if hasattr(column, "to_list") else column)


def _sparse_rows(matrix: Any) -> Iterator[bytes]:
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    data, index = matrix.data.astype(np.float64), matrix.indices.astype(np.int64)
    for a, b in itertools.pairwise(matrix.indptr):
        yield index[a:b].tobytes() + data[a:b].tobytes()


def _cell(cell: Any) -> bytes:
    """The content of one cell as bytes."""
    if isinstance(cell, str):
        return b"s" + cell.encode("utf-8", "surrogatepass")
    if isinstance(cell, bytes):
        return b"b" + cell
    if isinstance(cell, np.ndarray):
        return b"a" + str(cell.shape).encode() + _array_bytes(cell)
    if isinstance(cell, list | tuple):
        return b"(" + b"\x1f".join(_cell(c) for c in cell) + b")"
    if cell is None or cell is pd.NA or cell is pd.NaT:
        return b"n"
    if isinstance(cell, bool | int | float | np.number | np.bool_):
        number = float(cell) if abs(cell) < 2**63 else math.inf
        return b"n" if math.isnan(number) else np.float64(number + 0.0).tobytes()
    if hasattr(cell, "isoformat"):
        return b"t" + cell.isoformat().encode()
    if hasattr(cell, "tobytes") and hasattr(cell, "size"):  # a picture
        return b"p" + str(cell.size).encode() + cell.tobytes()
    if hasattr(cell, "__fspath__"):
        return b"s" + str(cell).encode("utf-8", "surrogatepass")
    try:
        return b"o" + pickle.dumps(cell)
    except (pickle.PicklingError, TypeError, AttributeError):
        return b"o" + repr(cell).encode("utf-8", "surrogatepass")


def _array_bytes(cell: NDArray[Any]) -> bytes:
    if cell.dtype == object:
        return b"\x1f".join(_cell(c) for c in cell.ravel())
    if cell.dtype.kind in "biuf" and cell.dtype != np.uint8:
        cell = cell.astype(np.float64)
    return cell.tobytes()


def take_rows(X: Any, rows: NDArray[np.intp]) -> Any:
    """Some rows of a frame, an array or a batch."""
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


# ---------------------------------------------------------------- folds


def split_rows(
    target: NDArray[Any],
    n_folds: int,
    *,
    n_held: int,
    seed: int,
    is_classification: bool,
    group: NDArray[np.intp] | None = None,
) -> list[Split]:
    """Rows to learn from and rows held out, `n_folds` times, by class if that can be.

    One fold holds out `n_held` rows, several hold out each row once. Rows of one group
    are never on both sides.
    """
    n = len(target)
    rows = np.arange(n)
    labels, least = None, 0
    if is_classification:
        least = int(np.bincount(target)[np.unique(target)].min())
        n_classes = len(np.unique(target))
        if least >= 2 and n_held >= n_classes <= n - n_held:
            labels = target
    n_groups = n if group is None else len(np.unique(group))
    n_folds = max(1, min(n_folds, n_groups, n // 2))
    if n_folds == 1:
        if group is not None:
            splitter = GroupShuffleSplit(1, test_size=n_held / n, random_state=seed)
            return [next(splitter.split(rows, groups=group))]
        learn, held = train_test_split(
            rows, test_size=n_held, random_state=seed, stratify=labels
        )
        return [(np.sort(learn), np.sort(held))]
    stratified = labels is not None and least >= n_folds
    options = {"n_splits": n_folds, "shuffle": True, "random_state": seed}
    if group is not None:
        kind = StratifiedGroupKFold if stratified else GroupKFold
    else:
        kind = StratifiedKFold if stratified else KFold
    with warnings.catch_warnings():
        # Where a class is in few groups, some fold lacks it: allowed for.
        warnings.filterwarnings("ignore", message="The least populated class")
        return list(kind(**options).split(rows, labels, group))
