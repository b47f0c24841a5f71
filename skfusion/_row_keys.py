"""Keys of rows by their content: which rows are the same, and an order of their own."""

from __future__ import annotations

import hashlib
import itertools
import math
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from skfusion._validation import check_groups
from skfusion.batch import ModalityBatch

__all__ = ["link_rows", "number_groups", "row_keys"]


def row_keys(X: Any) -> NDArray[np.uint64]:
    """A digest of the content of each row of a table, batch or list of columns, (n, 2).

    It does not depend on the form in which the content comes: 1, 1.0 and a float32 of
    1 are the same number, None and NaN the same absence.
    """
    if isinstance(X, ModalityBatch):
        columns: list[Any] = []
        for block in X.blocks.values():
            columns += [_seen(array, block.present) for array in block.arrays.values()]
            columns.append(block.present[:, None])
    elif isinstance(X, list):
        columns = X
    elif hasattr(X, "columns"):
        columns = [_plain(X[c]) for c in X.columns]
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


def number_groups(groups: Any, n: int) -> NDArray[np.intp] | None:
    """The number of the group of each of n rows; None where groups divide nothing."""
    groups = check_groups(groups, n)
    if groups is None:
        return None
    keys = row_keys(groups.reshape(n, 1))
    numbers = np.unique(keys, axis=0, return_inverse=True)[1].ravel()
    return numbers if numbers.any() else None


def link_rows(one: NDArray[np.intp], other: NDArray[np.intp]) -> NDArray[np.intp]:
    """The number of the set of each row; rows that share either number are in one."""
    n_one = int(one.max()) + 1
    links = sparse.coo_matrix(
        (np.ones(len(one)), (one, other + n_one)),
        shape=(n_one + int(other.max()) + 1,) * 2,
    )
    _, part = sparse.csgraph.connected_components(links, directed=False)
    return np.asarray(part[one])


def _seen(array: Any, present: NDArray[np.bool_]) -> Any:
    """An array of a block without what stands behind its absence mask."""
    if present.all():
        return array
    if sparse.issparse(array):
        return sparse.diags(present.astype(array.dtype)).tocsr() @ array
    array = array.copy()
    array[~present] = 0
    return array


def _plain(column: Any) -> Any:
    """A column of polars that holds numbers as an array; any other as it is."""
    is_numeric = getattr(getattr(column, "dtype", None), "is_numeric", None)
    return column.to_numpy() if is_numeric is not None and is_numeric() else column


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
    if isinstance(cell, bool | int | float | np.integer | np.floating | np.bool_):
        try:
            number = float(cell)
        except OverflowError:  # a `repr` of many digits is refused
            return b"o" + hex(int(cell)).encode()
        except TypeError:  # to NumPy, a time span is an integer
            return b"o" + repr(cell).encode()
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
