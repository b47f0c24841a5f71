"""Turn benchmarks/results/trust.csv into the tables of docs/trust.rst.

    python -m benchmarks.trust.report

`python -m benchmarks.trust` writes that file, `docs/trust.rst` includes what is made of
it here: docs/trust/*.txt. Any part of the measurements is enough, and the same rows
always give the same files.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from benchmarks.common.provenance import RESULTS, ROOT
from benchmarks.common.text import measured_with, write_fragments
from benchmarks.trust import report_tables as tables
from benchmarks.trust import report_weights as weights
from benchmarks.trust.report_overview import overview
from benchmarks.trust.report_rows import Results


def source(results: Results) -> str:
    """What the figures were measured with."""
    return f"{measured_with(results.rows)}; one thread of a CPU."


FRAGMENTS: dict[str, Callable[[Results], str]] = {
    "overview": overview,
    "shapley": weights.shapley_table,
    "modalities": weights.modality_table,
    "weights": weights.weights_table,
    "elements": weights.elements_table,
    "sums": weights.sums_table,
    "random": weights.random_table,
    "absence": tables.absence_table,
    "order": tables.order_table,
    "clean": tables.clean_table,
    "noise": tables.noise_table,
    "unseen": tables.unseen_table,
    "imbalance": tables.imbalance_table,
    "ece": tables.ece_table,
    "source": source,
}


def main() -> None:
    """Read the rows, write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS / "trust.csv")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "trust")
    args = parser.parse_args()
    results = Results(args.results)
    write_fragments("benchmarks.trust.report", args.output, FRAGMENTS, results)
    print(f"{len(results.rows)} figures of {len(results.sets)} sets: {args.output}")


if __name__ == "__main__":
    main()
