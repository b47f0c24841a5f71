"""CPU-seconds of a fit alone, and beside a process that keeps all cores busy.

    python -m benchmarks.speed.busy
    python -m benchmarks.speed.busy --tasks titanic watch --repeats 5

Libraries choose their threads themselves, as in a user's process: what is asked is
whether they wait for one another where cores are taken. Fits alone and beside take
turns; the target is a ratio of at most 1.3. On a machine that is busy with other work
both are fits beside, and the ratio says nothing. Rows are added to
benchmarks/results/busy.csv.
"""

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.common import processes
from benchmarks.common.provenance import RESULTS, ROOT, append_rows, machine, origin
from benchmarks.common.tasks import TASKS

TARGET = 1.3


@contextmanager
def all_cores_busy() -> Iterator[None]:
    """As many processes that only count as there are cores."""
    # They end by themselves if this process is ended.
    count = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"
    command = [sys.executable, "-c", count]
    busy = [subprocess.Popen(command) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def fit(task: str, args: argparse.Namespace) -> dict[str, float]:
    """One fit with the defaults, in a process of its own."""
    command = ["skfusion", task, "--code", args.code.resolve(), "--limit", args.limit]
    row = processes.run(
        "benchmarks.compare.fit", command, threads=None, limit=args.limit
    )
    if row["status"] != "ok":
        raise SystemExit(f"{task}: {row['status']}")
    return {key: row[key] for key in ("fit_cpu_seconds", "fit_seconds")}


def measure(task: str, args: argparse.Namespace) -> None:
    """Fits alone and beside, in turns; the ratio of their medians is printed."""
    found: dict[str, list[float]] = {"alone": [], "beside": []}
    for repeat in range(args.repeats):
        for where, seconds in found.items():
            if where == "alone":
                figures = fit(task, args)
            else:
                with all_cores_busy():
                    figures = fit(task, args)
            seconds.append(figures["fit_cpu_seconds"])
            row = (
                origin(args.code)
                | {"task": task, "where": where, "repeat": repeat}
                | figures
            )
            append_rows(args.output, [row | {"machine": machine()}])
            print(f"{task}, {where}: {seconds[-1]:.1f} CPU-s", flush=True)
    alone, beside = (statistics.median(seconds) for seconds in found.values())
    met = "met" if beside <= TARGET * alone else "MISSED"
    print(f"{task}: {beside / alone:.2f} times as much; target {TARGET}: {met}")


def main() -> None:
    """Measure the tasks that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = ["titanic", "rosmap", "watch"]
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=default)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=float, default=1800.0, help="seconds a fit")
    parser.add_argument("--code", type=Path, default=ROOT, help="of the package")
    parser.add_argument("--output", type=Path, default=RESULTS / "busy.csv")
    args = parser.parse_args()
    for task in args.tasks:
        measure(task, args)


if __name__ == "__main__":
    main()
