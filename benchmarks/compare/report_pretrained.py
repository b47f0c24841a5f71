"""Tables of pretrained encoders for the docs, from the results of two scripts.

python -m benchmarks.compare.report_pretrained
"""

import pandas as pd

from benchmarks.common.provenance import DOCS, RESULTS, newest
from benchmarks.common.text import csv_table, measured_with, write_fragments

#: Column of the results, its title and its format.
SCORES = [
    ("accuracy", "accuracy", ".3f"),
    ("AUC", "AUC", ".3f"),
    ("log_loss", "log-loss", ".3f"),
    ("R2", "R2", ".3f"),
    ("RMSE", "RMSE", ".3f"),
    ("cpu_seconds", "CPU-s", ".0f"),
]


def table(rows: pd.DataFrame) -> str:
    """Means over the splits, a line a task and method, and where they come from."""
    known = [(c, *rest) for c, *rest in SCORES if c in rows]
    means = rows.groupby(["task", "method"], sort=False)[[c for c, *_ in known]].mean()
    lines = [
        [*key, *("" if pd.isna(line[c]) else format(line[c], f) for c, _, f in known)]
        for key, line in means.iterrows()
    ]
    header = ["task", "method", *(title for _, title, _ in known)]
    return f"{csv_table(lines, header, stub=2)}\n\n{measured_with(rows)}."


def main() -> None:
    """Write docs/benchmarks/pretrained.txt and pretrained_media.txt."""
    for name in ("pretrained", "pretrained_media"):
        rows = newest(RESULTS / f"{name}.csv", ["task", "split", "method"])
        rows = rows.sort_values("task", kind="stable")
        module = "benchmarks.compare.report_pretrained"
        write_fragments(module, DOCS, {name: table}, rows)


if __name__ == "__main__":
    main()
