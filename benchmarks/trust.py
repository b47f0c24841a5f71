"""Do the weights tell the truth, and does the model stand noise and absence?

    python benchmarks/trust.py                       # all sets that can be read
    python benchmarks/trust.py --only scene15 made
    python benchmarks/trust.py --smoke               # few rows, one epoch: no figures

Every estimator is left at its defaults, and every figure is of rows that nothing has
learned from. Sets that do not come with the package are read from the folder that
SKFUSION_BENCH_DATA names; without it they are left out. Rows are added to
benchmarks/results/trust.csv as each set ends, each with its target and with what it
came from; the table of docs/trust.rst is taken from there.
"""

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import trust_sets as sets
from bench_data import BENCH_DATA
from provenance import RESULTS, append_rows, provenance

SETS = {
    "scene15": (sets.scene15, "mv_scene15"),
    "mfeat": (sets.mfeat, None),
    "avmnist": (sets.avmnist, "avmnist"),
    "avmnist hard": (sets.avmnist_hard, "avmnist"),
    "clothing": (sets.clothing, None),
    "made": (sets.made, None),
}


def can_run(needs: str | None) -> bool:
    """Whether the set is here."""
    return needs is None or (
        BENCH_DATA is not None and (Path(BENCH_DATA) / needs).is_dir()
    )


def show(name: str, rows: list[dict[str, Any]], seconds: float) -> None:
    """Print what was measured on one set."""
    print(f"\n{name}: {seconds:.0f} s")
    table = pd.DataFrame(rows)[["item", "fusion", "measure", "value", "target", "met"]]
    print(table.to_string(index=False), flush=True)


def main() -> None:
    """Measure the sets that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SETS, metavar="SET")
    parser.add_argument("--smoke", action="store_true", help="few rows, one epoch")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    warnings.filterwarnings("ignore", message=r".*no modality present")
    path = args.output or (
        RESULTS / "raw" / "trust-smoke.csv" if args.smoke else RESULTS / "trust.csv"
    )
    source = provenance()
    for name in args.only or SETS:
        measure, needs = SETS[name]
        if not can_run(needs):
            print(f"{name}: left out, SKFUSION_BENCH_DATA/{needs} is not there")
            continue
        start = time.perf_counter()
        rows = [figure.row() for figure in measure(args.smoke)]
        seconds = time.perf_counter() - start
        show(name, rows, seconds)
        append_rows(
            path,
            [source | {"set": name, "seconds": f"{seconds:.0f}"} | r for r in rows],
        )
    if args.smoke:
        print("--smoke: few rows and one epoch; these are not the real figures.")


if __name__ == "__main__":
    main()
