"""Turn benchmarks/results/headline.csv into the table of docs/benchmarks.rst.

    python benchmarks/headline_report.py

`headline.py` writes that file; of each task and seed the newest run counts.
"""

import pandas as pd
from compare_report_text import csv_table
from headline import TASKS, summary
from provenance import RESULTS, ROOT

HEAD = ".. Made by benchmarks/headline_report.py\n\n"


def main() -> None:
    """Read the rows, write the table."""
    rows = pd.read_csv(RESULTS / "headline.csv", dtype={"code": str})
    rows = rows.drop_duplicates(["task", "seed", "measure"], keep="last")
    table = summary(rows, list(TASKS))
    missed = table["met"] == "MISSED"
    table.loc[missed, "mean"] = "**" + table.loc[missed, "mean"] + "**"
    commits = ", ".join(f"``{code}``" for code in sorted(set(rows["code"])))
    threads = ", ".join(sorted(set(rows["threads"].astype(str))))
    text = csv_table(table.drop(columns="met").set_index("task"))
    text += f"\n\n*Measured with the package at* {commits}; *threads:* {threads}."
    (ROOT / "docs" / "benchmarks" / "headline.txt").write_text(f"{HEAD}{text}\n")


if __name__ == "__main__":
    main()
