"""Turn benchmarks/results/compare.csv into the tables and pictures of the docs.

    python -m benchmarks.compare.report

`python -m benchmarks.compare` writes that file, `docs/benchmarks.rst` includes what is
made of it here: docs/benchmarks/*.txt and *.png. Any part of the benchmark is enough,
and the same rows always give the same files.
"""

import argparse
from pathlib import Path

from benchmarks.common.provenance import DOCS, RESULTS
from benchmarks.common.text import write_fragments
from benchmarks.compare.report_pictures import PICTURES
from benchmarks.compare.report_rows import read
from benchmarks.compare.report_tables import FRAGMENTS


def main() -> None:
    """Read the rows, write tables and pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS / "compare.csv")
    parser.add_argument("--output", type=Path, default=DOCS)
    args = parser.parse_args()
    results = read(args.results)
    write_fragments("benchmarks.compare.report", args.output, FRAGMENTS, results)
    for name, draw in PICTURES.items() if results.tasks else ():
        draw(results, args.output / f"{name}.png")
    print(f"{len(results.rows)} fits, {len(results.tasks)} tasks: {args.output}")


if __name__ == "__main__":
    main()
