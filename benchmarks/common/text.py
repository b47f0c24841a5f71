"""Numbers as sentences and tables in reStructuredText."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

NOTHING = "*Not measured yet.*"


def csv_table(rows: Iterable[list[str]], header: list[str], stub: int = 1) -> str:
    """A table of strings; its first `stub` columns name the rows."""
    rows = list(rows)
    if not rows:
        return NOTHING
    options = [":header-rows: 1", f":stub-columns: {stub}", ":widths: auto"]
    options.append(":class: table-sm wrapped")
    lines = [", ".join(_quoted(cell) for cell in line) for line in [header, *rows]]
    body = [*options, "", *lines]
    return "\n".join([".. csv-table::", *(f"   {line}".rstrip() for line in body)])


def _quoted(cell: object) -> str:
    return '"' + str(cell).replace('"', '""') + '"'


def frame_table(table: pd.DataFrame) -> str:
    """A table of strings, its index in the first column."""
    rows = [[name, *cells] for name, *cells in table.itertuples()]
    return csv_table(rows, [table.index.name or "", *table.columns])


def bullets(sentences: list[str]) -> str:
    """A list."""
    return "\n".join(f"- {sentence}" for sentence in sentences) or NOTHING


def of(count: int, total: int, noun: str = "task") -> str:
    """Such as "3 of 4 tasks (75 %)"."""
    share = f" ({count / total:.0%})".replace("%", " %") if total else ""
    return f"{count} of {total} {noun}{'' if total == 1 else 's'}{share}"


def shown(values: pd.DataFrame | pd.Series, form: str) -> pd.DataFrame | pd.Series:
    """Numbers in that format, and nothing where there is none."""

    def cell(value: float) -> str:
        return "" if pd.isna(value) else format(value, form)

    return values.map(cell).astype(object)


def failures(status: pd.Series) -> pd.Series:
    """What became of fits that did not end well: "> 600 s", or "failed"."""
    limits = status.astype(str).str.extract(r"more than ([\d.]+) s", expand=False)
    return ("> " + limits + " s").fillna("failed")


def measured_with(rows: pd.DataFrame) -> str:
    """When, at which commits of the package, and with which versions."""
    codes = ", ".join(f"``{code}``" for code in dict.fromkeys(rows["code"]))
    names = ("python", "numpy", "scikit-learn", "torch", "skorch", "versions")
    told = "; ".join(
        f"{name} {', '.join(dict.fromkeys(rows[name].astype(str)))}"
        for name in names
        if name in rows
    ).replace("versions ", "")
    days = sorted({str(date)[:10] for date in rows["date"]})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    return f"*Measured* {when} *with the package at commit* {codes}; {told}"


def write_fragments(
    module: str, folder: Path, fragments: Mapping[str, Callable[[Any], str]], of: Any
) -> None:
    """Write files that a page of the docs includes, each made of the same results."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, write in fragments.items():
        text = f".. Made by python -m {module}\n\n{write(of)}\n"
        (folder / f"{name}.txt").write_text(text)
