"""One fit in a process of its own; `python -m benchmarks.compare` starts it."""

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.metrics import log_loss, r2_score, roc_auc_score, root_mean_squared_error

from benchmarks.common.processes import Memory, cpu_seconds, ended_after, use_code
from benchmarks.common.tasks import TASKS, Part, load
from benchmarks.compare.methods import METHODS, Predict, Setup, note, start

N_BINS = 15


# ---------------------------------------------------------------- scores


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


# ---------------------------------------------------------------- one fit


class Learned(NamedTuple):
    """What came of a fit, and what it cost."""

    predict: Predict
    memory: Memory  # since before the fit
    figures: dict[str, float]


def parser(description: str) -> argparse.ArgumentParser:
    """The options of a process that makes one fit."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("method", choices=METHODS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--limit", type=float, default=900.0, help="seconds")
    parser.add_argument("--code", type=Path, help="a checkout to take the package from")
    return parser


def arguments(description: str) -> argparse.Namespace:
    """A method and a task of the comparison."""
    options = parser(description)
    options.add_argument("task", choices=TASKS)
    options.add_argument("--fold", type=int, default=0)
    return options.parse_args()


def learned(train: Part, args: argparse.Namespace) -> Learned:
    """Fit the method; its imports are not timed."""
    warnings.simplefilter("ignore")  # of peers, which do not stop a run
    learn = start(args.method)
    memory = Memory()
    begin, cpu = time.perf_counter(), cpu_seconds()
    with ended_after(args.limit):
        predict = learn(train, Setup(args.seed, args.threads, args.limit))
    figures = {
        "fit_seconds": time.perf_counter() - begin,
        "fit_cpu_seconds": cpu_seconds() - cpu,
        "fit_MiB": memory.rise(),
    }
    return Learned(predict, memory, figures)


def rounded(figures: dict[str, float]) -> dict[str, float]:
    """As they stand in the results."""
    return {key: round(float(value), 6) for key, value in figures.items()}


def main() -> None:
    """Fit, predict, and print the figures as one line of JSON."""
    args = arguments(__doc__)
    use_code(args.code)
    train, test = load(args.task, args.fold, args.seed)
    fit = learned(train, args)
    begin = time.perf_counter()
    predicted = fit.predict(test)
    seconds = time.perf_counter() - begin
    figures = scores(test, predicted) | {
        "fit_seconds": fit.figures["fit_seconds"],
        "fit_cpu_seconds": fit.figures["fit_cpu_seconds"],
        "predict_seconds": seconds,
        "peak_MiB": fit.memory.peak(),
    }
    row = rounded(figures) | {"n_train": len(train.y), "n_test": len(test.y)}
    print(json.dumps(row | {"note": note(args.method, train)}), flush=True)


if __name__ == "__main__":
    main()
