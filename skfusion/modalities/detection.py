"""What the modalities look at when they are asked whether a column is theirs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skfusion.modalities.base import is_absent, split_columns

__all__ = ["are_paths", "numeric_cells", "sample_cells"]


def sample_cells(column: Any, n: int = 200) -> list[Any]:
    """Up to `n` present cells of a column; none unless it holds objects or strings."""
    if str(column.dtype) not in ("object", "str", "string", "Object", "String") and (
        not str(column.dtype).startswith(("List", "Array", "Binary", "string"))
    ):
        return []
    column = column.dropna() if hasattr(column, "dropna") else column.drop_nulls()
    _, (cells,), _ = split_columns(column.head(n))
    return [cell for cell in cells if not is_absent(cell)]


def are_paths(cells: Sequence[Any], endings: frozenset[str]) -> bool:
    """Whether all cells are names of files that end so, in lower or upper case."""
    return all(
        isinstance(c, str | os.PathLike)
        and os.path.splitext(os.fspath(c))[1].lower() in endings
        for c in cells
    )


def numeric_cells(column: Any) -> list[NDArray[Any]]:
    """Present cells of a column as arrays; none unless all are numbers in a row."""
    cells = sample_cells(column)
    if not all(isinstance(c, list | np.ndarray | pd.Series) for c in cells):
        return []
    try:
        arrays = [np.asarray(c) for c in cells]
    except ValueError:  # lists of lists of unequal length
        return []
    numeric = all(a.ndim and len(a) and a.dtype.kind in "iufb" for a in arrays)
    return arrays if numeric else []
