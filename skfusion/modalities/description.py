"""What would become of each column of a table, and why, before any fit."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.utils import check_array

from skfusion._validation import is_numeric, shorten
from skfusion.modalities import registry
from skfusion.modalities.base import Modality
from skfusion.modalities.columns import (
    CELL_ERRORS,
    is_absent,
    numpy_column,
    object_rows,
)
from skfusion.modalities.detection import nearly_all
from skfusion.modalities.registry import Choice
from skfusion.modalities.resolution import check_frame
from skfusion.modalities.transformer import ModalityTransformer

__all__ = ["Description", "describe"]

#: Characters of an example, and columns that are shown.
_EXAMPLE, _SHOWN = 60, 60
#: From so many cells on, whole numbers that do not repeat are told of: without a gap,
#: and with some, as rows of a split have.
_ENOUGH, _ENOUGH_WITH_GAPS = 10, 40


class Description(pd.DataFrame):
    """A frame that shows its rows as paragraphs; a part of it is a plain frame."""

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return pd.DataFrame

    def __repr__(self) -> str:
        parts = [
            _paragraph(column, row) for column, row in self.head(_SHOWN).iterrows()
        ]
        if len(self) > _SHOWN:
            parts.append(f"... and {len(self) - _SHOWN} more")
        return "\n".join(parts)

    def _repr_html_(self) -> str:
        with pd.option_context("display.max_colwidth", None):
            return pd.DataFrame(self).to_html(notebook=True)


def describe(X: Any, *, modalities: Any = None) -> Description:
    """Show what each column would be taken for, and why, before any fit.

    The answers come from the code that `FusionClassifier` and `ModalityTransformer`
    choose by; no file is opened, and no text that holds numbers is read through.

    Parameters
    ----------
    X : DataFrame (pandas or polars), dict of columns, or array of n_samples rows
    modalities : ModalityTransformer, list of (name, transformer, columns), or None
        Modalities of your own, as in `FusionClassifier`; None, the default, is the
        automatic choice.

    Returns
    -------
    description : DataFrame
        One row a column of `X`, indexed by its name; a column that feeds several
        modalities has a row for each.

        - dtype : str, as it stands in `X`.
        - modality : str, the name of the modality; empty where the column feeds none.
        - kind : str. In a table "number", "date", "category" or "empty"; else the short
          name of the modality, or the class of the transformer.
        - present : float, the share of the cells that hold something.
        - n_distinct : int, the number of different values, missing where cells cannot
          be compared (arrays, pictures) or where it would take long (bytes of files).
        - reason : str. Where `modalities` are given, also what the automatic choice
          would have been, if that is another modality.
        - example : str, the first cell that holds something, shortened.
        - warning : str: constant and nearly empty columns, identifiers, numbers that
          stay categories, what `fit` would refuse; empty where there is none.

    Raises
    ------
    ValueError
        Where `fit` would refuse the table or the modalities: no rows, repeated names
        of columns, columns that are not there.

    See Also
    --------
    skfusion.frame_from : Build a table from files, texts and numbers.

    Examples
    --------
    >>> import pandas as pd
    >>> import skfusion
    >>> df = pd.DataFrame({
    ...     "note": [f"chair {i} is {'soft' if i % 2 else 'torn'}" for i in range(40)],
    ...     "price": [f"${i}.50" for i in range(40)],
    ...     "state": ["new", "used"] * 20,
    ... })
    >>> skfusion.describe(df)
    note: text in modality 'note'; 100% present, 40 distinct
        reason: strings of 4 words on average that rarely repeat
        example: 'chair 0 is torn'
    price: number in modality 'tabular'; 100% present, 40 distinct
        reason: numbers written as text with '$'
        example: '$0.50'
    state: category in modality 'tabular'; 100% present, 2 distinct
        reason: strings that repeat: 2 distinct in 40 cells looked at
        example: 'new'
    """
    X = _as_frame(X)
    choices = registry.choose(X)
    given = modalities is not None
    if not isinstance(modalities, ModalityTransformer):
        named = modalities if given else registry.name_modalities(choices)
        modalities = ModalityTransformer(named)
    resolved = clone(modalities)._start(X)
    labels, rows = [], []
    for name, choice in choices.items():
        column = numpy_column(X[name])
        present, n_distinct, example, general = _facts(column)
        readers: list[Any] = [m for m in resolved if name in m[2].names]
        for reader, modality, _ in readers or [("", None, None)]:
            kind, reason, remarks = _taken_for(column, modality, choice, given=given)
            labels.append(name)
            rows.append(
                {
                    "dtype": str(X[name].dtype),
                    "modality": reader,
                    "kind": kind,
                    "present": present,
                    "n_distinct": n_distinct,
                    "reason": reason,
                    "example": example,
                    "warning": "; ".join([*remarks, *general]),
                }
            )
    index = pd.Index(labels, name="column", tupleize_cols=False)
    frame = pd.DataFrame(rows, index=index).astype({"n_distinct": "Int64"})
    return Description(frame)


def _as_frame(X: Any) -> Any:
    """A frame as it is; rows as `fit` reads them, their columns by position."""
    if isinstance(X, Mapping):
        X = pd.DataFrame(X)
    elif not (hasattr(X, "columns") and hasattr(X, "shape")):
        numeric = is_numeric(X)
        X = check_array(X, ensure_all_finite=False) if numeric else object_rows(X)
        X = pd.DataFrame(X)
    check_frame(X)
    return X


def _taken_for(
    column: pd.Series, modality: Modality | None, choice: Choice, *, given: bool
) -> tuple[str, str, list[str]]:
    """Kind, reason and remarks of a column in a modality, or in none."""
    automatic = choice.modality or registry.by_short_name()["tabular"]
    instead = f"the automatic choice is {automatic.short_name}: {choice.reason}"
    if modality is None:
        return "", f"no modality reads it; {instead}", []
    try:
        kind, reason, remarks = modality.describe_column(column)
    except CELL_ERRORS as error:
        return modality.short_name or "", "", [f"fit would refuse it: {error}"]
    if given:
        reason = reason or "as `modalities` says"
        if type(modality) is not automatic:
            reason += f"; {instead}"
    return kind, reason or choice.reason, remarks


def _facts(column: pd.Series) -> tuple[float, int | None, str, list[str]]:
    """Share of present cells, number of values, an example, and what is odd."""
    if column.dtype == object or isinstance(column.dtype, pd.StringDtype):
        here = np.array([not is_absent(cell) for cell in column.tolist()])
    else:
        here = column.notna().to_numpy()
    n_present, n = int(here.sum()), len(column)
    if n_present == 0:
        return 0.0, 0, "", ["it holds nothing"]
    cells = column[here]
    n_distinct = None if _is_large(cells.iloc[0]) else _count_distinct(cells)
    remarks = []
    if nearly_all(n - n_present, n):
        remarks.append(f"only {n_present} of {n} cells hold something")
    if n_distinct == 1:
        remarks.append("it is constant")
    elif n_distinct == n_present and _number_rows(cells):
        remarks.append(
            "whole numbers, each of them once and most of those between the least and "
            "the largest: if they number the rows, leave the column out"
        )
    return n_present / n, n_distinct, _example(cells.iloc[0]), remarks


def _is_large(cell: Any) -> bool:
    """Whether comparing such cells would take long, if it can be done at all."""
    return isinstance(cell, bytes | bytearray | memoryview | np.ndarray)


def _count_distinct(cells: pd.Series) -> int | None:
    try:
        return int(cells.nunique())
    except CELL_ERRORS:  # lists, arrays, pictures
        return None


def _number_rows(cells: pd.Series) -> bool:
    """Whether numbers that differ are whole, and dense: measurements would repeat."""
    if cells.dtype.kind not in "iuf" or len(cells) < _ENOUGH:
        return False
    between = float(cells.max()) - float(cells.min()) + 1
    most = 2 if len(cells) >= _ENOUGH_WITH_GAPS else 1
    return bool(between <= most * len(cells) and (cells % 1 == 0).all())


def _example(cell: Any) -> str:
    if isinstance(cell, np.ndarray):
        return f"array of shape {cell.shape}, {cell.dtype}"
    if isinstance(cell, bytes | bytearray | memoryview):
        return f"{len(cell):,} bytes"
    return shorten(cell, _EXAMPLE)


def _paragraph(column: Any, row: pd.Series) -> str:
    """A row of a description in lines of 88 characters."""
    where = f" in modality {row.modality!r}" if row.modality else "not used"
    distinct = "" if pd.isna(row.n_distinct) else f", {row.n_distinct:,} distinct"
    lines = [f"{column}: {row.kind}{where}; {100 * row.present:.3g}% present{distinct}"]
    for label in ("reason", "example", "warning"):
        if row[label]:
            lines += textwrap.wrap(
                f"{label}: {row[label]}",
                width=88,
                initial_indent=" " * 4,
                subsequent_indent=" " * 8,
            )
    return "\n".join(lines)
