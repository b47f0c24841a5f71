"""Turn benchmarks/results/compare.csv into the tables and pictures of the docs.

    python benchmarks/compare_report.py

`compare.py` writes that file, `docs/benchmarks.rst` includes what is made of it here:
docs/benchmarks/*.txt and *.png. Any part of the benchmark is enough, and the same rows
always give the same files.
"""

import argparse
from pathlib import Path

from compare_report_pictures import PICTURES
from compare_report_rows import read
from compare_report_tables import FRAGMENTS
from provenance import RESULTS, ROOT

HEAD = ".. Made by benchmarks/compare_report.py\n\n"


def main() -> None:
    """Read the rows, write tables and pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS / "compare.csv")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks")
    args = parser.parse_args()
    results = read(args.results)
    args.output.mkdir(parents=True, exist_ok=True)
    for name, write in FRAGMENTS.items():
        (args.output / f"{name}.txt").write_text(f"{HEAD}{write(results)}\n")
    for name, draw in PICTURES.items() if results.tasks else ():
        draw(results, args.output / f"{name}.png")
    print(f"{len(results.rows)} fits, {len(results.tasks)} tasks: {args.output}")


if __name__ == "__main__":
    main()
