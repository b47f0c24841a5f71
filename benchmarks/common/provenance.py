"""Where a figure comes from: commit, versions, machine; and the CSV it goes into."""

import csv
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
DOCS = ROOT / "docs" / "benchmarks"
PACKAGES = ("numpy", "scikit-learn", "torch", "skorch")


def provenance(device: str = "cpu", root: Path = ROOT) -> dict[str, Any]:
    """What every row of a results file tells of how it was made.

    `commit` is that of the checkout in `root` and `code` the last one that touched the
    package; a "+" follows either where files have changed since.
    """
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        "commit": _commit(root),
        "code": _commit(root, "skfusion"),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if "cuda" in device else device,
    }


def origin(root: Path = ROOT) -> dict[str, Any]:
    """The part of it that holds for a fit in a process of its own."""
    source = provenance(root=root)
    return {key: source[key] for key in ("date", "commit", "code", "python")}


def append_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add rows to a CSV file, which is made, with its header, where there is none."""
    rows = list(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    names = list(rows[0])
    if not is_new:
        with path.open(newline="") as file:
            names = next(csv.reader(file))
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerows(rows)


def newest(path: Path, key: Sequence[str]) -> pd.DataFrame:
    """Rows of a results file, the last of each key."""
    rows = pd.read_csv(path, dtype={"commit": str, "code": str})
    return rows.drop_duplicates([c for c in key if c in rows], keep="last")


def machine() -> str:
    """System, processor and number of CPUs, in words."""
    system, processor = platform.system(), platform.machine()
    return f"{system} {processor}, {os.cpu_count()} CPUs"


def _commit(root: Path, *paths: str) -> str:
    commit = git("log", "-1", "--format=%h", "--", *paths, root=root)
    changed = git(
        "status", "--porcelain", "--untracked-files=no", "--", *paths, root=root
    )
    return (commit or "unknown") + ("+" if changed else "")


def git(*arguments: str, root: Path = ROOT) -> str:
    """What git answers, or nothing: an unpacked archive has no history."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
