"""The headline figures: real and made-up data, each with its target beside it.

    python benchmarks/headline.py                      # all that can run
    python benchmarks/headline.py --only clothing digits
    python benchmarks/headline.py --list
    python benchmarks/headline.py --smoke              # few rows, one epoch: no figures

Every estimator is left at its defaults. Some tasks read sets that do not come with the
package, from the folder that SKFUSION_BENCH_DATA names, through its `load.py`; without
it they are left out. Rows are added to benchmarks/results/headline.csv as each run
ends. A run of a task and seed that is there already, for the same commit of the
package, is not repeated, so an interrupted run goes on where it stopped; it is where
the package has uncommitted changes, and with `--again`. `headline_report.py` makes a
table of the docs of the file.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import headline_tasks as tasks
import pandas as pd
import torch
from bench_data import BENCH_DATA
from headline_tasks import Figures, Setup
from provenance import RESULTS, append_rows, provenance

# ---------------------------------------------------------------- the table of tasks


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


def can_run(task: Task) -> bool:
    """Whether the task's data are here."""
    if task.needs is None:
        return True
    return BENCH_DATA is not None and (Path(BENCH_DATA) / task.needs).is_dir()


def measured(path: Path, code: str) -> pd.DataFrame:
    """The rows that the file holds for this commit of the package."""
    if not path.exists():
        return pd.DataFrame(columns=["task", "seed", "measure", "value", "seconds"])
    rows = pd.read_csv(path, dtype={"code": str, "commit": str})
    rows = rows[rows["code"] == code]
    return rows.drop_duplicates(["task", "seed", "measure"], keep="last")


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


def main() -> None:
    """Run the tasks that the command line names, and print what the file holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=TASKS, metavar="NAME")
    parser.add_argument("--list", action="store_true", help="name the tasks")
    parser.add_argument("--seeds", type=int, help="at most so many a task")
    parser.add_argument("--smoke", action="store_true", help="few rows, one epoch")
    parser.add_argument("--again", action="store_true", help="repeat what is there")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    if args.list:
        for name, task in TASKS.items():
            needs = f"  (SKFUSION_BENCH_DATA/{task.needs})" if task.needs else ""
            print(f"{name:20}{(task.run.__doc__ or '').splitlines()[0]}{needs}")
        return
    torch.set_num_threads(args.threads)
    # Rows without any modality are meant to be there.
    warnings.filterwarnings("ignore", message=r".*no modality present")
    path = args.output or (
        RESULTS / "raw" / "headline-smoke.csv"
        if args.smoke
        else RESULTS / "headline.csv"
    )
    source = provenance(args.device)
    names = args.only or list(TASKS)
    for name in names:
        task = TASKS[name]
        if not can_run(task):
            print(f"{name}: left out, SKFUSION_BENCH_DATA/{task.needs} is not there")
            continue
        n_seeds = 1 if args.smoke else task.n_seeds
        for seed in range(min(n_seeds, args.seeds or n_seeds)):
            done = measured(path, source["code"])
            there = ((done["task"] == name) & (done["seed"] == seed)).any()
            # Files changed since the commit ("+") may have changed since that run too.
            settled = not source["code"].endswith("+")
            if there and settled and not (args.again or args.smoke):
                continue
            start = time.perf_counter()
            figures = task.run(Setup(seed, args.smoke, args.device))
            row = source | {"task": name, "seed": seed}
            row["seconds"] = f"{time.perf_counter() - start:.1f}"
            print(f"{name}, seed {seed}: {row['seconds']} s", flush=True)
            append_rows(
                path,
                [
                    row | {"measure": key, "value": f"{value:.6f}"}
                    for key, value in figures.items()
                ],
            )
    if args.smoke:
        print("--smoke: few rows and one epoch; these are not the real figures.")
    print(summary(measured(path, source["code"]), names).to_string(index=False))


if __name__ == "__main__":
    main()
