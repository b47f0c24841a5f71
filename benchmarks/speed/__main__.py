"""Time, memory and size on the tasks of the comparison, against an older commit.

    python -m benchmarks.speed                               # everything
    python -m benchmarks.speed --tasks titanic rosmap --methods before skfusion
    python -m benchmarks.speed --methods early-linear hgb    # peers alone

Of each task: CPU-seconds of a fit, milliseconds for one row (median of 200 rows that
come one by one), rows a second in batches, memory that the fit took, size of the
pickle. Every fit has a process of its own with one thread. "before" is the package at
the commit `--before`, in a git worktree under build/speed; it and the package of today
are run in turns, one task after the other. `--before-python` is the interpreter of
another environment for it, where its dependencies are others.

Rows are added to benchmarks/results/speed.csv. What is there is not run again: a pair
of today and before of one run, while neither commit has changed; of peers, rows of the
versions that are installed. `--again` repeats all. `python -m benchmarks.speed.report`
makes tables and pictures for docs/performance.
"""

import argparse
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from benchmarks.common import processes
from benchmarks.common.provenance import RESULTS, ROOT, append_rows, machine, origin
from benchmarks.common.tasks import TASKS
from benchmarks.compare.methods import PEERS, still_holds, tier, versions
from benchmarks.speed.checkout import checkout
from benchmarks.speed.fit import FIGURES

COMMIT = "d374a62"  # the first edition
OWN, BEFORE = "skfusion", "before"
PEERS_HERE = ("early-linear", "hgb", "catboost", "widedeep")
METHODS = [BEFORE, OWN, *PEERS]
EXTRA = 900.0  # seconds for predicting, beside those for the fit


class Job(NamedTuple):
    """Methods that are run in turns on a task."""

    task: str
    methods: tuple[str, ...]


class Code(NamedTuple):
    """A checkout of the package, and what runs it."""

    folder: Path
    python: str


def planned(args: argparse.Namespace) -> list[Job]:
    """The package and its past first, over all tasks; slow peers last."""
    own = tuple(m for m in (BEFORE, OWN) if m in args.methods)
    peers = sorted((m for m in args.methods if m in PEERS), key=tier)
    groups = [own] if own else []
    groups += [(peer,) for peer in peers]
    return [Job(task, methods) for methods in groups for task in args.tasks]


def measured(path: Path, codes: dict[str, str]) -> set[Job]:
    """The jobs that need not be run again, each done in one run."""
    if not path.exists():
        return set()
    rows = pd.read_csv(path, dtype={"code": str, "versions": str, "status": str})
    holds = [
        row.code == codes[BEFORE]
        if row.method == BEFORE
        else still_holds(row, codes[OWN])
        for row in rows.itertuples()
    ]
    done = set()
    for (task, _), of_run in rows[holds].groupby(["task", "run"]):
        found = tuple(m for m in METHODS if m in set(of_run["method"]))
        done |= {Job(task, found), *(Job(task, (method,)) for method in found)}
    return done


def fit(task: str, method: str, code: Code, limit: float) -> dict[str, Any]:
    """One fit in a process of its own; its figures, or what went wrong."""
    name = OWN if method == BEFORE else method
    command = [name, task, "--limit", limit, "--code", code.folder]
    return processes.run(
        "benchmarks.speed.fit",
        command,
        threads=1,
        limit=limit,
        extra=EXTRA,
        python=code.python,
    )


def measure(job: Job, codes: dict[str, Code], args: argparse.Namespace) -> None:
    """Run a job, and add its rows to the file."""
    run = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    for repeat in range(args.repeats):
        for method in job.methods:
            code = codes[BEFORE if method == BEFORE else OWN]
            limit = args.peer_limit if method in PEERS else args.limit
            figures = fit(job.task, method, code, limit)
            row = {"run": run, "task": job.task, "method": method, "repeat": repeat}
            row |= dict.fromkeys(FIGURES, "") | {"status": "", "note": ""}
            row |= origin(code.folder)
            row |= {"versions": versions(OWN if method == BEFORE else method)}
            row |= figures | {"machine": machine(), "threads": 1}
            append_rows(args.output, [row])
            print(f"    {method:13} {summary(row)}", flush=True)


def summary(row: dict[str, Any]) -> str:
    """The line of progress of one fit."""
    if row["status"] != "ok":
        return str(row["status"])
    return (
        f"{row['score']:.3f}; {row['fit_cpu_seconds']:.1f} CPU-s, "
        f"{row['fit_MiB']:.0f} MiB; {row['row_ms']:.1f} ms a row, "
        f"{row['rows_per_second']:.0f} rows/s; {row['pickle_MB']:.1f} MB"
    )


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=[BEFORE, OWN, *PEERS_HERE]
    )
    parser.add_argument("--before", default=COMMIT, help="a commit")
    parser.add_argument("--before-python", default=sys.executable, metavar="PATH")
    parser.add_argument("--code", type=Path, default=ROOT, help="of today's package")
    parser.add_argument("--repeats", type=int, default=1, help="fits a method and task")
    parser.add_argument("--again", action="store_true", help="repeat what is there")
    parser.add_argument("--limit", type=float, default=1200.0, help="seconds a fit")
    parser.add_argument("--peer-limit", type=float, default=300.0, help="of a peer")
    parser.add_argument("--output", type=Path, default=RESULTS / "speed.csv")
    return parser.parse_args()


def main() -> None:
    """Run what the command line asks for and the file does not hold yet."""
    args = arguments()
    codes = {
        OWN: Code(args.code.resolve(), sys.executable),
        BEFORE: Code(checkout(args.before), args.before_python),
    }
    now = {name: origin(code.folder)["code"] for name, code in codes.items()}
    done = set() if args.again else measured(args.output, now)
    jobs = [job for job in planned(args) if job not in done]
    print(f"{len(jobs)} jobs to run, results in {args.output}", flush=True)
    start = time.monotonic()
    for i, job in enumerate(jobs, 1):
        minutes = (time.monotonic() - start) / 60
        print(f"[{i}/{len(jobs)}, {minutes:.0f} min] {job.task}", flush=True)
        measure(job, codes, args)


if __name__ == "__main__":
    main()
