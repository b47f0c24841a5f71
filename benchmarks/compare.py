"""Compare the package with what people would pick instead, on many kinds of table.

    python benchmarks/compare.py --quick               # one fold a task, seed 0
    python benchmarks/compare.py                       # all folds, three seeds if small
    python benchmarks/compare.py --methods skfusion late --tasks titanic htad
    python benchmarks/compare.py --list

The sets are read from the folder that SKFUSION_BENCH_DATA names. Every fit runs in a
process of its own and adds one row to benchmarks/results/compare.csv. What is there is
not run again: of the package's own methods, rows of this commit of the package while
none of its files has changed since; of peers, rows of the versions that are installed.
`--again` repeats all, `--retry` what failed. `compare_report.py` makes the tables.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from compare_methods import METHODS, OURS, tier, versions
from compare_tasks import TASKS, runs
from provenance import RESULTS, append_rows, provenance

HERE = Path(__file__).resolve().parent
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
BLAS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


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
    done = {}
    for row in rows.itertuples():
        if row.method in OURS:
            # Files changed since the commit ("+") may have changed since that run too.
            holds = row.code == code and not code.endswith("+")
        else:
            holds = row.method in METHODS and row.versions == versions(row.method)
        if holds:
            done[Run(row.task, row.method, row.fold, row.seed)] = row.status
    return done


def fit(run: Run, threads: int, limit: float) -> dict[str, Any]:
    """Run one fit in a process of its own; its figures, or what went wrong."""
    command = [sys.executable, HERE / "compare_fit.py", run.task, run.method]
    for name in ("fold", "seed"):
        command += [f"--{name}", str(getattr(run, name))]
    command += ["--threads", str(threads), "--limit", str(limit)]
    process = subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | dict.fromkeys(BLAS, str(threads)),
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return {"status": f"time-out: more than {limit:g} s"}
    if process.returncode == 0:
        return json.loads(out.splitlines()[-1]) | {"status": "ok"}
    last = err.strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
    return {"status": f"error: {last[0][:300]}"}


def told(row: dict[str, Any]) -> str:
    """The line of progress of one fit."""
    if row["status"] != "ok":
        return str(row["status"])
    name = "accuracy" if row.get("accuracy") not in (None, "") else "R2"
    return f"{name} {row[name]:.3f} in {row['fit_seconds']:.0f} s"


def machine() -> str:
    """System, processor and number of CPUs, in words."""
    system, processor = platform.system(), platform.machine()
    return f"{system} {processor}, {os.cpu_count()} CPUs"


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
    parser.add_argument("--output", type=Path, default=RESULTS / "compare.csv")
    return parser.parse_args()


def main() -> None:
    """Run what the command line asks for and the file does not hold yet."""
    args = arguments()
    if args.list:
        print("tasks:  ", *TASKS, sep="\n  ")
        print("methods:", *METHODS, sep="\n  ")
        return
    source = provenance()
    done = {} if args.again else measured(args.output, source["code"])
    jobs = [
        run
        for run in planned(args)
        if run not in done or (args.retry and done[run] != "ok")
    ]
    print(f"{len(jobs)} fits to run, results in {args.output}", flush=True)
    start = time.monotonic()
    for i, run in enumerate(jobs, 1):
        figures = fit(run, args.threads, args.limit)
        row: dict[str, Any] = run._asdict() | dict.fromkeys(FIGURES, "")
        row |= {"status": "", "note": ""} | figures
        # Asked again: the package may have changed while the fits ran.
        row |= {k: provenance()[k] for k in ("date", "commit", "code", "python")}
        row |= {"versions": versions(run.method), "machine": machine()}
        append_rows(args.output, [row | {"threads": args.threads}])
        minutes = (time.monotonic() - start) / 60
        print(
            f"[{i}/{len(jobs)}, {minutes:.0f} min] {run.task}, {run.method}, fold "
            f"{run.fold}, seed {run.seed}: {told(row)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
