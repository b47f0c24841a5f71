"""Fits in processes of their own: how they are started, and what they cost."""

import gc
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.common.provenance import ROOT

BLAS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
SELF = Path("/proc/self")
IS_LINUX = (SELF / "status").exists()


# ---------------------------------------------------------------- by who starts it


def run(
    module: str,
    arguments: list[Any],
    *,
    threads: int | None,
    limit: float,
    extra: float = 0.0,
    python: str | Path = sys.executable,
) -> dict[str, Any]:
    """Run a module of the benchmarks, and read its last line, which is JSON.

    A ``status`` is added: "ok", or what went wrong. It may take `limit` seconds, and
    `extra` ones for what is not the fit. With `threads` None, the libraries choose how
    many they use.
    """
    command = [str(python), "-m", module, *map(str, arguments)]
    settings = {} if threads is None else dict.fromkeys(BLAS, str(threads))
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | settings,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=limit + extra)
    except subprocess.TimeoutExpired:
        _end(process)
        return {"status": f"time-out: more than {limit:g} s"}
    except BaseException:
        _end(process)
        raise
    if process.returncode == 0:
        return json.loads(out.splitlines()[-1]) | {"status": "ok"}
    if process.returncode == -signal.SIGALRM:
        return {"status": f"time-out: more than {limit:g} s"}
    last = err.strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
    return {"status": f"error: {last[0][:300]}"}


def _end(process: subprocess.Popen) -> None:
    """End the process with all that it has started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


# ---------------------------------------------------------------- by what is started


def use_code(path: Path | None) -> None:
    """Take the package from another checkout; before anything has imported it."""
    if path is None:
        return
    if "skfusion" in sys.modules:
        raise RuntimeError("skfusion is imported already, so --code comes too late.")
    sys.path.insert(0, str(path.resolve()))


@contextmanager
def ended_after(seconds: float) -> Iterator[None]:
    """The system ends this process if what is done takes longer."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)


def cpu_seconds() -> float:
    """Seconds of CPU of this process and of those that it started."""
    own = os.times()
    total = own.user + own.system + own.children_user + own.children_system
    for child in _children():
        user, system = (child / "stat").read_text().rpartition(")")[2].split()[11:13]
        total += (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return total


class Memory:
    """What this process, or one that it has started, holds from now on."""

    def __init__(self) -> None:
        gc.collect()
        self.before = _largest("VmHWM")
        for process in _processes():
            _forget_high_water(process)
        self.start = {process: _mib(process, "VmRSS") for process in _processes()}

    def rise(self) -> float:
        """MiB that a process held at most, above what it held at the start."""
        rises = [_mib(p, "VmHWM") - self.start.get(p, 0.0) for p in _processes()]
        return max(rises, default=0.0)

    def peak(self) -> float:
        """The most MiB ever held, imports and data included."""
        if not IS_LINUX:
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return max(self.before, _largest("VmHWM"))


def _processes() -> list[Path]:
    return [SELF, *_children()] if IS_LINUX else []


def _children() -> list[Path]:
    lists = Path("/proc/self/task").glob("*/children")
    return [Path("/proc", pid) for path in lists for pid in path.read_text().split()]


def _largest(field: str) -> float:
    return max((_mib(process, field) for process in _processes()), default=0.0)


def _mib(process: Path, field: str) -> float:
    for line in (process / "status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    return 0.0


def _forget_high_water(process: Path) -> None:
    try:
        (process / "clear_refs").write_text("5")
    except OSError:  # the high water of loading the data stays
        return
