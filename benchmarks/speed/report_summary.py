"""What speed has to reach, and whether it does."""

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from benchmarks.common.text import csv_table
from benchmarks.speed.busy import TARGET
from benchmarks.speed.growth import COMMON, FEW_OF_MANY, SIZES
from benchmarks.speed.report_rows import BEFORE, OWN, Results, exponent
from benchmarks.speed.report_tables import (
    GROWING,
    busy_ratios,
    differences,
    growth_rows,
)

# Largest number of rows, and the share of the seconds before that a fit may take.
SHARES = ((0, 999, 1 / 8), (1000, 4000, 1 / 5), (4001, 10**9, 1 / 2))
TEXT_AND_TABLE = (
    *("womens_clothing", "womens_clothing:Rating", "womens_clothing:Department"),
    *("druglib", "druglib:effectiveness", "midwest_survey", "titanic"),
    "employee_salaries",
)
LARGEST_EXPONENT = 1.05


class Goal(NamedTuple):
    """One line of the table."""

    what: str
    value: float
    sign: str
    target: float
    form: str

    @property
    def is_met(self) -> bool:
        """Whether the target is reached."""
        if self.sign == ">=":
            return self.value >= self.target
        return self.value <= self.target

    def cells(self) -> list[str]:
        """What, value (bold where it misses the target), target."""
        value = format(self.value, self.form)
        sign = "≥" if self.sign == ">=" else "≤"
        target = f"{sign} {format(self.target, self.form)}"
        return [self.what, value if self.is_met else f"**{value}**", target]


def goals(results: Results) -> Iterator[Goal]:
    """All that can be told from the results."""
    yield from _fits(results)
    yield from _predictions(results)
    yield from _scores(results)
    yield from _growth(results)
    for task, row in busy_ratios(results).iterrows():
        what = f"beside a busy process, times the CPU-seconds ({task})"
        yield Goal(what, row["ratio"], "<=", TARGET, ".2f")


def _fits(results: Results) -> Iterator[Goal]:
    seconds = results.pairs("fit_cpu_seconds")
    n_train = results.table("n_train").max(axis=1).reindex(seconds.index)
    for least, most, share in SHARES:
        chosen = seconds[n_train.between(least, most)]
        if len(chosen):
            span = f"{least:,} to {most:,}" if most < 10**9 else f"above {least - 1:,}"
            what = f"fit, share of the first edition's CPU-seconds, {span} rows: median"
            ratio = float((chosen[OWN] / chosen[BEFORE]).median())
            yield Goal(f"{what} of {len(chosen)}", ratio, "<=", share, ".3f")
    own = results.table("fit_cpu_seconds").get(OWN, pd.Series(dtype=float))
    if "womens_clothing" in own.dropna():
        what = "fit of womens_clothing, CPU-seconds"
        yield Goal(what, own["womens_clothing"], "<=", 40, ".0f")


def _predictions(results: Results) -> Iterator[Goal]:
    for figure, what, sign, target, form in (
        ("row_cpu_ms", "one row of text and table, ms, p50", "<=", 10, ".1f"),
        ("rows_per_cpu_second", "rows of text and table a second", ">=", 5000, ",.0f"),
    ):
        own = results.table(figure).get(OWN, pd.Series(dtype=float)).dropna()
        own = own[own.index.isin(TEXT_AND_TABLE)]
        if len(own):
            value = float(own.median())
            yield Goal(f"{what}: median of {len(own)} tasks", value, sign, target, form)
            worst = own.idxmax() if sign == "<=" else own.idxmin()
            what = f"the same, worst task ({worst})"
            yield Goal(what, float(own[worst]), sign, target, form)


def _scores(results: Results) -> Iterator[Goal]:
    table = differences(results)
    if table.empty:
        return
    points = float(table["points"].mean())
    what = f"points of accuracy or R2 above the first edition: mean of {len(table)}"
    yield Goal(what, points, ">=", -0.1, "+.2f")
    worse = int((table["points"] < -table["error"]).sum())
    yield Goal("tasks worse by more than one standard error", worse, "<=", 0, ".0f")
    change = table["loss_change"].dropna()
    if len(change):
        what = f"change of log-loss, %: mean of {len(change)}"
        yield Goal(what, float(change.mean()), "<=", 2, "+.1f")


def _growth(results: Results) -> Iterator[Goal]:
    for varied in SIZES:
        rows = growth_rows(results, varied)
        if len(rows) < 3:
            continue
        for figure, (title, _) in GROWING.items():
            slope = exponent(rows[varied], rows[figure])
            what = f"exponent of {title} against {varied}"
            yield Goal(what, slope, "<=", LARGEST_EXPONENT, ".2f")
    for row in growth_rows(results, FEW_OF_MANY).itertuples():
        what = f"fit of {FEW_OF_MANY}, CPU-seconds"
        yield Goal(what, row.fit_cpu_seconds, "<=", 10, ".1f")
    for row in growth_rows(results, COMMON).itertuples():
        yield Goal(f"pickle of {COMMON}, MB", row.pickle_MB, "<=", 5, ".1f")


def summary(results: Results) -> str:
    """One line a target."""
    lines = [goal.cells() for goal in goals(results)]
    return csv_table(lines, ["", "measured", "target"])
