"""One fit in a process of its own; `compare.py` starts it and reads what it prints."""

import argparse
import json
import os
import resource
import time
import warnings
from pathlib import Path

import numpy as np
from compare_methods import METHODS, note, start
from compare_peers_sklearn import Setup
from compare_tasks import TASKS, Part, load
from sklearn.metrics import log_loss, r2_score, roc_auc_score, root_mean_squared_error

N_BINS = 15


def scores(part: Part, predicted: np.ndarray) -> dict[str, float]:
    """The metrics of probabilities (n_samples, n_classes), or of predicted numbers."""
    predicted = np.asarray(predicted, dtype=float)
    if not np.isfinite(predicted).all():
        raise ValueError("The predictions hold NaN or infinity.")
    if not part.is_classification:
        return {
            "R2": r2_score(part.y, predicted),
            "RMSE": root_mean_squared_error(part.y, predicted),
        }
    proba = np.clip(predicted, 1e-15, 1.0)
    proba /= proba.sum(axis=1, keepdims=True)
    labels = np.arange(part.n_classes)
    return {
        "accuracy": np.mean(proba.argmax(axis=1) == part.y),
        "AUC": auc(part.y, proba),
        "log_loss": log_loss(part.y, proba, labels=labels),
        "ECE": calibration_error(part.y, proba),
    }


def auc(y: np.ndarray, proba: np.ndarray) -> float:
    """Area under the ROC curve; of several classes, the mean over one-against-rest."""
    if proba.shape[1] == 2:
        return roc_auc_score(y, proba[:, 1])
    seen = [c for c in range(proba.shape[1]) if (y == c).any()]
    return float(np.mean([roc_auc_score(y == c, proba[:, c]) for c in seen]))


def calibration_error(y: np.ndarray, proba: np.ndarray) -> float:
    """Expected calibration error of the predicted class, 15 bins of equal width."""
    top = proba.max(axis=1)
    is_right = proba.argmax(axis=1) == y
    bins = np.minimum((top * N_BINS).astype(int), N_BINS - 1)
    gaps = [
        abs(top[bins == b].mean() - is_right[bins == b].mean()) * np.mean(bins == b)
        for b in np.unique(bins)
    ]
    return float(np.sum(gaps))


def peak_mib() -> float:
    """The most memory that this process, or one that it started, has held."""
    processes = [Path("/proc/self"), *_children()]
    if not (processes[0] / "status").exists():  # not Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return max(_high_water(process) for process in processes)


def _children() -> list[Path]:
    lists = Path("/proc/self/task").glob("*/children")
    return [Path("/proc", pid) for path in lists for pid in path.read_text().split()]


def cpu_seconds() -> float:
    """Seconds of CPU of this process and of those that it started."""
    own = os.times()
    total = own.user + own.system + own.children_user + own.children_system
    for child in _children():
        user, system = (child / "stat").read_text().rpartition(")")[2].split()[11:13]
        total += (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return total


def _high_water(process: Path) -> float:
    for line in (process / "status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    """Fit, predict, and print the figures as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("method", choices=METHODS)
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--limit", type=float, default=900.0, help="seconds")
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # of peers, which do not stop a run
    learn = start(args.method)
    train, test = load(args.task, args.fold, args.seed)
    begin, cpu = time.perf_counter(), cpu_seconds()
    predict = learn(train, Setup(args.seed, args.threads, args.limit))
    fitted, cpu = time.perf_counter(), cpu_seconds() - cpu
    predicted = predict(test)
    done = time.perf_counter()
    figures = scores(test, predicted) | {
        "fit_seconds": fitted - begin,
        "fit_cpu_seconds": cpu,
        "predict_seconds": done - fitted,
        "peak_MiB": peak_mib(),
    }
    row = {key: round(float(value), 6) for key, value in figures.items()}
    row |= {"n_train": len(train.y), "n_test": len(test.y)}
    print(json.dumps(row | {"note": note(args.method, train)}), flush=True)


if __name__ == "__main__":
    main()
