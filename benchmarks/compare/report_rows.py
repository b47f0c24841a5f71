"""The rows of benchmarks/results/compare.csv, and the means that are compared."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from benchmarks.common.tasks import TASKS
from benchmarks.common.text import failures
from benchmarks.compare.methods import OURS, PEERS

DEFAULTS = "skfusion"  # the method whose figures the others are held against
COMPARED = (DEFAULTS, *PEERS)
VARIANTS = tuple(name for name in OURS if name != DEFAULTS)
REGRESSIONS = ("employee_salaries", "houses")  # scored by R2
FIGURES = (
    *("score", "accuracy", "AUC", "log_loss", "ECE", "R2"),
    *("fit_seconds", "predict_seconds", "peak_MiB", "n_test"),
)


class Results(NamedTuple):
    """The newest row of every fit, and the means that methods are compared by."""

    rows: pd.DataFrame  # one a fit: task, method, fold, seed, figures, status
    means: pd.DataFrame  # by (task, method): figures over the runs that all share
    failed: pd.DataFrame  # tasks x methods: "> 600 s", "failed", or ""

    @property
    def tasks(self) -> list[str]:
        """Tasks that the defaults and at least one peer finished."""
        counts = self.pivot("score").notna()
        enough = counts[DEFAULTS] & (counts.sum(axis=1) > 1)
        return list(enough.index[enough])

    def pivot(self, figure: str) -> pd.DataFrame:
        """A figure of the compared methods, tasks x methods; NaN where it lacks."""
        table = self.means[figure].unstack("method")
        tasks = [task for task in TASKS if task in table.index]
        methods = [m for m in COMPARED if m in table or m == DEFAULTS]
        return table.reindex(index=tasks, columns=methods).rename_axis(index="task")


def read(path: Path) -> Results:
    """The newest row of every fit of a method and a task that are still there."""
    rows = pd.read_csv(path, dtype={"code": str, "versions": str, "commit": str})
    rows = rows[rows["task"].isin(TASKS) & rows["method"].isin([*OURS, *PEERS])]
    rows = rows.drop_duplicates(["task", "method", "fold", "seed"], keep="last")
    rows = rows.reset_index(drop=True)
    rows["score"] = rows["accuracy"].fillna(rows["R2"])
    # On a busy machine, one thread's own seconds are what it would take by itself.
    alone = rows["threads"] == 1
    rows["fit_seconds"] = rows["fit_seconds"].mask(alone, rows["fit_cpu_seconds"])
    compared = rows[rows["method"].isin(COMPARED)]
    failed = _failures(compared)
    return Results(rows, _means(compared, failed), failed)


def _failures(rows: pd.DataFrame) -> pd.DataFrame:
    """What became of the first fit that failed, tasks x methods."""
    bad = rows[rows["status"] != "ok"].drop_duplicates(["task", "method"])
    told = failures(bad["status"])
    table = bad.assign(told=told).pivot(index="task", columns="method", values="told")
    tasks = [task for task in TASKS if (rows["task"] == task).any()]
    methods = [m for m in COMPARED if (rows["method"] == m).any()]
    return table.reindex(index=tasks, columns=methods).astype(object).fillna("")


def _means(rows: pd.DataFrame, failed: pd.DataFrame) -> pd.DataFrame:
    """Means over the folds and seeds that all methods of a task share.

    A method of which any fit of a task failed has no figures there.
    """
    means = {}
    for task, of_task in rows.groupby("task"):
        finished = {
            method: of_method.set_index(["fold", "seed"])
            for method, of_method in of_task.groupby("method")
            if not failed.loc[task, method]
        }
        shared = shared_runs(list(finished.values()))
        for method, of_method in finished.items():
            mine = of_method.loc[shared]
            counts = {"n_runs": len(shared), "n_tested": n_tested(mine)}
            means[task, method] = dict(mine[list(FIGURES)].mean()) | counts
    index = pd.MultiIndex.from_tuples(means, names=["task", "method"])
    columns = [*FIGURES, "n_runs", "n_tested"]
    return pd.DataFrame(list(means.values()), index, columns)


def shared_runs(tables: list[pd.DataFrame]) -> list[tuple[int, int]]:
    """The (fold, seed) pairs that all tables have."""
    pairs = [set(table.index) for table in tables]
    return sorted(set.intersection(*pairs)) if pairs else []


def n_tested(rows: pd.DataFrame) -> float:
    """How many different rows a method was tested on: once each, whatever the seed."""
    return float(rows.groupby("fold")["n_test"].first().sum())
