"""Turn the results of the speed benchmark into tables and pictures of the docs.

    python -m benchmarks.speed.report

They are written to docs/performance/*.txt and *.png. Any part of the measurements is
enough, and the same rows always give the same files.
"""

import argparse
from pathlib import Path

from benchmarks.common.provenance import RESULTS, ROOT
from benchmarks.common.text import write_fragments
from benchmarks.speed.report_pictures import draw
from benchmarks.speed.report_rows import read
from benchmarks.speed.report_summary import summary
from benchmarks.speed.report_tables import FRAGMENTS


def main() -> None:
    """Read the rows, write tables and pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS, help="a folder")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "performance")
    args = parser.parse_args()
    results = read(args.results)
    fragments = FRAGMENTS | {"summary": summary}
    write_fragments("benchmarks.speed.report", args.output, fragments, results)
    draw(results, args.output)
    print(f"{len(results.rows)} fits, {len(results.growth)} of growth: {args.output}")


if __name__ == "__main__":
    main()
