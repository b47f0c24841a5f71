"""What a column is to a table, and what `fit` would say of it, before any fit."""

from __future__ import annotations

import pandas as pd

from skfusion.modalities.columns import read_numbers
from skfusion.modalities.tabular.reading import (
    DateColumn,
    NumberColumn,
    count_labels,
    learn_column,
    remark_order,
    remark_unique,
)

__all__ = ["describe_column"]


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
    if kind == "category":
        remark_unique(column, count_labels(column)[0], remarks.append)
    elif isinstance(reader, NumberColumn) and reader.text is None:
        read_numbers(column)
    elif isinstance(reader, DateColumn) and reader.text is not None:
        remark_order(column, reader.text, remarks.append)
    return kind, reason, remarks
