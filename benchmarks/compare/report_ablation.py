"""The ablation: variants of the package's estimators, held against the defaults."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from benchmarks.common.tasks import TASKS
from benchmarks.common.text import NOTHING, frame_table, shown
from benchmarks.compare.report_rows import DEFAULTS, VARIANTS, Results, shared_runs

COLUMNS = ("variant", "task", "accuracy", "R2", "log_loss", "time")
COUNTS = ("changes", "n_runs")


def differences(results: Results) -> pd.DataFrame:
    """Each variant minus the defaults, by task: points, log-loss, log of the time."""
    found = [_difference(*pair) for pair in _pairs(results)]
    return pd.DataFrame(found, columns=[*COLUMNS, *COUNTS])


def _pairs(results: Results) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """A variant and the defaults, the same runs of the same task."""
    rows = results.rows[results.rows["status"] == "ok"]
    tables = {
        key: table.set_index(["fold", "seed"])
        for key, table in rows.groupby(["task", "method"])
    }
    for variant in VARIANTS:
        for task in TASKS:
            if (task, variant) in tables and (task, DEFAULTS) in tables:
                pair = tables[task, variant], tables[task, DEFAULTS]
                shared = shared_runs(list(pair))
                code = [table.loc[shared, "code"].astype(str) for table in pair]
                # Of another commit, other changes would be in the difference.
                shared = [run for run in shared if code[0][run] == code[1][run]]
                if shared:
                    yield pair[0].loc[shared], pair[1].loc[shared]


def _difference(variant: pd.DataFrame, defaults: pd.DataFrame) -> dict[str, object]:
    figures = ["accuracy", "R2", "log_loss"]
    gap = (variant[figures] - defaults[figures]).mean()
    ratio = variant["fit_seconds"] / defaults["fit_seconds"]
    gaps = variant[["score", "log_loss"]] - defaults[["score", "log_loss"]]
    return {
        "variant": variant["method"].iloc[0].partition(":")[2],
        "task": variant["task"].iloc[0],
        "accuracy": 100 * gap["accuracy"],
        "R2": 100 * gap["R2"],
        "log_loss": gap["log_loss"],
        "time": np.log(ratio).mean(),
        "changes": bool(gaps.fillna(0).ne(0).any(axis=None)),
        "n_runs": len(variant),
    }


def variant_table(results: Results) -> str:
    """Mean difference of each variant over the tasks in which it changes anything."""
    found = differences(results)
    if found.empty:
        return NOTHING
    changed = found[found["changes"]].groupby("variant", sort=False)
    points, loss = changed["accuracy"], changed["log_loss"]
    table = pd.DataFrame(
        {
            "tasks": shown(changed.size(), "d"),
            "accuracy, points": shown(points.mean(), "+.2f"),
            "worst task": shown(points.min(), "+.1f"),
            "best task": shown(points.max(), "+.1f"),
            "log-loss": shown(loss.mean(), "+.4f"),
            "tasks with a higher log-loss": shown(loss.agg(_n_above), "d"),
            "R2, points": shown(changed["R2"].mean(), "+.2f"),
            "fit time, ratio": shown(np.exp(changed["time"].mean()), ".2f"),
        }
    )
    return frame_table(table)


def _n_above(gaps: pd.Series) -> int:
    return int((gaps > 0).sum())


def variant_summary(results: Results) -> str:
    """On how many runs the ablation rests."""
    found = differences(results)
    if found.empty:
        return NOTHING
    return f"{found['n_runs'].sum()} pairs of runs, each of one commit of the package."


def task_table(results: Results) -> str:
    """The differences in points of accuracy (or R2) and in log-loss, by task."""
    found = differences(results)
    if found.empty:
        return NOTHING
    points = shown(found["accuracy"].fillna(found["R2"]), "+.1f")
    loss = shown(found["log_loss"], "+.3f")
    cells = points + (" / " + loss).where(loss != "", "")
    cells = cells.where(found["changes"].astype(bool), "same")
    table = found.assign(cell=cells).pivot(
        index="task", columns="variant", values="cell"
    )
    tasks = [task for task in TASKS if task in table.index]
    return frame_table(
        table.reindex(index=tasks, columns=found["variant"].unique()).fillna("")
    )
