"""One fit in a process of its own, and what it costs to predict with and to keep."""

import json
import pickle
import platform
import time
from typing import Any

import numpy as np

from benchmarks.common.processes import use_code
from benchmarks.common.tasks import Part, load
from benchmarks.compare.fit import Learned, arguments, learned, rounded, scores
from benchmarks.compare.methods import Predict, note, versions

FIGURES = (
    *("score", "log_loss", "fit_cpu_seconds", "fit_seconds", "fit_MiB"),
    *("row_ms", "row_ms_p90", "row_cpu_ms", "rows_per_second", "rows_per_cpu_second"),
    *("pickle_MB", "n_train", "n_test"),
)
CALLS = 200  # of one row
WARM_UP = 10
ROWS = 2000  # at least so many rows a batch
ROUNDS = 3


def seconds_of(predict: Predict, part: Part) -> tuple[float, float]:
    """Seconds of the wall clock and of the processor that predictions take."""
    wall, cpu = time.perf_counter(), time.process_time()
    predict(part)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    # Another process may predict, and keep its own time.
    return getattr(predict, "seconds", (wall, cpu))


def one_row(predict: Predict, test: Part, seed: int) -> dict[str, float]:
    """Milliseconds a row, where rows come one by one."""
    drawn = np.random.default_rng(seed).integers(len(test.y), size=WARM_UP + CALLS)
    parts = (test.rows(np.array([row])) for row in drawn)
    wall, cpu = np.array([seconds_of(predict, part) for part in parts])[WARM_UP:].T
    return {
        "row_ms": 1000 * np.median(wall),
        "row_ms_p90": 1000 * np.quantile(wall, 0.9),
        "row_cpu_ms": 1000 * np.median(cpu),
    }


def batches(predict: Predict, test: Part) -> dict[str, float]:
    """Rows a second, where the test rows come together, over again if they are few."""
    n = max(ROWS, len(test.y))
    part = test.rows(np.resize(np.arange(len(test.y)), n))
    wall, cpu = np.min([seconds_of(predict, part) for _ in range(ROUNDS)], axis=0)
    return {"rows_per_second": n / wall, "rows_per_cpu_second": n / max(cpu, 1e-6)}


def megabytes(predict: Predict) -> float:
    """What has to be kept for predicting."""
    n_bytes = getattr(predict, "n_bytes", None)
    return (n_bytes or len(pickle.dumps(predict))) / 1e6


def costs(fit: Learned, test: Part, seed: int) -> dict[str, float]:
    """All of these figures."""
    size = {"pickle_MB": megabytes(fit.predict)}
    return (
        fit.figures
        | one_row(fit.predict, test, seed)
        | batches(fit.predict, test)
        | size
    )


def about(method: str) -> dict[str, Any]:
    """What this very process was run with."""
    return {"python": platform.python_version(), "versions": versions(method)}


def main() -> None:
    """Fit, predict, and print the figures as one line of JSON."""
    args = arguments(__doc__)
    use_code(args.code)
    train, test = load(args.task, args.fold, args.seed)
    fit = learned(train, args)
    found = scores(test, fit.predict(test))
    figures = {"score": found.get("accuracy", found.get("R2"))}
    if "log_loss" in found:
        figures["log_loss"] = found["log_loss"]
    row = rounded(figures | costs(fit, test, args.seed))
    row |= {"n_train": len(train.y), "n_test": len(test.y)}
    row |= {"note": note(args.method, train)} | about(args.method)
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
