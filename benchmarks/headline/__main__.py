"""The headline figures: real and made-up data, each with its target beside it.

    python -m benchmarks.headline                  # all that can run
    python -m benchmarks.headline --only clothing digits
    python -m benchmarks.headline --list
    python -m benchmarks.headline --smoke          # few rows, one epoch: no figures

Every estimator is left at its defaults. Some tasks read sets that do not come with the
package, from the folder that SKFUSION_BENCH_DATA names, through its `load.py`; without
it they are left out. Rows are added to benchmarks/results/headline.csv as each run
ends. A run of a task and seed that is there already, for the same commit of the
package, is not repeated, so an interrupted run goes on where it stopped; it is where
the package has uncommitted changes, and with `--again`. `python -m
benchmarks.headline.report` makes a table of the docs of the file.
"""

import argparse
import time
import warnings
from pathlib import Path

import pandas as pd
import torch

from benchmarks.common.data import is_here
from benchmarks.common.provenance import RESULTS, append_rows, provenance
from benchmarks.headline.table import TASKS, summary
from benchmarks.headline.tasks import Setup


def measured(path: Path, code: str) -> pd.DataFrame:
    """The rows that the file holds for this commit of the package."""
    if not path.exists():
        return pd.DataFrame(columns=["task", "seed", "measure", "value", "seconds"])
    rows = pd.read_csv(path, dtype={"code": str, "commit": str})
    rows = rows[rows["code"] == code]
    return rows.drop_duplicates(["task", "seed", "measure"], keep="last")


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
        if not is_here(task.needs):
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
