"""Columns of a table: of what kind each is, and its cells as numbers or categories."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skfusion._validation import mend_surrogates, shorten
from skfusion.modalities.columns import (
    CELL_ERRORS,
    cell_error,
    convert_cells,
    is_absent,
    numpy_column,
    read_numbers,
    row_label,
)
from skfusion.modalities.detection import plain_cells
from skfusion.modalities.tabular.parsing import (
    DateText,
    NumberText,
    is_marker,
    learn_text,
)

__all__ = [
    "DateColumn",
    "NumberColumn",
    "Parts",
    "Remark",
    "count_labels",
    "key_column",
    "learn_column",
    "read_codes",
    "read_parts",
    "span_groups",
    "stack_parts",
]

#: Numbers made of a date, and the attribute of pandas' `dt` that each one is.
DATE_PARTS = {
    "seconds": None,
    "year": "year",
    "month": "month",
    "day": "day",
    "weekday": "day_of_week",
    "hour": "hour",
}

_DATES = frozenset({"date", "datetime", "datetime64", "period"})
_NUMBERS = frozenset(
    {"boolean", "decimal", "floating", "integer", "integer-na", "mixed-integer-float"}
    | {"time", "timedelta", "timedelta64"}
)

#: Numbers of the rows, under their column and the part of a date that they are.
Parts = dict[tuple[Any, str], NDArray[np.float64]]
#: Is told what a user should know of a column: that some cells could not be read, say.
Remark = Callable[[str], None]


# ---------------------------------------------------------------- kinds


def column_kind(column: pd.Series) -> str:
    """What the type of a column says that it holds.

    Returns
    -------
    kind : {"number", "date", "category", "empty", "objects"}
        "empty" where all is missing; the kind of "objects" (strings are some) must be
        found from the cells.
    """
    dtype = column.dtype
    if convert_cells(column, lambda c: c.isna(), "a number").all():
        return "empty"
    if isinstance(dtype, pd.CategoricalDtype):
        return "objects" if plain_cells(column) else "category"
    if isinstance(dtype, pd.PeriodDtype) or pd.api.types.is_datetime64_any_dtype(dtype):
        return "date"
    if pd.api.types.is_complex_dtype(dtype):
        raise ValueError(f"Complex data not supported: column {shorten(column.name)}.")
    if pd.api.types.is_numeric_dtype(dtype) or dtype.kind == "m":
        return "number"
    inferred = pd.api.types.infer_dtype(column, skipna=True)
    if inferred in _DATES:
        return "date"
    return "number" if inferred in _NUMBERS else "objects"


class LearnedColumn(NamedTuple):
    """The kind of a column, what reads it if it holds numbers, and why it is so.

    The reason is empty for categories that are so because nothing else detects them.
    """

    kind: str
    reader: NumberColumn | DateColumn | None
    reason: str


def learn_column(column: pd.Series) -> LearnedColumn:
    """Find the kind of a column of training rows."""
    kind = column_kind(column)
    if kind == "objects":
        form, reason = learn_text(plain_cells(column))
        if isinstance(form, NumberText):
            return LearnedColumn("number", NumberColumn(form), reason)
        if isinstance(form, DateText):
            return LearnedColumn("date", DateColumn(form.zone, form), reason)
        return LearnedColumn("category", None, reason)
    if kind == "empty":
        return LearnedColumn(kind, None, "every cell is missing")
    reason = f"of type {column.dtype}"
    if column.dtype == object:
        reason = f"cells that are {kind}s"
    if kind == "date":
        return LearnedColumn(kind, DateColumn(_zone(column)), reason)
    return LearnedColumn(kind, NumberColumn() if kind == "number" else None, reason)


def read_parts(
    columns: list[pd.Series],
    readers: Sequence[NumberColumn | DateColumn | None],
    remark: Remark,
    *,
    fitting: bool = False,
) -> Parts:
    """The number columns, and the parts of the dates, under (column, part)."""
    parts: Parts = {}
    for column, reader in zip(columns, readers, strict=True):
        if reader is not None:
            read = reader.read(column, remark, fitting=fitting)
            parts |= {(column.name, part): x for part, x in read.items()}
    return parts


def stack_parts(
    parts: Parts, names: list[tuple[Any, str]], *, n_rows: int
) -> NDArray[np.float64]:
    """Some of the numbers as one matrix (n_rows, n_numbers)."""
    out = np.empty((n_rows, len(names)))
    for i, name in enumerate(names):
        out[:, i] = parts[name]
    return out


def key_column(column: Any) -> Any:
    """A column in one form, whatever it came in, by which rows are compared."""
    column = numpy_column(column)
    try:
        kind = column_kind(column)
        if kind == "number":
            return read_numbers(column)
        if kind == "date":
            return DateColumn(_zone(column)).read(column, lambda _: None)["seconds"]
    except (TypeError, ValueError):
        pass  # reading the column will say what is wrong
    return column


# ---------------------------------------------------------------- numbers, dates


class NumberColumn:
    """Reads a column of numbers, booleans or spans of time, or of text with such."""

    def __init__(self, text: NumberText | None = None) -> None:
        self.text = text

    def read(
        self, column: pd.Series, remark: Remark, *, fitting: bool = False
    ) -> dict[str, NDArray[np.float64]]:
        """The numbers, float64, NaN where missing."""
        if self.text is None or not _holds_text(column):
            return {"": read_numbers(column)}
        values = self.text.read(column.tolist())
        _remark_unread(column, np.isnan(values), "number", remark, fitting=fitting)
        return {"": values}


class DateColumn:
    """Reads a column of dates, or of text that holds some, as parts of the date.

    Parameters
    ----------
    zone : tzinfo or None
        The time zone of `fit`, to which dates of other zones are converted: the hour
        and the day are those of this zone.
    text : DateText, optional
    """

    def __init__(self, zone: dt.tzinfo | None, text: DateText | None = None) -> None:
        self.zone, self.text = zone, text

    def read(
        self, column: pd.Series, remark: Remark, *, fitting: bool = False
    ) -> dict[str, NDArray[np.float64]]:
        """The parts of the dates, float64, NaN where missing."""
        if self.text is None or not _holds_text(column):
            dates = self._local(_to_dates(column), column, remark)
        else:
            dates = self.text.read(column.tolist())
            _remark_unread(column, dates.isna(), "date", remark, fitting=fitting)
            if fitting:
                remark_order(column, self.text, remark)
            dates = self._local(dates, column, remark)
        missing = dates.isna().to_numpy()
        seconds = dates.to_numpy().astype("datetime64[us]").astype(np.int64) / 1e6
        parts = {
            part: seconds
            if field is None
            else getattr(dates.dt, field).to_numpy(np.float64)
            for part, field in DATE_PARTS.items()
        }
        return {part: np.where(missing, np.nan, x) for part, x in parts.items()}

    def _local(self, dates: pd.Series, column: pd.Series, remark: Remark) -> pd.Series:
        """Dates as clocks show them in the time zone of `fit`."""
        if isinstance(dates.dtype, pd.DatetimeTZDtype):
            if self.zone is not None:
                return dates.dt.tz_convert(self.zone).dt.tz_localize(None)
            remark(
                f"column {shorten(column.name)} has a time zone, {dates.dtype.tz}, but "
                "had none in fit: its dates are taken as they stand"
            )
            return dates.dt.tz_localize(None)
        if self.zone is not None and dates.notna().any():
            remark(
                f"column {shorten(column.name)} has no time zone: its dates are taken "
                f"for those of fit's, {self.zone}"
            )
        return dates


def remark_order(column: pd.Series, text: DateText, remark: Remark) -> None:
    """Tell of dates that could be read with day and month exchanged as well."""
    if text.ambiguous:
        order = "month" if text.order[0] == "m" else "day"
        remark(
            f"column {shorten(column.name)} holds dates as text that may begin with "
            f"the day or the month, and is read with the {order} first (to change "
            "that, pass pandas.to_datetime(column, format=...))"
        )


def _to_dates(column: pd.Series) -> pd.Series:
    """A column of dates as datetime64; those of several time zones are in UTC."""
    if isinstance(column.dtype, pd.PeriodDtype):
        return column.dt.to_timestamp()
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return column
    if pd.api.types.is_numeric_dtype(column.dtype) and column.notna().any():
        where = int(column.notna().to_numpy().argmax())
        raise cell_error(column, where, "is a number", "Pass dates, as in `fit`.")
    there = convert_cells(column, lambda c: c.notna(), "a date")
    objects = column.astype(object).where(there, None)
    zones = _zones(objects)
    utc = any(zone is not None for zone in zones.values())
    return convert_cells(objects, lambda c: pd.to_datetime(c, utc=utc), "a date")


def _zone(column: pd.Series) -> dt.tzinfo | None:
    """The time zone of a column of dates; UTC where its cells have several."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return column.dtype.tz
    if column.dtype != object:
        return None
    zones = set(_zones(column).values())
    return zones.pop() if len(zones) == 1 else (dt.UTC if zones else None)


def _zones(column: pd.Series) -> dict[int, dt.tzinfo | None]:
    """The time zone of each cell that is a date, by position."""
    zones = {
        i: cell.tzinfo
        for i, cell in enumerate(column)
        if isinstance(cell, dt.datetime) and not pd.isna(cell)
    }
    without = [i for i, zone in zones.items() if zone is None]
    if 0 < len(without) < len(zones):
        raise cell_error(
            column,
            without[0],
            "is a date without a time zone, but other rows have one",
            "Give all dates a time zone, or none.",
        )
    return zones


def _holds_text(column: pd.Series) -> bool:
    if isinstance(column.dtype, pd.CategoricalDtype | pd.StringDtype):
        return True
    return column.dtype == object and any(isinstance(cell, str) for cell in column)


def _remark_unread(
    column: pd.Series, missing: Any, what: str, remark: Remark, *, fitting: bool
) -> None:
    """Tell of cells that are there and could not be read.

    Marks of missing values, such as "?", are told of in `fit` alone.
    """
    cells = column.tolist()
    unread = [
        i
        for i in np.flatnonzero(missing).tolist()
        if not is_absent(cells[i]) and (fitting or not is_marker(cells[i]))
    ]
    if unread:
        first = unread[0]
        remark(
            f"{len(unread)} cell(s) of column {shorten(column.name)} are no {what} and "
            f"are treated as missing; the first is {shorten(cells[first])} in row "
            f"{row_label(column, first)}"
        )


# ---------------------------------------------------------------- categories


def count_labels(column: pd.Series) -> tuple[pd.Series, int]:
    """How often each category occurs, most frequent first, and the missing cells."""
    cells = column.tolist()
    try:
        labels = pd.Series([_label(cell) for cell in cells], dtype=object)
    except CELL_ERRORS:
        raise _no_category(column, cells) from None
    frequency = labels.value_counts().sort_index()
    frequency = frequency.sort_values(ascending=False, kind="stable")
    return frequency, int(labels.isna().sum())


def span_groups(
    column: pd.Series, frequency: pd.Series, groups: NDArray[np.intp] | None
) -> NDArray[np.bool_]:
    """Which labels, as `count_labels` gives them, rows of another group may have.

    A label in several rows, all of them of one group, is as good as the group's name:
    the rows of other groups will not have it.
    """
    if groups is None:
        return np.ones(len(frequency), dtype=bool)
    labels = pd.Series([_label(cell) for cell in column.tolist()], dtype=object)
    n_groups = pd.Series(groups).groupby(labels.to_numpy()).nunique()
    several = n_groups.reindex(frequency.index).to_numpy() > 1
    return np.asarray(several | (frequency.to_numpy() == 1))


def read_codes(
    column: pd.Series, known: Mapping[str | None, int], *, unknown: int
) -> NDArray[np.int32]:
    """A column of categories as the codes of their labels; None codes what is missing.

    Most cells are labels already, and are looked up as they are.
    """
    cells, get = column.tolist(), known.get
    try:
        found = [get(cell, -1) for cell in cells]
        found = [
            get(_label(cell), unknown) if code < 0 else code
            for cell, code in zip(cells, found, strict=True)
        ]
    except CELL_ERRORS:
        raise _no_category(column, cells) from None
    return np.array(found, dtype=np.int32)


def _label(value: Any) -> str | None:
    """The same text for 1, 1.0 and "1": tables change type when cells go missing."""
    if isinstance(value, str):
        return mend_surrogates(value).strip() or None
    hash(value)  # of what cannot be a category, such as a list, a TypeError
    if isinstance(value, complex | np.complexfloating):
        raise ValueError("complex numbers are no categories")
    if value is None or value is pd.NA or value != value:
        return None
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    return str(value).strip() or None


def _no_category(column: pd.Series, cells: Sequence[Any]) -> Exception:
    """An error that names the first cell that cannot be a category."""
    where, error = next((i, e) for i, e in enumerate(map(_fault, cells)) if e)
    remedy = "Convert the cells, or give the column to another modality."
    if not isinstance(error, TypeError):
        return cell_error(
            column, where, f"is no category: {shorten(cells[where])}", remedy
        )
    found = type(cells[where]).__name__
    return TypeError(
        f"A category argument must be a string or a real number, not {found!r}, which "
        f"row {row_label(column, where)} of column {shorten(column.name)} holds. "
        f"{remedy}"
    )


def _fault(cell: Any) -> Exception | None:
    try:
        _label(cell)
    except CELL_ERRORS as error:
        return error
    return None
