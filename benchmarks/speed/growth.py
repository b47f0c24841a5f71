"""How time and memory grow with rows, modalities, classes and words.

    python -m benchmarks.speed.growth                        # everything
    python -m benchmarks.speed.growth --sizes classes words

Made-up rows of texts and tables; one size is varied, the others are those of `Shape()`.
Besides, 200 rows of 150 classes, and 2,000 rows of a text and a table. Every fit has a
process of its own with one thread. Rows are added to benchmarks/results/growth.csv;
what is there for the present code is not run again. Exponents are slopes of the
logarithms over the larger half of the sizes; `python -m benchmarks.speed.report` shows
them.
"""

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.common import processes
from benchmarks.common.provenance import RESULTS, ROOT, append_rows, machine, origin
from benchmarks.speed.fit import FIGURES
from benchmarks.speed.made import Shape

SIZES = {
    "rows": (1000, 3000, 10_000, 30_000, 100_000),
    "modalities": (2, 4, 6, 8, 12),
    "classes": (2, 5, 15, 50, 150),
    "words": (10, 25, 60, 150, 400),
}
FEW_OF_MANY = "200 rows of 150 classes"
COMMON = "2,000 rows, text and table"
POINTS = {FEW_OF_MANY: Shape(rows=200, classes=150), COMMON: Shape(rows=2000)}


def planned(sizes: list[str]) -> list[tuple[str, Shape]]:
    """What is varied, and the sizes of each fit; cheap ones first."""
    jobs = [(name, Shape().with_(name, v)) for name in sizes for v in SIZES[name]]
    jobs += POINTS.items()
    return sorted(jobs, key=lambda job: job[1].rows * job[1].modalities)


def measured(path: Path, code: str) -> set[tuple[str, Shape]]:
    """What the file holds for this code."""
    if not path.exists() or code.endswith("+"):
        return set()
    rows = pd.read_csv(path, dtype={"code": str})
    rows = rows[rows["code"] == code]
    return {
        (row.varied, Shape(*(getattr(row, name) for name in Shape._fields)))
        for row in rows.itertuples()
    }


def run(shape: Shape, args: argparse.Namespace) -> dict[str, Any]:
    """One fit in a process of its own."""
    sizes = [f"--{name}={size}" for name, size in shape._asdict().items()]
    command = ["skfusion", *sizes, "--limit", args.limit]
    command += ["--code", args.code.resolve()]
    return processes.run(
        "benchmarks.speed.made_fit", command, threads=1, limit=args.limit, extra=600
    )


def main() -> None:
    """Run what the command line asks for and the file does not hold yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="*", choices=SIZES, default=list(SIZES))
    parser.add_argument("--limit", type=float, default=1800.0, help="seconds a fit")
    parser.add_argument("--code", type=Path, default=ROOT, help="of the package")
    parser.add_argument("--output", type=Path, default=RESULTS / "growth.csv")
    args = parser.parse_args()
    done = measured(args.output, origin(args.code)["code"])
    jobs = [job for job in planned(args.sizes) if job not in done]
    for i, (varied, shape) in enumerate(jobs, 1):
        row = {"varied": varied} | shape._asdict() | dict.fromkeys(FIGURES, "")
        row |= origin(args.code) | {"status": "", "versions": ""} | run(shape, args)
        append_rows(args.output, [row | {"machine": machine(), "threads": 1}])
        seconds = row["fit_cpu_seconds"] or float("nan")
        cost = f"{seconds:.1f} CPU-s" if row["status"] == "ok" else row["status"]
        print(f"[{i}/{len(jobs)}] {varied}, {shape}: {cost}", flush=True)


if __name__ == "__main__":
    main()
