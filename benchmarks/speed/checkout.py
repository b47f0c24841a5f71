"""Another commit of the package, beside the one that is worked on."""

import subprocess
from pathlib import Path

from benchmarks.common.provenance import ROOT, git

FOLDER = ROOT / "build" / "speed"


def checkout(commit: str) -> Path:
    """The folder of a git worktree of that commit, which is made where it lacks."""
    short = git("rev-parse", "--short", f"{commit}^{{commit}}")
    if not short:
        raise SystemExit(f"git knows no commit {commit!r}.")
    folder = FOLDER / short
    if not (folder / "skfusion").is_dir():
        command = ["git", "worktree", "add", "--force", "--detach", folder, short]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder
