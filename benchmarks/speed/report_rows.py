"""The rows of benchmarks/results/speed.csv, growth.csv and busy.csv."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmarks.common.tasks import TASKS
from benchmarks.common.text import failures
from benchmarks.speed.__main__ import BEFORE, METHODS, OWN
from benchmarks.speed.fit import FIGURES
from benchmarks.speed.made import Shape


class Results(NamedTuple):
    """The newest measurements."""

    rows: pd.DataFrame  # all that count
    means: pd.DataFrame  # by (task, method): medians over repeats
    failed: pd.DataFrame  # tasks x methods: "> 900 s", "failed", or ""
    growth: pd.DataFrame
    busy: pd.DataFrame

    def table(self, figure: str) -> pd.DataFrame:
        """A figure, tasks x methods; NaN where it lacks."""
        table = self.means[figure].unstack("method")
        tasks = [task for task in TASKS if task in table.index]
        methods = [method for method in METHODS if method in table]
        return table.reindex(index=tasks, columns=methods).rename_axis(index="task")

    def pairs(self, figure: str) -> pd.DataFrame:
        """A figure of today and of before, in the tasks that have both."""
        table = self.table(figure)
        return table.reindex(columns=[OWN, BEFORE]).dropna()


def read(folder: Path) -> Results:
    """What the files of a folder hold."""
    rows = newest(_read(folder / "speed.csv"))
    good = rows[rows["status"] == "ok"] if len(rows) else rows
    means = good.groupby(["task", "method"])[list(FIGURES)].median()
    growth = _read(folder / "growth.csv")
    if len(growth):
        growth = growth.drop_duplicates(["varied", *Shape._fields], keep="last")
    busy = _read(folder / "busy.csv")
    if len(busy):
        last = busy.groupby("task")["code"].transform("last")
        busy = busy[busy["code"] == last]
    return Results(rows, means, _failures(rows), growth, busy)


def _read(path: Path) -> pd.DataFrame:
    if not path.exists():
        columns = ["run", "task", "method", "status", "where", *FIGURES]
        return pd.DataFrame(columns=columns)
    return pd.read_csv(path, dtype={"code": str, "commit": str, "versions": str})


def newest(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each task the last run of today and before together, and of each peer."""
    if not len(rows):
        return rows
    found = []
    for _, of_task in rows.groupby("task"):
        is_own = of_task["method"].isin([OWN, BEFORE])
        own = of_task[is_own]
        both = own.groupby("run")["method"].transform("nunique") == 2
        own = own[both] if both.any() else own
        found.append(own[own["run"] == own["run"].max()])
        for _, peer in of_task[~is_own].groupby("method"):
            found.append(peer[peer["run"] == peer["run"].max()])
    return pd.concat(found, ignore_index=True)


def _failures(rows: pd.DataFrame) -> pd.DataFrame:
    bad = rows[rows["status"] != "ok"].drop_duplicates(["task", "method"])
    told = failures(bad["status"])
    return bad.assign(told=told).pivot(index="task", columns="method", values="told")


def exponent(sizes: pd.Series, values: pd.Series) -> float:
    """Slope of the logarithms over the larger half of the sizes."""
    half = len(sizes) // 2
    if len(sizes) < 3:
        return float("nan")
    x, y = np.log(sizes.to_numpy()[half:]), np.log(values.to_numpy()[half:])
    return float(np.polyfit(x, y, 1)[0])
