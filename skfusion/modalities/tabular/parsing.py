"""Numbers and dates that come as text: whether a column holds them, and what they are.

A column is read as what nearly all of its cells are; the other cells are missing.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from numbers import Real
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skfusion.modalities.detection import nearly_all

__all__ = ["CODES", "DateText", "NumberText", "is_marker", "learn_text"]

#: What is said of text that could hold numbers, and is not read so.
CODES = "whole numbers written as text that may be codes"
#: What people write where they know nothing.
_MARKERS = frozenset(
    {"?", "-", "--", "---", "\u2013", "\u2014", ".", "..", "...", "/", "na", "n.a."}
    | {"n/a", "#n/a", "nan", "null", "none", "nil", "nat", "unknown", "missing"}
)


def is_marker(cell: Any) -> bool:
    """Tell whether a string stands for a missing value, as "?" and "n/a" do."""
    is_short = isinstance(cell, str) and len(cell) < 20
    return is_short and cell.strip().lower() in _MARKERS


def _sample(cells: Sequence[Any]) -> list[Any]:
    """Cells that decide on the form of a column, evenly spaced."""
    cells = cells[:: max(1, len(cells) // 20_000)]
    known = [cell for cell in cells if not is_marker(cell)]
    return known[:: max(1, len(known) // 1000)]


def learn_text(cells: Sequence[Any]) -> tuple[NumberText | DateText | None, str]:
    """How nearly all cells write numbers or dates; in words, why they do or do not."""
    numbers, are_codes = NumberText.find(cells)
    if numbers is not None and not are_codes:
        return numbers, numbers.words
    dates = DateText.learn(cells)
    if dates is not None:
        return dates, dates.words
    return None, CODES * are_codes


# ---------------------------------------------------------------- numbers

_CURRENCY = "$¢-¥֏؋৲৳৻૱௹฿៛\u20a0-\u20cf﷼"
_NUMBER = re.compile(
    rf"""(?P<open>\()?\s*(?P<sign>[-+])?\s*
    (?P<prefix>[A-Za-z]{{0,3}}[{_CURRENCY}]|[A-Z]{{3}}(?=\s)|Rs\.?|kr\.?)?\s*
    (?P<inner>[-+])?
    (?P<body>\d[\d.,' _]*|[.,]\d+)(?P<exponent>[eE][-+]?\d{{1,3}})?\s*
    (?P<suffix>(?:[%‰°+]|[^\W\d_]|[{_CURRENCY}])[^\d()]{{0,11}}[23]?)?\s*(?(open)\))""",
    re.VERBOSE,
)
_MARKS = str.maketrans("\u2212\u2019\u066a\u066b\u066c", "-'%.,")


def _plain(text: str) -> str:
    """The same in ASCII where that can be: digits of other scripts, wide characters."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(_MARKS)
        text = "".join(str(int(c)) if c.isdecimal() else c for c in text)
    return text.strip()


def _body(decimal: str, group: str) -> re.Pattern[str]:
    """Digits, grouped or not. Zeros in front are those of codes; long ones as well."""
    group = re.escape(group)
    return re.compile(
        rf"(?:0|[1-9]\d{{0,14}}|[1-9]\d{{0,2}}([{group}' _])\d{{3}}(?:\1\d{{3}})*"
        rf"|[1-9]\d?(?:{group}\d\d)+{group}\d{{3}})?(?:{re.escape(decimal)}\d*)?"
    )


_BODY = {".": _body(".", ","), ",": _body(",", ".")}
#: Digits from which whole numbers that are equally long may be codes.
_CODE_DIGITS = 4
_CLOCK = re.compile(r"(\d{1,3}):([0-5]\d)(?::([0-5]\d(?:\.\d+)?))?")


def _are_codes(values: NDArray[np.float64]) -> bool:
    """Whether numbers may be codes: whole ones that repeat, or that are equally long.

    Whoever keeps ZIP codes, ratings or numbers of departments as text means them so.
    """
    if (values != values.round()).any() or (values < 0).any():
        return False
    digits = {len(str(int(value))) for value in values}
    equally_long = len(digits) == 1 and min(digits) >= _CODE_DIGITS
    return equally_long or len(np.unique(values)) <= max(2, len(values) // 2)


class NumberText(NamedTuple):
    """How the numbers of a column are written.

    ``decimal`` is "." or ","; or ":" where the cells are times of day or spans of time,
    which are read in seconds (hours and minutes, if there are two parts). ``affix`` is
    the sign or unit that stands before and after the numbers, or before and after none.
    """

    decimal: str
    affix: tuple[str, str] = ("", "")

    @property
    def words(self) -> str:
        """What the cells are."""
        if self.decimal == ":":
            return "times or spans of time written as text"
        sign = "".join(self.affix)
        return "numbers written as text" + f" with {sign!r}" * bool(sign)

    @classmethod
    def learn(cls, cells: Sequence[Any]) -> Self | None:
        """Find the form of nearly all present cells; None where there is none.

        Whole numbers that may be codes (`_are_codes`) stay categories.
        """
        form, are_codes = cls.find(cells)
        return None if are_codes else form

    @classmethod
    def find(cls, cells: Sequence[Any]) -> tuple[Self | None, bool]:
        """The form of nearly all present cells, and whether they may be codes."""
        known = _sample(cells)
        if not nearly_all(sum(map(_may_be_number, known)), len(known)):
            return None, False
        texts = [_plain(cell) for cell in known if isinstance(cell, str)]
        found = [match for match in map(_NUMBER.fullmatch, texts) if match]
        affixes = Counter(_affix(match) for match in found)
        affix = max(affixes, key=lambda a: (any(a), affixes[a]), default=("", ""))
        best = max(
            (cls(form, affix) for form in (".", ",", ":")),
            key=lambda form: int(np.isfinite(form.read(known)).sum()),
        )
        values = best.read(known)
        values = values[np.isfinite(values)]
        if not nearly_all(len(values), len(known)):
            return None, False
        plain = not any(affix) and best.decimal != ":"
        return best, plain and _are_codes(values)

    def read(self, cells: Sequence[Any]) -> NDArray[np.float64]:
        """The numbers, NaN where there is none."""
        return np.array([self._read(cell) for cell in cells], dtype=np.float64)

    def _read(self, cell: Any) -> float:
        if not isinstance(cell, str):
            return _as_float(cell)
        text = _plain(cell)
        if self.decimal == ":":
            clock = _CLOCK.fullmatch(text)
            if clock is None:
                return np.nan
            return 3600 * int(clock[1]) + 60 * int(clock[2]) + float(clock[3] or 0)
        match = _NUMBER.fullmatch(text)
        if match is None or _affix(match) not in (("", ""), self.affix):
            return np.nan
        body = match["body"].strip()
        if not _BODY[self.decimal].fullmatch(body):
            return np.nan
        keep = "".join(c for c in body if c.isdecimal() or c == self.decimal)
        value = float(keep.replace(",", ".") + (match["exponent"] or ""))
        minus = [match["open"], match["sign"], match["inner"]]
        negative = sum(mark in ("(", "-") for mark in minus) % 2
        return (-value if negative else value) if np.isfinite(value) else np.nan


def _as_float(cell: Any) -> float:
    try:
        value = float(cell) if isinstance(cell, Real | Decimal) else np.nan
    except (ValueError, OverflowError):
        return np.nan
    return value if np.isfinite(value) else np.nan


def _may_be_number(cell: Any) -> bool:
    """A cheap test first: columns of texts are many, and their cells long."""
    if isinstance(cell, str):
        return len(cell) < 40 and any(c.isdecimal() for c in cell)
    return isinstance(cell, Real | Decimal)


def _affix(match: re.Match[str]) -> tuple[str, str]:
    return match["prefix"] or "", (match["suffix"] or "").strip()


# ---------------------------------------------------------------- dates

_MONTHS = {
    name[:n]: f"{i:02d}"
    for i, name in enumerate(
        (
            *("january", "february", "march", "april", "may", "june", "july"),
            *("august", "september", "october", "november", "december"),
        ),
        start=1,
    )
    for n in (3, 4, len(name))
}
_WEEKDAY = re.compile(r"mon|tue|wed|thu|fri|sat|sun")
_UNITS = frozenset("年月日년월일") | {"st", "nd", "rd", "th", "of"}
_TIME = re.compile(
    r"(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(?:\s*([ap])\.?m\b\.?)?",
    re.IGNORECASE,
)
_ZONE = re.compile(r"(?:utc|gmt|z)?(?:([+-]\d\d):?(\d\d)?)?", re.IGNORECASE)
#: Year, month and day as they may stand, in the order in which they are tried.
_ORDERS = ("Ymd", "mdY", "dmY", "mdy", "dmy", "Ym", "mY")


class _Moment(NamedTuple):
    """A text taken apart: numbers of the date, which one is a named month, the rest."""

    date: tuple[str, ...]
    month: int | None
    time: str
    zone: str

    @classmethod
    def of(cls, cell: Any) -> Self | None:
        """Take a cell apart; None where it holds no date."""
        text = cell.isoformat(" ") if isinstance(cell, dt.datetime) else cell
        if not isinstance(text, str):
            text = str(cell) if isinstance(cell, dt.date) else ""
        time = _TIME.search(text)
        head, tail = text, ""
        if time is not None:
            head, tail = text[: time.start()], text[time.end() :].strip()
            head = re.sub(r"(?<=\d)[Tt]$", "", head.rstrip())
        zone = _ZONE.fullmatch(tail)
        if zone is None or not re.fullmatch(r"[\w\s,./-]+", head):
            return None
        tokens = [t.lower() for t in re.findall(r"\d+|[^\W\d_]+", head)]
        tokens = [t for t in tokens if t not in _UNITS]
        tokens = tokens[1:] if tokens and _WEEKDAY.match(tokens[0]) else tokens
        named = [i for i, token in enumerate(tokens) if not token.isdecimal()]
        if len(named) > 1 or any(tokens[i] not in _MONTHS for i in named):
            return None
        date = tuple(_MONTHS.get(token, token) for token in tokens)
        offset = f"{zone[1] or '+00'}{zone[2] or '00'}" if tail else ""
        return cls(date, named[0] if named else None, _clock(time), offset)

    def fits(self, order: str) -> bool:
        return len(self.date) == len(order) and (
            self.month is None or order[self.month] == "m"
        )


def _clock(time: re.Match[str] | None) -> str:
    if time is None:
        return "00:00:00.000000"
    hour = int(time[1])
    if time[5]:
        hour = hour % 12 + 12 * (time[5].lower() == "p")
    return f"{hour:02d}:{time[2]}:{time[3] or '00'}.{(time[4] or '')[:6]:0<6}"


class DateText(NamedTuple):
    """How the dates of a column are written.

    ``order`` says where year, month and day stand ("y" is a year of two digits),
    ``zone`` the time zone of dates that have one: their own, or UTC where they differ.
    ``ambiguous`` dates may be read with day and month exchanged as well.
    """

    order: str
    zone: dt.tzinfo | None
    ambiguous: bool = False

    @property
    def words(self) -> str:
        """What the cells are."""
        parts = {"y": "year", "m": "month", "d": "day"}
        order = ", ".join(parts[part] for part in self.order.lower())
        return f"dates written as text ({order})"

    @classmethod
    def learn(cls, cells: Sequence[Any]) -> Self | None:
        """Find the form of nearly all present cells; None where there is none."""
        known = _sample(cells)
        if not nearly_all(sum(map(_may_be_date, known)), len(known)):
            return None
        moments = [m for m in map(_Moment.of, known) if m is not None]
        zones = Counter(moment.zone for moment in moments)
        zone = None
        if zones[""] < len(moments) / 2:
            del zones[""]
            zone = _fixed(next(iter(zones))) if len(zones) == 1 else dt.UTC
        orders: tuple[str, ...] = _ORDERS
        if "." in str(known[0]).split(":")[0]:  # 31.12.2020
            orders = ("Ymd", "dmY", "dmy", *_ORDERS)
        tried = {
            order: cls(order, zone).read(known)
            for order in dict.fromkeys(orders)
            if any(moment.fits(order) for moment in moments)
        }
        counts = {order: int(dates.notna().sum()) for order, dates in tried.items()}
        best = max(counts, key=counts.__getitem__, default="")
        if not nearly_all(counts.get(best, 0), len(known)):
            return None
        other = best.translate(str.maketrans("dm", "md"))
        ambiguous = other != best and counts.get(other) == counts[best]
        return cls(best, zone, ambiguous and not tried[other].equals(tried[best]))

    def read(self, cells: Sequence[Any]) -> pd.Series:
        """The dates, NaT where there is none; in UTC where they have a zone."""
        aware = self.zone is not None
        plain: list[str | None] = []
        for cell in cells:
            moment = _Moment.of(cell)
            if moment and moment.fits(self.order) and bool(moment.zone) == aware:
                date = " ".join(moment.date)
                plain.append(f"{date} {moment.time}{moment.zone}")
            else:
                plain.append(None)
        form = " ".join(f"%{part}" for part in self.order) + " %H:%M:%S.%f"
        return pd.to_datetime(
            pd.Series(plain, dtype=object),
            format=form + "%z" * aware,
            errors="coerce",
            utc=aware,
        )


def _fixed(offset: str) -> dt.tzinfo:
    """The time zone of "+0200"."""
    minutes = int(offset[1:3]) * 60 + int(offset[3:])
    return dt.timezone(dt.timedelta(minutes=-minutes if offset[0] == "-" else minutes))


def _may_be_date(cell: Any) -> bool:
    if isinstance(cell, str):
        return len(cell) < 48 and sum(c.isdecimal() for c in cell) >= 3
    return isinstance(cell, dt.date)
