"""Batch after batch by `partial_fit`, beside the first batch alone and one fit of all.

    python -m benchmarks.compare.batches > benchmarks/results/partial_fit.csv

The test rows are those of the loaders, or drawn once; a batch is drawn at random.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import make_friedman1
from sklearn.metrics import accuracy_score, log_loss, r2_score

from skfusion import FusionClassifier, FusionRegressor
from skfusion.datasets import load_clothing_reviews, load_handwritten_views

N_BATCHES = 4


def tasks() -> Iterator[tuple[str, int, tuple[Any, ...]]]:
    """Name, rows of a batch, and (X, y, X_test, y_test)."""
    for target in ("rating", "recommended"):
        parts = [
            load_clothing_reviews(target=target, subset=subset, return_X_y=True)
            for subset in ("train", "test")
        ]
        yield f"clothing {target}", 500, (*parts[0], *parts[1])
    parts = [
        load_handwritten_views(subset=subset, return_X_y=True)
        for subset in ("train", "test")
    ]
    yield "handwritten views", 300, (*parts[0], *parts[1])
    X, y = make_friedman1(4000, noise=1.0, random_state=0)
    yield "friedman1 (regression)", 400, (X[:2000], y[:2000], X[2000:], y[2000:])


def scores(model: Any, X: Any, y: Any) -> dict[str, float]:
    """Accuracy and log-loss, or R2."""
    if isinstance(model, FusionRegressor):
        return {"r2": r2_score(y, model.predict(X))}
    p = model.predict_proba(X)
    return {
        "accuracy": accuracy_score(y, model.classes_[p.argmax(axis=1)]),
        "log_loss": log_loss(y, p, labels=model.classes_),
    }


def take(X: Any, rows: np.ndarray) -> Any:
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


def measure(seed: int = 0) -> Iterator[dict[str, Any]]:
    """Figures of each task: first batch, each further one, and all rows at once."""
    for name, n, (X, y, X_test, y_test) in tasks():
        y, y_test = np.asarray(y), np.asarray(y_test)
        regression = y.dtype.kind == "f"
        kind = FusionRegressor if regression else FusionClassifier
        classes = {} if regression else {"classes": np.unique(y)}
        rows = np.random.default_rng(seed).permutation(len(y))[: n * N_BATCHES]
        model, start = kind(random_state=seed), time.process_time()
        for i, batch in enumerate(np.split(rows, N_BATCHES)):
            model.partial_fit(take(X, batch), y[batch], **classes)
            done = time.process_time() - start
            found = {"task": name, "way": f"{i + 1} of {N_BATCHES} batches"}
            rows_seen = n * (i + 1)
            yield {**found, "rows": rows_seen, "cpu_s": done} | scores(
                model, X_test, y_test
            )
        start = time.process_time()
        model = kind(random_state=seed).fit(take(X, rows), y[rows])
        done = time.process_time() - start
        yield {"task": name, "way": "one fit", "rows": len(rows), "cpu_s": done} | (
            scores(model, X_test, y_test)
        )


if __name__ == "__main__":
    frame = []
    for row in measure():
        print(row, file=sys.stderr)
        frame.append(row)
    pd.DataFrame(frame).to_csv(sys.stdout, index=False, float_format="%.4f")
