"""Numbers as sentences and tables in reStructuredText."""

import pandas as pd

NOTHING = "*Not measured yet.*"


def csv_table(table: pd.DataFrame) -> str:
    """A table of strings, its index in the first column."""
    if table.empty:
        return NOTHING
    lines = [[table.index.name or "", *table.columns]]
    lines += [[name, *cells] for name, *cells in table.itertuples()]
    quoted = [", ".join(f'"{cell}"' for cell in line) for line in lines]
    options = [":header-rows: 1", ":widths: auto", ":class: table-sm wrapped"]
    head = [".. csv-table::", *(f"   {option}" for option in options), ""]
    return "\n".join([*head, *(f"   {line}" for line in quoted)])


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
