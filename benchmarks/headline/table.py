"""The headline tasks with their targets, and the table of what they gave."""

from collections.abc import Callable
from typing import NamedTuple

import pandas as pd

from benchmarks.headline import tasks
from benchmarks.headline.tasks import Figures, Setup


class Task(NamedTuple):
    """What is run, how often, and what its figures must reach."""

    run: Callable[[Setup], Figures]
    targets: dict[str, tuple[str, float]] = {}
    n_seeds: int = 3
    needs: str | None = None  # a folder of SKFUSION_BENCH_DATA


ABSENCE_TARGETS = {"both": (">=", 0.985), "half absent - predicted": (">=", 0.0)}
CLOTHING_TARGETS = {
    "AUC": (">=", 0.962),
    "log-loss": ("<=", 0.190),
    "accuracy": (">=", 0.915),
    "fit seconds": ("<=", 180.0),
}
HANDWRITTEN_TARGETS = {"accuracy": (">=", 0.990), "lost by noise": ("<=", 0.005)}
XOR_TARGETS = {
    "accuracy, tabular ^ text": (">=", 0.85),
    "accuracy, vector ^ vector": (">=", 0.85),
    "accuracy, signs apart": (">=", 0.85),
    "accuracy, signs not apart": (">=", 0.85),
}

TASKS = {
    "clothing": Task(tasks.clothing, CLOTHING_TARGETS),
    "clothing-automatic": Task(tasks.clothing_automatic, CLOTHING_TARGETS, n_seeds=1),
    "clothing-linear": Task(tasks.clothing_linear, n_seeds=1),
    "digits": Task(tasks.digits, ABSENCE_TARGETS),
    "avmnist": Task(tasks.avmnist, ABSENCE_TARGETS, needs="avmnist"),
    "handwritten": Task(tasks.handwritten, HANDWRITTEN_TARGETS),
    "scene15": Task(
        tasks.scene15, {"accuracy": (">=", 0.84)}, n_seeds=10, needs="mv_scene15"
    ),
    "houses": Task(
        tasks.houses, {"R2 gained by photos": (">", 0.0)}, n_seeds=5, needs="houses"
    ),
    "rosmap": Task(
        tasks.rosmap, {"accuracy": (">=", 0.84)}, n_seeds=10, needs="rosmap"
    ),
    "xor": Task(tasks.xor, XOR_TARGETS),
    "asked": Task(tasks.asked, {"accuracy, bottleneck": (">=", 0.95)}, n_seeds=1),
}


def summary(rows: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """The means over the seeds, each with its range and target."""
    lines = []
    for name in names:
        mine = rows[rows["task"] == name]
        for measure, values in mine.groupby("measure", sort=False)["value"]:
            mean, target, met = values.mean(), "", ""
            if measure in TASKS[name].targets:
                sign, limit = TASKS[name].targets[measure]
                target = f"{sign} {limit:g}"
                # Differences of equal accuracies are 0 but for the last bit.
                gap = round(mean - limit, 9) * (1 if sign[0] == ">" else -1)
                met = "met" if gap > 0 or (gap == 0 and sign != ">") else "MISSED"
            lines.append(
                {
                    "task": name,
                    "measure": measure,
                    "seeds": len(values),
                    "mean": f"{mean:.3f}",
                    "range": f"{values.min():.3f} .. {values.max():.3f}",
                    "target": target,
                    "met": met,
                }
            )
    return pd.DataFrame(lines)
