"""Where a figure comes from: commit, versions, machine; and the CSV it goes into."""

import csv
import platform
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PACKAGES = ("numpy", "scikit-learn", "torch", "skorch")


def provenance(device: str = "cpu") -> dict[str, Any]:
    """What every row of a results file says about how it was made.

    `commit` is that of the checkout and `code` the last one that touched the package;
    a "+" follows either where files have changed since.
    """
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        "commit": _commit(),
        "code": _commit("skfusion"),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if "cuda" in device else device,
    }


def append_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add rows to a CSV file, which is made, with its header, where there is none."""
    rows = list(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerows(rows)


def _commit(*paths: str) -> str:
    commit = _git("log", "-1", "--format=%h", "--", *paths)
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", *paths)
    return (commit or "unknown") + ("+" if changed else "")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""  # an unpacked archive has no history
    return done.stdout.strip()
