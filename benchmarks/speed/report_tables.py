"""Tables of the speed benchmark, as fragments of reStructuredText."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from benchmarks.common.tasks import TASKS
from benchmarks.common.text import (
    NOTHING,
    csv_table,
    frame_table,
    measured_with,
    shown,
)
from benchmarks.speed.growth import POINTS, SIZES
from benchmarks.speed.report_rows import BEFORE, OWN, Results, exponent

NAMES = {OWN: "skfusion", BEFORE: "first edition"}
GROWING = {"fit_cpu_seconds": ("CPU-seconds", ".1f"), "fit_MiB": ("MiB", ".0f")}


def figure_table(figure: str, form: str, ratio: str = "") -> Callable[[Results], str]:
    """A figure, tasks x methods, and by how much today's differs from before."""

    def write(results: Results) -> str:
        values = results.table(figure)
        if values.empty:
            return NOTHING
        failed = results.failed.reindex_like(values).fillna("")
        cells = shown(values, form)
        cells = cells.where(cells != "", failed)
        if ratio and {OWN, BEFORE} <= set(values):
            cells.insert(2, ratio, shown(_ratio(values, ratio), ".1f"))
        n_train = results.table("n_train").max(axis=1)
        cells.insert(0, "rows", shown(n_train, ",.0f"))
        return frame_table(cells.rename(columns=NAMES))

    return write


def _ratio(values: pd.DataFrame, name: str) -> pd.Series:
    if name.endswith("more"):
        return values[OWN] / values[BEFORE]
    return values[BEFORE] / values[OWN]


def differences(results: Results) -> pd.DataFrame:
    """Of today and before: score, points, standard error, log-loss, its ratio."""
    score, loss = results.pairs("score"), results.pairs("log_loss")
    table = pd.DataFrame(
        {
            "score": score[OWN],
            "before": score[BEFORE],
            "points": 100 * (score[OWN] - score[BEFORE]),
            "log_loss": loss[OWN],
            "loss_before": loss[BEFORE],
        }
    )
    p = score.mean(axis=1)
    n = results.table("n_test").max(axis=1).reindex(table.index)
    error = 100 * np.sqrt((p * (1 - p)).clip(lower=0) / n)
    table["error"] = error.where(table["log_loss"].notna())
    table["loss_change"] = 100 * (table["log_loss"] / table["loss_before"] - 1)
    return table.reindex([task for task in TASKS if task in table.index])


def score_table(results: Results) -> str:
    """What speed cost."""
    table = differences(results)
    if table.empty:
        return NOTHING
    cells = pd.DataFrame(
        {
            "accuracy or R2": shown(table["score"], ".3f"),
            "first edition": shown(table["before"], ".3f"),
            "points": shown(table["points"], "+.1f"),
            "one standard error": shown(table["error"], ".1f"),
            "log-loss": shown(table["log_loss"], ".3f"),
            "log-loss, first edition": shown(table["loss_before"], ".3f"),
            "change, %": shown(table["loss_change"], "+.1f"),
        }
    )
    return frame_table(cells.rename_axis("task"))


def growth_rows(results: Results, varied: str) -> pd.DataFrame:
    """The fits in which one size was varied, small ones first; or those of a point."""
    rows = results.growth
    if not len(rows):
        return rows
    rows = rows[(rows["varied"] == varied) & (rows["status"] == "ok")]
    return rows.sort_values(varied) if varied in SIZES else rows


def growth_table(results: Results) -> str:
    """Seconds and memory of each size, and their exponents."""
    lines = []
    for varied in SIZES:
        rows = growth_rows(results, varied)
        for figure, (title, form) in GROWING.items() if len(rows) else ():
            points = [
                f"{size:,}: {format(value, form)}"
                for size, value in zip(rows[varied], rows[figure], strict=True)
            ]
            slope = exponent(rows[varied], rows[figure])
            shown = "" if np.isnan(slope) else f"{slope:.2f}"
            lines.append([varied, title, "; ".join(points), shown])
    return csv_table(lines, ["varied", "", "size: value", "exponent"], stub=2)


def point_table(results: Results) -> str:
    """The fits of one size alone."""
    lines = [
        [
            name,
            f"{row.fit_cpu_seconds:.1f}",
            f"{row.fit_MiB:.0f}",
            f"{row.row_cpu_ms:.1f}",
            f"{row.rows_per_cpu_second:,.0f}",
            f"{row.pickle_MB:.1f}",
        ]
        for name in POINTS
        for row in growth_rows(results, name).itertuples()
    ]
    header = ["", "fit, CPU-s", "MiB", "one row, ms", "rows a second", "pickle, MB"]
    return csv_table(lines, header)


def busy_ratios(results: Results) -> pd.DataFrame:
    """Median CPU-seconds alone and beside, and their ratio, by task."""
    if not len(results.busy):
        return pd.DataFrame(columns=["alone", "beside", "ratio"])
    table = results.busy.pivot_table(
        "fit_cpu_seconds", "task", "where", aggfunc="median"
    )
    return table.assign(ratio=table["beside"] / table["alone"])


def busy_table(results: Results) -> str:
    """A fit beside a process that keeps all cores busy."""
    table = busy_ratios(results)
    lines = [
        [task, f"{row['alone']:.1f}", f"{row['beside']:.1f}", f"{row['ratio']:.2f}"]
        for task, row in table.iterrows()
    ]
    return csv_table(lines, ["task", "alone, CPU-s", "beside, CPU-s", "ratio"])


def source(results: Results) -> str:
    """What the figures were measured with."""
    own = results.rows[results.rows["method"] == OWN]
    if not len(own):
        return NOTHING
    before = results.rows[results.rows["method"] == BEFORE]
    commits = ", ".join(f"``{code}``" for code in dict.fromkeys(before["code"]))
    machines = "; ".join(dict.fromkeys(results.rows["machine"]))
    against = f"; the first edition is {commits}" if commits else ""
    return f"{measured_with(own)}{against}; {machines}; one thread a fit."


FRAGMENTS: dict[str, Callable[[Results], str]] = {
    "fit": figure_table("fit_cpu_seconds", ",.1f", "times faster"),
    "row": figure_table("row_cpu_ms", ",.1f", "times faster"),
    "row_wall": figure_table("row_ms", ",.1f", "times faster"),
    "batches": figure_table("rows_per_cpu_second", ",.0f", "times more"),
    "memory": figure_table("fit_MiB", ",.0f", "times less"),
    "pickle": figure_table("pickle_MB", ",.2f", "times less"),
    "scores": score_table,
    "growth": growth_table,
    "points": point_table,
    "busy": busy_table,
    "source": source,
}
