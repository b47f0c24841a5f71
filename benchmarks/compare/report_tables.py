"""Tables and sentences of the benchmark, as fragments of reStructuredText."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from benchmarks.common.tasks import TASKS
from benchmarks.common.text import NOTHING, bullets, frame_table, of, shown
from benchmarks.compare.report_ablation import (
    task_table,
    variant_summary,
    variant_table,
)
from benchmarks.compare.report_rows import DEFAULTS, REGRESSIONS, Results
from benchmarks.compare.report_setup import method_table, provenance_summary, task_list

TINY = 1e-9  # differences of equal figures are 0 but for the last bits


# ---------------------------------------------------------------- figures of all


def figure_table(figure: str, form: str, sign: int = 0) -> Callable[[Results], str]:
    """A figure, tasks x methods; the best is bold, where `sign` says what is best."""

    def write(results: Results) -> str:
        values = results.pivot(figure).dropna(how="all")
        cells = shown(values, form)
        if sign:
            best = (values * sign).max(axis=1)
            is_best = (values * sign).ge(best - TINY, axis=0)
            is_race = values.notna().sum(axis=1) > 1
            cells = cells.mask(is_best.mul(is_race, axis=0), "**" + cells + "**")
        table = _with_failures(cells, results.failed)
        return frame_table(table.rename(_with_measure) if figure == "score" else table)

    return write


def _with_measure(task: str) -> str:
    """The name of a task, with what its score is where that is no accuracy."""
    return f"{task} (R2)" if task in REGRESSIONS else task


def _with_failures(cells: pd.DataFrame, failed: pd.DataFrame) -> pd.DataFrame:
    """The cells, with what became of fits that failed."""
    methods = [m for m in failed if m in cells or failed[m].any()]
    cells = cells.reindex(columns=methods).astype(object).fillna("")
    return cells.where(cells != "", failed.reindex_like(cells))


# ---------------------------------------------------------------- ranks


class Ranks:
    """Mean ranks by score: over tasks that all have finished, and over all."""

    def __init__(self, results: Results) -> None:
        scores = results.pivot("score").loc[results.tasks].round(9)
        #: Methods that finished at least half of the tasks.
        self.methods = [m for m in scores if scores[m].notna().mean() >= 0.5]
        common = scores[self.methods].dropna()
        self.tasks = list(common.index)
        self.common = common.rank(axis=1, ascending=False).mean()
        has_failed = ~results.failed.reindex_like(scores).isin(["", np.nan])
        # Who failed comes last; who was not run yet is not counted.
        ranks = scores.mask(has_failed, -np.inf).rank(axis=1, ascending=False)
        self.all = ranks.mean()
        self.counts = ranks.notna().sum()
        self.n_failed = has_failed.sum()


def rank_table(results: Results) -> str:
    """Mean rank of each method."""
    if not results.tasks:
        return NOTHING
    ranks = Ranks(results)
    n = len(ranks.tasks)
    table = pd.DataFrame(
        {
            f"mean rank, {n} task{'s' * (n != 1)} that all finished": shown(
                ranks.common.reindex(ranks.all.index), ".2f"
            ),
            "mean rank, all its tasks": shown(ranks.all, ".2f"),
            "tasks": shown(ranks.counts, "d"),
            "of these failed": shown(ranks.n_failed, "d"),
        }
    )
    order = pd.DataFrame({"common": ranks.common, "all": ranks.all})
    table = table.loc[order.sort_values(["common", "all"]).index]
    left = [m for m in ranks.all.index if m not in ranks.methods]
    told = f" Finished fewer than half of the tasks: {', '.join(left)}." if left else ""
    return frame_table(table.rename_axis("method")) + (
        f"\n\nTasks that all {len(ranks.methods)} methods finished: "
        f"{', '.join(f'``{task}``' for task in ranks.tasks) or 'none'}.{told}"
    )


# ---------------------------------------------------------------- the best peer


def against_best(results: Results) -> pd.DataFrame:
    """The defaults and, of each task, the peer that is best there."""
    scores = results.pivot("score").loc[results.tasks]
    means = results.means.xs(DEFAULTS, level="method").loc[results.tasks]
    peers = scores.drop(columns=DEFAULTS)
    table = pd.DataFrame(
        {
            "score": scores[DEFAULTS],
            "peer": peers.idxmax(axis=1),
            "peer_score": peers.max(axis=1),
            "n_peers": peers.notna().sum(axis=1),
            "n_tested": means["n_tested"],
            "n_runs": means["n_runs"],
        }
    )
    table["points"] = (100 * (table["score"] - table["peer_score"])).round(7)
    p = table[["score", "peer_score"]].mean(axis=1)
    error = 100 * np.sqrt((p * (1 - p)).clip(lower=0) / table["n_tested"])
    table["error"] = error.where(means["accuracy"].notna())
    return table


def best_table(results: Results) -> str:
    """The defaults against the best peer of each task."""
    if not results.tasks:
        return NOTHING
    table = against_best(results)
    cells = {
        DEFAULTS: shown(table["score"], ".3f"),
        "best peer": shown(table["peer_score"], ".3f"),
        "which": table["peer"],
        "of": shown(table["n_peers"], "d"),
        "points": shown(table["points"], "+.1f"),
        "one standard error": shown(table["error"], ".1f"),
        "test rows": shown(table["n_tested"], ".0f"),
        "runs": shown(table["n_runs"], ".0f"),
    }
    return frame_table(pd.DataFrame(cells).rename(_with_measure))


def best_summary(results: Results) -> str:
    """How often the defaults are at least as good as the best peer."""
    if not results.tasks:
        return NOTHING
    table = against_best(results)
    n, points = len(table), table["points"]
    worse = points[points < 0]
    lines = [
        f"Finished by ``{DEFAULTS}`` and at least one peer: {of(n, len(TASKS))}.",
        f"At least as good as the best peer: {of((points >= 0).sum(), n)}.",
    ]
    lost = [task for task, cell in results.failed[DEFAULTS].items() if cell]
    if lost:
        names = ", ".join(f"``{task}``" for task in lost)
        lines.insert(1, f"Not finished by ``{DEFAULTS}``, and not counted: {names}.")
    if len(worse):
        lines.append(
            f"Of the tasks where it is worse, by less than 1 point: "
            f"{of((worse > -1).sum(), len(worse))}; the largest difference is "
            f"{worse.min():.1f} points (``{worse.idxmin()}``)."
        )
    judged = table[table["error"].notna()]
    if len(judged):
        noise = (judged["points"].abs() <= judged["error"]).sum()
        lines.append(
            "Of the tasks with an accuracy, no further apart than one standard error: "
            f"{of(noise, len(judged))}."
        )
    return bullets(lines)


# ---------------------------------------------------------------- probabilities


def _lowest(results: Results, figure: str) -> pd.DataFrame:
    """A loss of the defaults, of the most accurate peer, and the lowest of any peer."""
    values = results.pivot(figure).loc[results.tasks].dropna(subset=[DEFAULTS])
    peers = values.drop(columns=DEFAULTS)
    accurate = against_best(results)["peer"].loc[values.index]
    return pd.DataFrame(
        {
            "own": values[DEFAULTS],
            "accurate": [peers.loc[task, peer] for task, peer in accurate.items()],
            "lowest": peers.min(axis=1),
            "which": peers.idxmin(axis=1),
        }
    )


LOSSES = {"log_loss": "log-loss", "ECE": "ECE"}


def loss_table(results: Results) -> str:
    """Log-loss and ECE against peers."""
    if not results.tasks:
        return NOTHING
    columns = {}
    for figure, name in LOSSES.items():
        table = _lowest(results, figure)
        lowest = shown(table["lowest"], ".3f") + " (" + table["which"] + ")"
        columns |= {
            name: shown(table["own"], ".3f"),
            f"{name}, most accurate peer": shown(table["accurate"], ".3f"),
            f"{name}, lowest of a peer": lowest,
        }
    return frame_table(pd.DataFrame(columns))


def loss_summary(results: Results) -> str:
    """How often the losses of the defaults are at least as good."""
    if not results.tasks:
        return NOTHING
    lines = []
    for figure, name in LOSSES.items():
        table = _lowest(results, figure)
        if table.empty:
            continue
        own, n = table["own"] - TINY, len(table)
        lines.append(
            f"{name[0].upper()}{name[1:]} at least as good as that of the most "
            f"accurate peer: {of((own <= table['accurate']).sum(), n)}; as the lowest "
            f"of any peer: {of((own <= table['lowest']).sum(), n)}."
        )
    return bullets(lines)


# ---------------------------------------------------------------- time and memory


def cost_table(results: Results) -> str:
    """Seconds and memory of each method, over the tasks that it finished."""
    fit = results.pivot("fit_seconds")
    if not len(fit):
        return NOTHING
    predict = 1000 * results.pivot("predict_seconds") / results.pivot("n_test")
    memory = results.pivot("peak_MiB")
    ratio = np.exp(np.log(fit).sub(np.log(fit[DEFAULTS]), axis=0).mean())
    table = pd.DataFrame(
        {
            "tasks": shown(fit.notna().sum(), "d"),
            "fit, median s": shown(fit.median(), ".1f"),
            "fit, longest s": shown(fit.max(), ".0f"),
            f"fit, as a multiple of {DEFAULTS}": shown(ratio, ".2f"),
            "predict, median ms a row": shown(predict.median(), ".2f"),
            "memory, median MiB": shown(memory.median(), ".0f"),
            "memory, most MiB": shown(memory.max(), ".0f"),
        }
    )
    return frame_table(table.loc[fit.notna().any()].rename_axis("method"))


FRAGMENTS: dict[str, Callable[[Results], str]] = {
    "scores": figure_table("score", ".3f", +1),
    "auc": figure_table("AUC", ".3f", +1),
    "log_loss": figure_table("log_loss", ".3f", -1),
    "ece": figure_table("ECE", ".3f", -1),
    "fit_seconds": figure_table("fit_seconds", ".1f"),
    "ranks": rank_table,
    "best": best_table,
    "best_summary": best_summary,
    "losses": loss_table,
    "losses_summary": loss_summary,
    "cost": cost_table,
    "variants": variant_table,
    "variants_summary": variant_summary,
    "variants_tasks": task_table,
    "tasks": task_list,
    "methods": method_table,
    "provenance": provenance_summary,
}
