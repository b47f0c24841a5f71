"""Do the weights tell the truth, and does the model stand noise and absence?

    python -m benchmarks.trust                       # all sets that can be read
    python -m benchmarks.trust --only scene15 mfeat
    python -m benchmarks.trust --parts Shapley       # one measure of all sets
    python -m benchmarks.trust --smoke               # few rows, one epoch: no figures

Every estimator is left at its defaults, and every figure is of rows that nothing has
learned from. Sets that do not come with the package are read from the folder that
SKFUSION_BENCH_DATA names; without it they are left out. Rows are added to
benchmarks/results/trust.csv as each part of a set ends, each with its target and with
what it came from. A part that is there for the present code is not measured again, so
that a run that was broken off goes on; `python -m benchmarks.trust.report` makes tables
of the file.
"""

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from benchmarks.common.data import is_here
from benchmarks.common.provenance import RESULTS, append_rows, provenance
from benchmarks.trust.sets import STUDIES


def parts_done(path: Path, code: str | None) -> set[tuple[str, str]]:
    """The (set, part) pairs that the file holds for this code, or for any."""
    if not path.exists():
        return set()
    table = pd.read_csv(path, dtype=str)
    if code is not None:
        # Files changed since the commit ("+") may have changed since that run too.
        table = table[(table["code"] == code) & ~table["code"].str.endswith("+")]
    return set(zip(table["set"], table["part"], strict=True))


def show(title: str, rows: list[dict[str, Any]], seconds: float) -> None:
    """Print what was measured."""
    print(f"\n{title}: {seconds:.0f} s")
    table = pd.DataFrame(rows)[["item", "fusion", "measure", "value", "target", "met"]]
    print(table.to_string(index=False), flush=True)


def measure(
    name: str, path: Path, source: dict[str, Any], args: argparse.Namespace
) -> None:
    """Measure the parts of a set that the file does not hold yet."""
    study, smoke = STUDIES[name], args.smoke
    done = parts_done(path, None if args.any_code else source["code"])
    wanted = [part for part in study.parts if args.parts is None or part in args.parts]
    todo = [part for part in wanted if smoke or (name, part) not in done]
    if not todo:
        print(f"{name}: done before")
        return
    data = study.load(smoke)
    for part in todo:
        start = time.perf_counter()
        rows = [figure.row() for figure in study.parts[part](data)]
        seconds = time.perf_counter() - start
        show(f"{name}, {part}", rows, seconds)
        about = {
            "set": name,
            "n_train": len(data.y),
            "n_test": len(data.y_test),
            "part": part,
            "seconds": f"{seconds:.0f}",
        }
        append_rows(path, [source | about | row for row in rows])


def main() -> None:
    """Measure the sets that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=STUDIES, metavar="SET")
    parts = sorted({part for study in STUDIES.values() for part in study.parts})
    parser.add_argument("--parts", nargs="+", choices=parts, metavar="PART")
    parser.add_argument("--smoke", action="store_true", help="few rows, one epoch")
    parser.add_argument(
        "--any-code", action="store_true", help="keep what earlier code measured"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    warnings.filterwarnings("ignore", message=r".*no modality present")
    path = args.output or (
        RESULTS / "raw" / "trust-smoke.csv" if args.smoke else RESULTS / "trust.csv"
    )
    source = provenance()
    for name in args.only or STUDIES:
        if is_here(STUDIES[name].needs):
            measure(name, path, source, args)
        else:
            needs = STUDIES[name].needs
            print(f"{name}: left out, SKFUSION_BENCH_DATA/{needs} is not there")
    if args.smoke:
        print("--smoke: few rows and one epoch; these are not the real figures.")


if __name__ == "__main__":
    main()
