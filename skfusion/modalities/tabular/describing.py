"""What a column is to a table, and what `fit` would say of it, before any fit."""

from __future__ import annotations

from typing import Any

import pandas as pd

from skfusion._validation import shorten
from skfusion.modalities.base import Verdict
from skfusion.modalities.columns import read_numbers
from skfusion.modalities.detection import looks_like, plain_cells
from skfusion.modalities.tabular.parsing import CODES, learn_text
from skfusion.modalities.tabular.reading import (
    DateColumn,
    NumberColumn,
    Remark,
    count_labels,
    learn_column,
    remark_order,
)

__all__ = ["describe_column", "detect_text", "remark_unique"]

#: From so many cells on, categories that hardly ever repeat are told of.
_ENOUGH = 10


def detect_text(column: Any) -> Verdict:
    """Whether a column of text holds numbers or dates."""
    form, reason = learn_text(plain_cells(column))
    return Verdict(form is not None, reason)


def describe_column(column: pd.Series) -> tuple[str, str, list[str]]:
    """Kind of a column, the reason, and remarks.

    Numbers and dates in text are not read: that takes its time.

    Raises
    ------
    ValueError, TypeError
        Where `fit` would refuse the column: infinite numbers, lists as categories.
    """
    kind, reader, reason = learn_column(column)
    remarks: list[str] = []
    if reason == CODES:
        remarks.append(
            "numbers that stay categories (to change that: pandas.to_numeric(column))"
        )
    if kind == "category":
        remark_unique(column, count_labels(column)[0], remarks.append)
    elif isinstance(reader, NumberColumn) and reader.text is None:
        read_numbers(column)
    elif isinstance(reader, DateColumn) and reader.text is not None:
        remark_order(column, reader.text, remarks.append)
    return kind, reason, remarks


def remark_unique(column: pd.Series, frequency: pd.Series, remark: Remark) -> None:
    """Tell of categories that hardly ever repeat, and what they look like."""
    once, total = int((frequency == 1).sum()), int(frequency.sum())
    if total >= _ENOUGH and once > 0.8 * total:
        some = frequency.index[:: max(1, len(frequency) // 1000)]
        form, remedy = looks_like(list(some))
        remark(
            f"{once} of {total} cells of column {shorten(column.name)} hold a value "
            "that no other row has, so that it says next to nothing as a category; it "
            f"looks like {form} ({remedy})"
        )
