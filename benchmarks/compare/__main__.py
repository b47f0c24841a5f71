"""Compare the package with what people would pick instead, on many kinds of table.

    python -m benchmarks.compare --quick              # one fold a task, seed 0
    python -m benchmarks.compare                      # all folds, three seeds if small
    python -m benchmarks.compare --methods skfusion late --tasks titanic htad
    python -m benchmarks.compare --list

The sets are read from the folder that SKFUSION_BENCH_DATA names. Every fit runs in a
process of its own and adds one row to benchmarks/results/compare.csv. What is there is
not run again: of the package's own methods, rows of this commit of the package while
none of its files has changed since; of peers, rows of the versions that are installed.
`--again` repeats all, `--retry` what failed. `--code` takes the package from another
checkout. `python -m benchmarks.compare.report` makes the tables.
"""

import argparse
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from benchmarks.common import processes
from benchmarks.common.provenance import RESULTS, ROOT, append_rows, machine, origin
from benchmarks.common.tasks import TASKS, runs
from benchmarks.compare.methods import METHODS, still_holds, tier, versions

FIGURES = (
    "accuracy",
    "AUC",
    "log_loss",
    "ECE",
    "R2",
    "RMSE",
    "fit_seconds",
    "fit_cpu_seconds",
    "predict_seconds",
    "peak_MiB",
    "n_train",
    "n_test",
)


class Run(NamedTuple):
    """One fit: the key of a row."""

    task: str
    method: str
    fold: int
    seed: int


def planned(args: argparse.Namespace) -> list[Run]:
    """All fits, cheap methods first over all tasks."""
    jobs = [
        Run(task, method, fold, seed)
        for task in args.tasks
        for method in args.methods
        for fold, seed in runs(task, args.quick)
    ]
    return sorted(jobs, key=lambda run: tier(run.method))  # stable: tasks stay in order


def measured(path: Path, code: str) -> dict[Run, str]:
    """The status of each fit that need not be repeated."""
    if not path.exists():
        return {}
    rows = pd.read_csv(path, dtype={"code": str, "versions": str, "status": str})
    return {
        Run(row.task, row.method, row.fold, row.seed): row.status
        for row in rows.itertuples()
        if still_holds(row, code)
    }


def fit(run: Run, args: argparse.Namespace) -> dict[str, Any]:
    """Run one fit in a process of its own; its figures, or what went wrong."""
    command = [run.method, run.task, "--fold", run.fold, "--seed", run.seed]
    command += ["--threads", args.threads, "--limit", args.limit]
    if args.code is not None:
        command += ["--code", args.code.resolve()]
    module = "benchmarks.compare.fit"
    return processes.run(module, command, threads=args.threads, limit=args.limit)


def summary(row: dict[str, Any]) -> str:
    """The line of progress of one fit."""
    if row["status"] != "ok":
        return str(row["status"])
    name = "accuracy" if row.get("accuracy") not in (None, "") else "R2"
    return f"{name} {row[name]:.3f} in {row['fit_seconds']:.0f} s"


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one fold a task, seed 0")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--list", action="store_true", help="name tasks and methods")
    parser.add_argument("--again", action="store_true", help="repeat what is there")
    parser.add_argument("--retry", action="store_true", help="repeat what failed")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--limit", type=float, default=900.0, help="seconds a fit")
    parser.add_argument("--code", type=Path, help="a checkout to take the package from")
    parser.add_argument("--output", type=Path, default=RESULTS / "compare.csv")
    return parser.parse_args()


def main() -> None:
    """Run what the command line asks for and the file does not hold yet."""
    args = arguments()
    if args.list:
        print("tasks:  ", *TASKS, sep="\n  ")
        print("methods:", *METHODS, sep="\n  ")
        return
    root = args.code or ROOT
    done = {} if args.again else measured(args.output, origin(root)["code"])
    jobs = [
        run
        for run in planned(args)
        if run not in done or (args.retry and done[run] != "ok")
    ]
    print(f"{len(jobs)} fits to run, results in {args.output}", flush=True)
    start = time.monotonic()
    for i, run in enumerate(jobs, 1):
        figures = fit(run, args)
        row: dict[str, Any] = run._asdict() | dict.fromkeys(FIGURES, "")
        row |= {"status": "", "note": ""} | figures
        # Asked again: the package may have changed while the fits ran.
        row |= origin(root) | {"versions": versions(run.method), "machine": machine()}
        append_rows(args.output, [row | {"threads": args.threads}])
        minutes = (time.monotonic() - start) / 60
        print(
            f"[{i}/{len(jobs)}, {minutes:.0f} min] {run.task}, {run.method}, fold "
            f"{run.fold}, seed {run.seed}: {summary(row)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
