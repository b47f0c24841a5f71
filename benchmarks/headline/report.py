"""Turn benchmarks/results/headline.csv into the table of docs/benchmarks.rst.

    python -m benchmarks.headline.report

`python -m benchmarks.headline` writes that file; of each task and seed the newest run
counts.
"""

import pandas as pd

from benchmarks.common.provenance import DOCS, RESULTS, newest
from benchmarks.common.text import frame_table, write_fragments
from benchmarks.headline.table import TASKS, summary


def table(rows: pd.DataFrame) -> str:
    """The newest figures, those that miss their target in bold."""
    found = summary(rows, list(TASKS))
    missed = found["met"] == "MISSED"
    found.loc[missed, "mean"] = "**" + found.loc[missed, "mean"] + "**"
    commits = ", ".join(f"``{code}``" for code in sorted(set(rows["code"])))
    threads = ", ".join(sorted(set(rows["threads"].astype(str))))
    text = frame_table(found.drop(columns="met").set_index("task"))
    return f"{text}\n\n*Measured with the package at* {commits}; *threads:* {threads}."


def main() -> None:
    """Read the rows, write the table."""
    rows = newest(RESULTS / "headline.csv", ["task", "seed", "measure"])
    write_fragments("benchmarks.headline.report", DOCS, {"headline": table}, rows)


if __name__ == "__main__":
    main()
