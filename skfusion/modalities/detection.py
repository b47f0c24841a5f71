"""What the modalities look at when they are asked whether a column is theirs."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skfusion.modalities.columns import is_absent, numpy_column

__all__ = [
    "TEXTS",
    "are_paths",
    "looks_like",
    "most",
    "nearly_all",
    "numeric_cells",
    "plain_cells",
    "sample_cells",
]

#: What strings of some words look like.
TEXTS = "short texts or names"
_WHOLE = re.ASCII | re.DOTALL | re.IGNORECASE
#: What strings look like that no modality reads, by the first form which nearly all
#: have, and what to do with them.
_FORMS = [
    (
        "links (URLs)",
        r"([a-z][a-z0-9+.-]*://|www\.)\S+",
        "download what they lead to, and pass the paths of the files",
    ),
    (
        "e-mail addresses",
        r"[^\s@]+@[^\s@]+\.[^\s@]+",
        "leave the column out, or keep what follows the @",
    ),
    (
        "identifiers",
        r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12,}|\+?\d{9,}",
        "leave the column out",
    ),
    (
        "files encoded as text (base64)",
        r"data:[^,]*;base64,.*|[a-z0-9+/_-]{40,}={0,2}",
        'pass base64.b64decode(cell), to "image" or "audio"',
    ),
    (
        "lists or records written as text",
        r"\s*(\[.*\]|\{.*\}|\(.*\))\s*",
        "pass json.loads(cell) or ast.literal_eval(cell), or one column for each field",
    ),
    (
        "names of files",
        r"[^\n]*[^\s./\\]\.[a-z][a-z0-9]{0,4}",
        'give the column to "image" or "audio", or read the files and pass what they '
        "hold",
    ),
    (
        "dates or times",
        r"(?=.*\d\d)(?=.*([:/a-z]|\d{4}-|-\d{4}|\.\d{4}))"
        r"(\d|[\s:./,+-]|(?<=\d)[tz]|(?<=[\d\s])[ap]m"
        r"|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)+",
        "pass pandas.to_datetime(column, format=...)",
    ),
    (
        "numbers of several forms",
        r"[ -/:-@\u00a2-\u00a5\u20a0-\u20cf]{0,6}\d[\d.,' ]*"
        r"[ -/:-@a-z\u20a0-\u20cf]{1,9}",
        "pass them as numbers of one unit",
    ),
    (
        "identifiers or names",
        r"[!-\u0dff]+",  # up to the first script without spaces
        "leave the column out, make columns of what its parts say, or give it to "
        '"text", which reads parts of words',
    ),
]


def nearly_all(n: int, total: int) -> bool:
    """Whether `n` cells of `total` decide: all but one in 20, or one of 10 or more."""
    return n > 0 and total - n <= max(total // 20, total >= 10)


def most(test: Callable[[Any], Any], cells: Sequence[Any]) -> bool:
    """Whether nearly all cells pass a test."""
    return nearly_all(sum(bool(test(cell)) for cell in cells), len(cells))


def plain_cells(column: Any) -> list[Any]:
    """The present cells of a column of objects or strings, blank ones left out.

    There are none in other columns, nor where strings were declared to be categories,
    unless more than half of them differ: whole tables are converted at times.
    """
    column = numpy_column(column)
    if isinstance(column.dtype, pd.CategoricalDtype):
        if column.dtype.categories.inferred_type != "string":
            return []
        if column.nunique() <= 0.5 * column.count():
            return []
    elif not (column.dtype == object or isinstance(column.dtype, pd.StringDtype)):
        return []
    return [cell for cell in column.tolist() if not is_absent(cell)]


def sample_cells(column: Any, n: int = 200) -> list[Any]:
    """Up to `n` of the cells of `plain_cells`, evenly spaced."""
    if len(column) > 50 * n:  # before cells are converted, which may take long
        column = column[:: len(column) // (25 * n)]
    cells = plain_cells(column)
    return cells[:: max(1, len(cells) // n)][:n]


def are_paths(cells: Sequence[Any], endings: frozenset[str]) -> bool:
    """Whether cells are names of files that end so, in lower or upper case."""
    return most(
        lambda c: (
            isinstance(c, str | os.PathLike)
            and os.path.splitext(os.fspath(c))[1].lower() in endings
            and "://" not in os.fspath(c)
        ),
        cells,
    )


def numeric_cells(column: Any) -> list[NDArray[Any]]:
    """Cells of a column that are arrays; none unless nearly all are, of numbers."""
    cells = sample_cells(column)
    numeric = []
    for cell in cells:
        if isinstance(cell, list | np.ndarray | pd.Series) and len(cell):
            try:
                array = np.asarray(cell)
            except ValueError:  # lists of unequal length
                continue
            if array.dtype == object and all(isinstance(c, Real | None) for c in array):
                array = array.astype(np.float64)
            if array.dtype.kind in "iufb":
                numeric.append(array)
    return numeric if nearly_all(len(numeric), len(cells)) else []


def looks_like(cells: Sequence[Any]) -> tuple[str, str]:
    """What strings that no modality reads look like, and what to do with them."""
    # Both ends of long texts are enough, and some patterns take their time.
    texts = [
        cell if len(cell) < 200 else cell[:100] + cell[-100:]
        for cell in cells
        if isinstance(cell, str)
    ]
    for form, pattern, remedy in _FORMS:
        if texts and most(re.compile(pattern, _WHOLE).fullmatch, texts):
            return form, remedy
    return TEXTS, 'give the column to "text", or leave it out'
